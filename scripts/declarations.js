/**
 * What the declarations that tsc emitted say: the names that a module exports, where each is declared, and what else a declaration
 * needs to be understood. For the bundle that is published and for the API report.
 *
 * It reads text, not types: TypeScript 7 has no API to ask. tsc begins every top-level statement of a declaration file in the first
 * column, and nothing else; a statement that is not understood fails the run, so nothing goes unseen.
 */
import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

/** Text without comments; what looks like one inside a string stays. */
export function withoutComments(text) {
  return text
    .replace(/'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, (found) =>
      found.startsWith('/') ? '' : found,
    )
    .replace(/[ \t]+$/gm, '')
    .replace(/\n{2,}/g, '\n')
    .trim()
}

/** The top-level statements, each with the docstring before it. */
function statementsOf(text) {
  const statements = []
  let docstring = ''
  for (const piece of text.trim().split(/\n(?=[^\s}])/)) {
    if (/^\/\*[\s\S]*\*\/$/.test(piece.trim())) docstring = piece.startsWith('/**') ? `${piece.trim()}\n` : ''
    else if (piece !== '') {
      statements.push({ docstring, code: piece.trim() })
      docstring = ''
    }
  }
  return statements
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

/** Under this name a module keeps what it adds to global types. It comes along with whatever else of the module is used. */
export const GLOBAL = 'declare global'

const modules = new Map()

/** What a declaration file declares, imports and exports. */
function read(path) {
  const known = modules.get(path)
  if (known) return known
  const module = { path, declared: new Map(), imported: new Map(), exported: new Map(), stars: [] }
  modules.set(path, module)
  const target = (specifier) =>
    specifier.startsWith('.')
      ? { path: resolve(dirname(path), specifier.replace(/\.([cm]?)js$/, '.d.$1ts')) }
      : { package: specifier }
  for (const { docstring, code } of statementsOf(readFileSync(path, 'utf8'))) {
    const bare = withoutComments(code)
    if (/^(export \{\};|import ['"][^'"]+['"];)$/.test(bare)) continue
    if (bare.startsWith('declare global')) {
      module.declared.set(GLOBAL, [...(module.declared.get(GLOBAL) ?? []), { docstring, code }])
      continue
    }
    const declaration =
      /^(export )?(?:declare )?(?:abstract )?(?:interface|type|class|function|const|let) ([\w$]+)/.exec(bare)
    if (declaration && !/^(export )?type \{/.test(bare)) {
      const [, isExported, name] = declaration
      const statement = { docstring, code: code.replace(/^(export )?(declare )?/, '') }
      module.declared.set(name, [...(module.declared.get(name) ?? []), statement])
      if (isExported) module.exported.set(name, { path, name })
      continue
    }
    const moved = /^(import|export)( type)? (\{[\s\S]*\}|\*)(?: from ['"]([^'"]+)['"])?;$/.exec(bare)
    if (!moved) throw new Error(`${path}: not understood: ${bare}`)
    const [, verb, typeWord, names, specifier] = moved
    if (names === '*') {
      module.stars.push(target(specifier).path)
      continue
    }
    for (const [outside, inside, isType] of clause(names.slice(1, -1))) {
      const from = specifier === undefined ? { path } : target(specifier)
      const to = verb === 'import' ? module.imported : module.exported
      to.set(outside, { ...from, name: inside, isTypeOnly: isType || typeWord !== undefined })
    }
  }
  return module
}

/**
 * Where a name that a module exports, or uses (`isInside`), is declared: `path` and `name`, or `package` and `name` where another package
 * does. What is exported as a type somewhere on the way is one at the end: users can name it and cannot construct it.
 */
export function origin({ path, name, isTypeOnly = false }, isInside = false) {
  const module = read(path)
  const next = isInside ? module.imported.get(name) : (module.exported.get(name) ?? inStars(module, name))
  if (module.declared.has(name) && (isInside || (next?.path === path && next.name === name)))
    return { path, name, isTypeOnly: isTypeOnly || next?.isTypeOnly === true }
  if (!next) throw new Error(`${path} ${isInside ? 'knows' : 'exports'} no ${name}`)
  if (next.path === undefined) return { package: next.package, name: next.name, isTypeOnly: true }
  return origin({ ...next, isTypeOnly: isTypeOnly || next.isTypeOnly === true }, next.path === path)
}

function inStars(module, name) {
  return module.stars.filter((path) => exportsOf(path).includes(name)).map((path) => ({ path, name }))[0]
}

/** The names that a declaration file exports, sorted. */
export function exportsOf(path) {
  const module = read(path)
  return [...new Set([...module.exported.keys(), ...module.stars.flatMap(exportsOf)])].sort()
}

export const id = ({ path, name }) => `${path}#${name}`

/** The statements of a declaration (overloads are several) as `{ docstring, code }`, without the words `export` and `declare`. */
export function statements({ path, name }) {
  return read(path).declared.get(name)
}

/** What a declaration names: `[as it says, origin]`. */
export function namedIn(one) {
  const module = read(one.path)
  const code = statements(one).map((statement) => withoutComments(statement.code))
  if (code.some((text) => /\bimport\(['"]\./.test(text))) throw new Error(`${one.path}: import() in ${one.name}`)
  const words = new Set(code.join('\n').match(/[A-Za-z_$][\w$]*/g))
  return [...module.imported.keys(), ...module.declared.keys()]
    .filter((each) => words.has(each) || each === GLOBAL)
    .map((each) => [each, origin({ path: one.path, name: each, isTypeOnly: true }, true)])
}

/** The declarations in this package that these name, directly or by what they name; these first. */
export function reachedFrom(origins) {
  const seen = new Map(origins.map((one) => [id(one), one]))
  for (const one of seen.values())
    for (const [, found] of namedIn(one))
      if (found.path !== undefined && !seen.has(id(found))) seen.set(id(found), found)
  return [...seen.values()]
}
