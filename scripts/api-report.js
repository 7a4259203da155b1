/**
 * Writes docs/api-report.md: what every entry point of package.json exports, with its signatures, from the built declarations.
 *
 *   node scripts/api-report.js           writes it
 *   node scripts/api-report.js --check   fails when the file says something else
 *
 * It reads text, not types: TypeScript 7 has no API to ask. tsc begins every top-level statement of a declaration file in the first
 * column, and nothing else; a statement that is not understood fails the run, so nothing goes unseen.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const report = join(root, 'docs', 'api-report.md')

const head = `# API report

**TL;DR** Every name that the package exports and every signature, as the compiler states them. Made by \`npm run api:report\`, never by
hand: when a change of the code changes the public surface, this file changes with it, and a review sees it. What counts as a breaking
change is in [versioning](versioning.md).
`

/** Text without comments; what looks like one inside a string stays. */
function withoutComments(text) {
  return text
    .replace(/'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, (found) =>
      found.startsWith('/') ? '' : found,
    )
    .replace(/[ \t]+$/gm, '')
    .replace(/\n{2,}/g, '\n')
    .trim()
}

/** The names of `{ a, type b as c }`, as [outside, inside, is a type only]. */
function clause(text) {
  return text
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '')
    .map((each) => {
      const [inside, outside = inside] = each.replace(/^type\s+/, '').split(/\s+as\s+/)
      return [outside, inside, /^type\s/.test(each)]
    })
}

const modules = new Map()

/** What a declaration file declares, imports and exports. */
function read(path) {
  const known = modules.get(path)
  if (known) return known
  const module = { path, declared: new Map(), imported: new Map(), exported: new Map(), stars: [] }
  modules.set(path, module)
  const target = (specifier) =>
    specifier.startsWith('.') ? resolve(dirname(path), specifier.replace(/\.js$/, '.d.ts')) : undefined
  for (const statement of withoutComments(readFileSync(path, 'utf8')).split(/\n(?=[^\s}])/)) {
    if (statement === '' || /^(export \{\};|import ['"][^'"]+['"];|declare global)/.test(statement)) continue
    const declaration =
      /^(export )?(?:declare )?(?:abstract )?(?:interface|type|class|function|const|let) ([\w$]+)/.exec(statement)
    if (declaration && !/^(export )?type \{/.test(statement)) {
      const [, isExported, name] = declaration
      module.declared.set(name, [...(module.declared.get(name) ?? []), statement])
      if (isExported) module.exported.set(name, { path, name })
      continue
    }
    const moved = /^(import|export)( type)? (\{[\s\S]*\}|\*)(?: from ['"]([^'"]+)['"])?;$/.exec(statement)
    if (!moved) throw new Error(`${path}: not understood: ${statement}`)
    const [, verb, typeWord, names, specifier] = moved
    if (names === '*') {
      module.stars.push(target(specifier))
      continue
    }
    for (const [outside, inside, isType] of clause(names.slice(1, -1))) {
      const from = specifier === undefined ? path : target(specifier)
      const to = verb === 'import' ? module.imported : module.exported
      to.set(outside, { path: from, name: inside, isTypeOnly: isType || typeWord !== undefined })
    }
  }
  return module
}

/**
 * Where a name that a module exports, or uses (`isInside`), is declared; undefined for what another package declares. What is exported as
 * a type somewhere on the way is one at the end: users can name it and cannot construct it.
 */
function origin({ path, name, isTypeOnly = false }, isInside = false) {
  const module = read(path)
  const next = isInside ? module.imported.get(name) : (module.exported.get(name) ?? inStars(module, name))
  if (module.declared.has(name) && (isInside || (next?.path === path && next.name === name)))
    return { path, name, isTypeOnly: isTypeOnly || next?.isTypeOnly === true }
  if (!next && !isInside) throw new Error(`${path} exports no ${name}`)
  if (next?.path === undefined) return undefined
  return origin({ ...next, isTypeOnly: isTypeOnly || next.isTypeOnly === true }, next.path === path)
}

function inStars(module, name) {
  return module.stars.filter((path) => exportsOf(path).includes(name)).map((path) => ({ path, name }))[0]
}

function exportsOf(path) {
  const module = read(path)
  return [...new Set([...module.exported.keys(), ...module.stars.flatMap(exportsOf)])].sort()
}

const id = ({ path, name }) => `${path}#${name}`

/** What is declared elsewhere in the package and is named in these declarations, directly or by what they name. */
function reachedFrom(origins) {
  const seen = new Map(origins.map((one) => [id(one), one]))
  for (const one of seen.values()) {
    const module = read(one.path)
    const words = new Set(text(one).match(/[A-Za-z_$][\w$]*/g))
    for (const name of [...module.imported.keys(), ...module.declared.keys()].filter((each) => words.has(each))) {
      const found = origin({ path: one.path, name, isTypeOnly: true }, true)
      if (found && !seen.has(id(found))) seen.set(id(found), found)
    }
  }
  return [...seen.values()].slice(origins.length)
}

/** The statements, without the words that every one has and, of a class that is a type only, without its constructor. */
function text({ path, name, isTypeOnly }) {
  return read(path)
    .declared.get(name)
    .map((statement) => statement.replace(/^(export )?(declare )?/, ''))
    .map((statement) => (isTypeOnly ? statement.replace(/\n {4}constructor\([\s\S]*?\);(?=\n)/g, '') : statement))
    .join('\n')
}

function block(declarations) {
  return declarations.length === 0 ? '' : `\n\`\`\`typescript\n${declarations.join('\n\n')}\n\`\`\`\n`
}

function generate() {
  const { name: packageName, exports: entries } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const paths = Object.entries(entries).flatMap(([subPath, conditions]) =>
    typeof conditions === 'string' ? [] : [[subPath, join(root, conditions.import.types)]],
  )
  const byName = (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)
  const isPublic = new Map()
  const sections = paths.map(([subPath, path]) => {
    const names = exportsOf(path).map((name) => {
      const found = origin({ path, name })
      if (!found) throw new Error(`${path}: ${name} is another package's`)
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
