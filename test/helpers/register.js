/*
 * How mocha reads TypeScript: types become blanks, so lines and columns stay what they are.
 *
 * Where Node can require() modules, mocha tries that first; there the loader has no say, so it fails for every .ts file that another one
 * imports. Mocha then imports the file instead, but should that fail too it reports the first, meaningless error. Told that Node cannot,
 * it imports at once, and says what is really wrong.
 */
import 'ts-blank-space/register'

Object.defineProperty(process.features, 'require_module', { value: false })
