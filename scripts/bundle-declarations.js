/**
 * Makes of the declarations that tsc emits per module one file per entry point, and one for what several entry points name. What no
 * entry point names, directly or through what it names, is left out; docstrings stay, since editors show them.
 *
 * A bundler of declarations would do it as well, if there were one that runs beside TypeScript 7: they need the API of the older ones,
 * whose `tsc` then takes the place of the newer in node_modules/.bin.
 */
import { exportsOf, GLOBAL, id, namedIn, origin, reachedFrom, statements } from './declarations.js'

/** Two modules may declare the same name, one file may not. */
function refuseClashes(declarations, imported) {
  const owners = new Map(imported.map(([source, , local]) => [local, source]))
  for (const { path, name } of declarations) {
    if (name === GLOBAL) continue
    if ((owners.get(name) ?? path) !== path)
      throw new Error(`the declarations of ${owners.get(name)} and ${path} meet with a ${name} each: rename one`)
    owners.set(name, path)
  }
}

const tabs = (text) => text.replace(/^( {4})+/gm, (spaces) => '\t'.repeat(spaces.length / 4))

function statement({ docstring, code }, { name }, isExported) {
  if (name === GLOBAL) return tabs(code)
  const isType = /^(interface|type) /.test(code)
  return tabs(`${docstring}${isExported ? 'export ' : ''}${isType ? '' : 'declare '}${code}`)
}

/** `import type { a, b } from 'x'` and so on, by where the names come from; undefined is the file itself. */
function clauses(verb, names) {
  const bySource = new Map()
  for (const [source, name] of names) bySource.set(source, new Set(bySource.get(source)).add(name))
  return [...bySource].map(([source, each]) => {
    const from = source === undefined ? '' : ` from '${source}'`
    return `${verb} { ${[...each].sort().join(', ')} }${from};`
  })
}

/** One file: these declarations, `exported` under their outside names, and what they need from elsewhere, by `sourceOf`. */
function file(declarations, exported, sourceOf) {
  const isHere = (one) => declarations.some((each) => id(each) === id(one))
  const needed = declarations.flatMap((one) =>
    namedIn(one).flatMap(([local, found]) => {
      if (found.name === GLOBAL) return []
      if (found.path && isHere(found)) {
        if (local === found.name) return []
        throw new Error(`${one.path}: ${found.name} goes by the name of ${local} beside its declaration: use one name`)
      }
      return [[found.package ?? sourceOf(found), local === found.name ? local : `${found.name} as ${local}`, local]]
    }),
  )
  refuseClashes(declarations, needed)
  // A class of which only the type is exported can be named by users, and not constructed.
  const isInPlace = (one) => isHere(one) && one.outside === one.name && !isTypeOnlyClass(one)
  const inPlace = new Set(exported.filter(isInPlace).map(id))
  const again = exported.filter((one) => !isInPlace(one))
  const renamed = ({ name, outside }) => (name === outside ? name : `${name} as ${outside}`)
  const from = (verb, ones) =>
    clauses(
      verb,
      ones.map((one) => [isHere(one) ? undefined : sourceOf(one), renamed(one)]),
    )
  return [
    ...clauses('import type', needed),
    ...from(
      'export',
      again.filter((one) => !one.isTypeOnly),
    ),
    ...from(
      'export type',
      again.filter((one) => one.isTypeOnly),
    ),
    ...declarations.flatMap((one) => statements(one).map((each) => statement(each, one, inPlace.has(id(one))))),
    // Without it everything in a declaration file is exported.
    'export {};',
    '',
  ].join('\n')
}

const isTypeOnlyClass = (one) => one.isTypeOnly && !statements(one).some(({ code }) => /^(interface|type) /.test(code))

/** What an entry point exports, and everything that is needed to understand it. */
function reachedFromEntry(path) {
  const exported = exportsOf(path).map((name) => {
    const found = origin({ path, name })
    if (found.package) throw new Error(`${path} exports ${name}, which is another package's`)
    return { ...found, outside: name }
  })
  return { exported, declarations: reachedFrom(exported) }
}

/**
 * @param {Map<string, string>} entries what each entry's file is to be called, such as `prometheus/index`, and its declarations by tsc
 * @returns {Map<string, string>} texts by file name without extension: the entries, and `types`, which is what they share
 */
export function bundleDeclarations(entries) {
  const reached = new Map([...entries].map(([name, path]) => [name, reachedFromEntry(path)]))
  const usersOf = new Map()
  const all = new Map()
  for (const [name, { declarations }] of reached) {
    for (const one of declarations) {
      all.set(id(one), one)
      usersOf.set(id(one), [...(usersOf.get(id(one)) ?? []), name])
    }
  }
  const isShared = (one) => usersOf.get(id(one)).length > 1
  const shared = [...all.values()].filter(isShared)
  const texts = new Map([
    [
      'types',
      file(
        shared,
        shared.map((one) => ({ ...one, outside: one.name, isTypeOnly: false })),
        () => 'types',
      ),
    ],
  ])
  for (const [name, { exported, declarations }] of reached) {
    const depth = name.split('/').length - 1
    const sharedFile = `${depth === 0 ? './' : '../'.repeat(depth)}types.cjs`
    texts.set(
      name,
      file(
        declarations.filter((one) => !isShared(one)),
        exported,
        () => sharedFile,
      ),
    )
  }
  return texts
}
