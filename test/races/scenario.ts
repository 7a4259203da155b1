/*
 * Interleavings written out by hand. Each ends well with the real code, and throws a Violation with the mutants it is for.
 */
import type { Settings } from './model-worker.ts'
import type { Modules } from './modules.ts'
import { Violation, World } from './world.ts'

export interface Scenario {
  readonly name: string
  readonly settings: Partial<Settings>
  readonly play: (world: World) => Promise<void>
}

export async function play(modules: Modules, scenario: Scenario): Promise<Violation | undefined> {
  const world = new World(modules, scenario.settings)
  try {
    await scenario.play(world)
    await world.settle()
    return undefined
  } catch (error) {
    // Anything else is a mistake of the interleaving: a step that is not there, for instance.
    if (!(error instanceof Violation)) throw error
    return new Violation(`${error.message}\n${world.steps.story.join('\n')}`)
  }
}

/** Both workers are subscribed and have the entry; all epochs are known. */
export async function warm(world: World): Promise<void> {
  world.subscribe()
  await world.readNow(world.a)
  await world.readNow(world.b)
}

/** Redis has not taken what B raises; the invalidation is acknowledged all the same. */
export async function writeUntold(world: World, tag: string): Promise<void> {
  const told = world.write(world.b, tag)
  await world.settle()
  world.steps.lose(world.steps.find(/B raise/))
  await world.pass(251)
  await told
}

export function hearAll(world: World): void {
  for (const worker of world.workers) while (worker.inbox.length > 0) worker.hear()
}
