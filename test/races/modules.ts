/*
 * The real code of the cache, or copies of it with a mistake put in. A patch is an exact piece of a source file and what stands in
 * its place; a piece that is not found exactly once is an error, so a mutant can not quietly turn into the real code.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import tsBlankSpace from 'ts-blank-space'
import * as cache from '../../lib/cache/cache.ts'
import * as counters from '../../lib/cache/counters.ts'
import * as epochs from '../../lib/cache/epochs.ts'
import * as fleet from '../../lib/cache/fleet.ts'
import * as flights from '../../lib/cache/flights.ts'
import * as questions from '../../lib/cache/questions.ts'
import * as raises from '../../lib/cache/raises.ts'
import * as values from '../../lib/cache/values.ts'
import * as events from '../../lib/events.ts'
import * as memory from '../../lib/tiers/memory.ts'
import * as messages from '../../lib/tiers/messages.ts'

const files = {
  cache: 'cache/cache.ts',
  counters: 'cache/counters.ts',
  epochs: 'cache/epochs.ts',
  fleet: 'cache/fleet.ts',
  flights: 'cache/flights.ts',
  questions: 'cache/questions.ts',
  raises: 'cache/raises.ts',
  values: 'cache/values.ts',
  events: 'events.ts',
  memory: 'tiers/memory.ts',
  messages: 'tiers/messages.ts',
} as const

/** The modules that a worker is made of. */
export const real = { cache, counters, epochs, fleet, flights, questions, raises, values, events, memory, messages }
export type Modules = typeof real

export interface Patch {
  /** Relative to lib/. */
  readonly file: string
  readonly replace: string
  readonly by: string
}

const root = join(dirname(fileURLToPath(import.meta.url)), '../..')
const lib = join(root, 'lib')
const sources = new Map<string, string>()
const stripped = new Map<string, string>()

/** Loads copies of the modules with these patches; `remove` deletes what was written for it. */
export async function mutate(patches: readonly Patch[]): Promise<{ modules: Modules; remove: () => void }> {
  const folder = mkdtempSync(join(tmpdir(), 'registry-cache-mutant-'))
  const remove = (): void => rmSync(folder, { recursive: true, force: true })
  try {
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
    const written = new Set<string>()
    const byFile = new Map<string, string>()
    for (const { file, replace, by } of patches) byFile.set(file, replaceOnce(file, byFile.get(file), replace, by))
    for (const file of Object.values(files)) write(folder, file, byFile, written)
    for (const file of byFile.keys()) if (!written.has(file)) throw new Error(`no module of a worker needs lib/${file}`)
    const loaded = Object.entries(files).map(async ([name, file]) => {
      return [name, await import(pathToFileURL(join(folder, asJs(file))).href)] as const
    })
    return { modules: Object.fromEntries(await Promise.all(loaded)) as Modules, remove }
  } catch (error) {
    remove()
    throw error
  }
}

function replaceOnce(file: string, patched: string | undefined, replace: string, by: string): string {
  const source = patched ?? sourceOf(file)
  const times = source.split(replace).length - 1
  if (times !== 1) throw new Error(`lib/${file} has ${times} times, not once, what is to be replaced: ${replace}`)
  return source.replace(replace, () => by)
}

function sourceOf(file: string): string {
  const source = sources.get(file) ?? readFileSync(join(lib, file), 'utf8')
  sources.set(file, source)
  return source
}

/** Writes a file and all that it imports from lib. */
function write(folder: string, file: string, patched: ReadonlyMap<string, string>, written: Set<string>): void {
  if (written.has(file)) return
  written.add(file)
  const code = patched.has(file) ? strip(patched.get(file) ?? '') : (stripped.get(file) ?? strip(sourceOf(file)))
  if (!patched.has(file)) stripped.set(file, code)
  const target = join(folder, asJs(file))
  mkdirSync(dirname(target), { recursive: true })
  writeFileSync(target, code)
  for (const [, imported = ''] of code.matchAll(/from '(\.[^']+)\.js'/g)) {
    write(folder, relative(lib, join(lib, dirname(file), `${imported}.ts`)), patched, written)
  }
}

function strip(source: string): string {
  const refused: unknown[] = []
  const code = tsBlankSpace(source, (node) => refused.push(node))
  if (refused.length > 0) throw new Error('a patched file has TypeScript that does not erase')
  return code.replace(/(from '\.[^']+)\.ts'/g, "$1.js'")
}

function asJs(file: string): string {
  return file.replace(/\.ts$/, '.js')
}
