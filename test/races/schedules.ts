/*
 * Random schedules: fast-check draws the settings of a world and a list of numbers, each of which chooses what happens next
 * among all that may. A failing list is shrunk, and told as a story.
 */
import fc from 'fast-check'
import type { Copy } from './model-store.ts'
import type { ModelWorker, Settings } from './model-worker.ts'
import type { Modules } from './modules.ts'
import { TAGS, Violation, World } from './world.ts'

export interface Schedule {
  readonly settings: Settings
  readonly seed: number
  /** How often things fail: 0 never, 1 now and then, 2 often. */
  readonly trouble: number
  readonly choices: readonly number[]
}

const mostly = <T>(usual: T, ...others: readonly T[]): fc.Arbitrary<T> =>
  fc.oneof({ weight: 3, arbitrary: fc.constant(usual) }, { weight: 2, arbitrary: fc.constantFrom(...others) })

export const anySchedule: fc.Arbitrary<Schedule> = fc.record({
  settings: fc.record({
    hasRedis: fc.integer({ min: 0, max: 19 }).map((n) => n > 0),
    whenRedisIsDown: fc.constantFrom('serve-memory', 'bypass'),
    maxStalenessMs: mostly(5000, 1000, 100),
    ttlMs: mostly(20_000, 2000, 400),
    lockTtlMs: mostly(0, 600),
    maxRecords: mostly(1000, 2, 5),
    reveals: fc.boolean(),
    clears: mostly(false, true),
    defers: fc.boolean(),
    isSplit: fc.boolean(),
    isTardy: mostly(false, true),
    resends: mostly(false, true),
    clockRate: mostly(1, 0, 0.5),
  }),
  seed: fc.nat(),
  trouble: fc.nat(2),
  choices: fc.array(fc.nat(0xffff), { minLength: 25, maxLength: 80, size: 'max' }),
})

type Action = readonly [weight: number, act: () => void | Promise<void>]

const MAX_READS = 6
const MAX_RUNNING = 4

/** Runs it, and tells how it was broken; undefined when all promises held. */
export async function run(
  modules: Modules,
  schedule: Schedule,
  onStory?: (story: string) => void,
): Promise<Violation | undefined> {
  const world = new World(modules, schedule.settings, schedule.seed)
  const copies: Copy[] = [world.store.copy()]
  const startsLive = schedule.seed % 4 !== 0
  if (startsLive) world.subscribe()
  try {
    for (const choice of schedule.choices) {
      const actions = allActions(world, schedule, copies)
      const total = actions.reduce((sum, [weight]) => sum + weight, 0)
      let at = (choice / 0x10000) * total
      for (const [weight, act] of actions) {
        at -= weight
        if (at >= 0) continue
        await act()
        break
      }
      await world.settle()
    }
    await world.heal()
    for (const { name, epochs } of world.workers) {
      // Raises heard of that had no record count as well, but hardly where there is room for every record.
      if (schedule.settings.maxRecords < TAGS.length && epochs.moment().fellOut > 0) {
        world.steps.note(`a record of ${name} has fallen out`)
      }
    }
    onStory?.(world.steps.story.join('\n'))
    return undefined
  } catch (error) {
    if (!(error instanceof Violation)) throw error
    return new Violation(`${error.message}\n${world.steps.story.join('\n')}`)
  }
}

function allActions(world: World, { trouble, settings }: Schedule, copies: Copy[]): Action[] {
  const { steps, store, workers } = world
  const actions: Action[] = []
  const may = (weight: number, act: () => void | Promise<void>): void => {
    if (weight > 0) actions.push([weight, act])
  }
  for (const [i, step] of steps.pending.entries()) {
    may(i === 0 ? 6 : 3, () => steps.take(i))
    if (!step.losable) continue
    may(trouble * (/raise/.test(step.label) ? 0.6 : 0.15), () => steps.lose(i))
    const worker = workers.find(({ name }) => step.label.startsWith(name))
    if (worker?.tier.isUp()) {
      may(trouble * 0.1, () => {
        steps.take(i)
        world.drop(worker)
      })
    }
  }
  for (const [ms, weight] of [
    [1, 0.5],
    [60, 1],
    [260, 0.5],
    [1001, 0.35],
  ] as const)
    may(weight, () => world.pass(ms))
  // Now and then everything goes as it should for a while.
  if (steps.pending.length > 0) may(2, () => world.flow(/handler/))
  for (const worker of workers) worldOf(worker)
  if (!settings.hasRedis) return actions
  may(trouble * 0.15, () => {
    steps.note('Redis loses everything')
    forgetForeign()
    store.flush()
  })
  may(trouble * 0.1, () => loseEpoch(TAGS[0]))
  may(trouble * 0.1, () => loseEpoch(TAGS[1]))
  // The loss of just a revealed tag's key within a fill is not promised to be noticed.
  if (world.running === 0) may(trouble * 0.1, () => loseEpoch(TAGS[2]))
  may(trouble * 0.15, () => {
    store.isFull = !store.isFull
    steps.note(store.isFull ? 'Redis is full' : 'Redis has room again')
  })
  may(0.3, () => {
    copies.push(store.copy())
    steps.note('a copy of Redis is made')
  })
  for (const [i, copy] of copies.slice(-2).entries()) {
    may(trouble * 0.12, () => world.failOver(copy, i === 0 ? -3_000_017 : 5_000_011))
  }
  may(0.25, () => world.writeForeign(TAGS[0], false))
  may(0.15, () => world.writeForeign(TAGS[0], true))
  may(0.25, () => world.writeForeign(TAGS[2], false))
  return actions

  function worldOf(worker: ModelWorker): void {
    if (world.unanswered < MAX_READS && world.running < MAX_RUNNING) {
      may(4, () => void world.read(worker))
      if (settings.hasRedis) may(1.5, () => void world.read(worker, true))
      may(0.3, () => void world.read(worker, false, 2))
    }
    if (world.unacknowledged < 3)
      for (const [i, tag] of TAGS.entries()) may(i === 0 ? 1 : 0.4, () => void world.write(worker, tag))
    if (!settings.hasRedis) return
    if (worker.inbox.length > 0) {
      may(5, () => worker.hear())
      may(trouble * 0.8, () => lose(worker))
    }
    if (worker.isAttached && worker.isLive) {
      may(trouble * 0.25, () => note(worker, 'loses its subscription', () => worker.loseSubscription()))
      may(trouble * 0.1, () => note(worker, 'goes deaf', () => worker.goDeaf()))
    } else if (!worker.isAttached) {
      if (worker.isLive) may(1, () => note(worker, 'notices that it is deaf', () => worker.loseSubscription()))
      else may(1, () => note(worker, 'is subscribed', () => worker.attach()))
    } else may(2, () => note(worker, 'is live', () => worker.becomeLive()))
    if (worker.tier.isUp()) may(trouble * 0.2, () => world.drop(worker))
    else if (worker.mayRecover) may(2, () => note(worker, 'recovers', () => worker.recover()))
  }

  /**
   * A number that was opened anew looks to those who did not open it as if somebody had raised the tag. So a foreign message
   * that only they hear is taken for done; whoever opened it, and hears the message too, raises. Promised is no more.
   */
  function forgetForeign(): void {
    world.hasLostForeign = true
    for (const worker of workers) worker.hasMissed = true
  }

  function loseEpoch(tag: string): void {
    steps.note(`Redis loses the epoch of ${tag}`)
    forgetForeign()
    store.loseEpoch(tag)
  }

  function note(worker: ModelWorker, what: string, act: () => void): void {
    steps.note(`${worker.name} ${what}`)
    if (worker.inbox.some(({ isForeign }) => isForeign)) world.hasLostForeign = true
    act()
  }

  function lose(worker: ModelWorker): void {
    steps.note(`LOST ${worker.name} message ${worker.inbox[0]?.message}`)
    if (worker.inbox[0]?.isForeign) world.hasLostForeign = true
    worker.loseMessage()
  }
}

/** The first violation that so many schedules find. */
export async function search(
  modules: Modules,
  options: { runs: number; seed: number; onStory?: (story: string) => void },
): Promise<{ violation: Violation; runs: number; schedule: Schedule } | undefined> {
  let found: Violation | undefined
  const property = fc.asyncProperty(anySchedule, async (schedule) => {
    const violation = await run(modules, schedule, options.onStory)
    if (violation) found = violation
    return violation === undefined
  })
  const details = await fc.check(property, {
    numRuns: options.runs,
    seed: options.seed,
    endOnFailure: process.env.RACES_SHRINK === undefined,
  })
  if (!details.failed || !details.counterexample) return undefined
  const [schedule] = details.counterexample
  return {
    violation: (await run(modules, schedule)) ?? found ?? new Violation('gone'),
    runs: details.numRuns,
    schedule,
  }
}

/** RACES_SEED repeats a run; RACES_RUNS makes it longer. */
export function chosenSeed(): number {
  const given = process.env.RACES_SEED
  return given === undefined ? Math.floor(Math.random() * 0x7fffffff) : Number(given)
}
