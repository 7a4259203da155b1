/**
 * Writes docs/api-report.md: what every entry point of package.json exports, with its signatures, from the built declarations.
 *
 *   node scripts/api-report.js           writes it
 *   node scripts/api-report.js --check   fails when the file says something else
 *
 * What is published bundles the same declarations, with their docstrings; see declarations.js.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { exportsOf, id, origin, reachedFrom, statements, withoutComments } from './declarations.js'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const report = join(root, 'docs', 'api-report.md')

const head = `# API report

**TL;DR** Every name that the package exports and every signature, as the compiler states them. Made by \`npm run api:report\`, never by
hand: when a change of the code changes the public surface, this file changes with it, and a review sees it. What counts as a breaking
change is in [versioning](versioning.md).
`

/** Without comments, in the indentation that tsc gives, and, of a class that is a type only, without its constructor. */
function text(one) {
  return statements(one)
    .map(({ code }) => withoutComments(code).replace(/^\t+/gm, (tabs) => '    '.repeat(tabs.length)))
    .map((code) => (one.isTypeOnly ? code.replace(/\n {4}constructor\([\s\S]*?\);(?=\n)/g, '') : code))
    .join('\n')
}

function block(declarations) {
  return declarations.length === 0 ? '' : `\n\`\`\`typescript\n${declarations.join('\n\n')}\n\`\`\`\n`
}

function generate() {
  const { name: packageName, exports: entries } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const paths = Object.entries(entries).flatMap(([subPath, conditions]) =>
    typeof conditions === 'string' ? [] : [[subPath, join(root, conditions.require.types)]],
  )
  const byName = (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)
  const isPublic = new Map()
  const sections = paths.map(([subPath, path]) => {
    const names = exportsOf(path).map((name) => {
      const found = origin({ path, name })
      if (found.package) throw new Error(`${path}: ${name} is another package's`)
      return { name, found }
    })
    const declarations = names.map(({ name, found }) => {
      const first = isPublic.get(id(found))
      if (first !== undefined) return `// ${name}: as in ${packageName}${first.slice(1)}`
      isPublic.set(id(found), subPath)
      return name === found.name ? text(found) : `// ${name}:\n${text(found)}`
    })
    return { subPath, declarations, origins: names.map(({ found }) => found) }
  })
  const unnamed = new Map()
  for (const { origins } of sections)
    for (const one of reachedFrom(origins)) if (!isPublic.has(id(one))) unnamed.set(id(one), one)
  return [
    head,
    ...sections.map(({ subPath, declarations }) => `\n## ${packageName}${subPath.slice(1)}\n${block(declarations)}`),
    '\n## Without a name of their own\n\nWhat the signatures above refer to and no entry point exports: as public as they are.\n',
    block([...unnamed.values()].sort(byName).map((one) => text(one))),
  ].join('')
}

const generated = generate()
if (!process.argv.includes('--check')) writeFileSync(report, generated)
else if (readFileSync(report, 'utf8') !== generated) {
  const now = readFileSync(report, 'utf8').split('\n')
  const differing = generated.split('\n').findIndex((line, i) => line !== now[i])
  console.error(`docs/api-report.md does not show the public surface as it is (first at line ${differing + 1}).
Where the change is meant: npm run api:report, look at the difference, and commit it with the change.`)
  process.exitCode = 1
}
