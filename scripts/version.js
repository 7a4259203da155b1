/*
 * Writes the version of package.json into lib/version.ts; `npm version` runs it before it commits.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url))
const { version } = JSON.parse(readFileSync(at('package.json'), 'utf8'))
const source = readFileSync(at('lib/version.ts'), 'utf8')
const written = source.replace(/(VERSION = ')[^']*'/, `$1${version}'`)
if (!written.includes(`'${version}'`)) throw new Error('lib/version.ts holds no VERSION')
writeFileSync(at('lib/version.ts'), written)
