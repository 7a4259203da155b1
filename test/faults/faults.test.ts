/*
 * Three workers and one Redis under a load of reads and writes, while something goes wrong with Redis or with the way to it.
 * load.ts says what must hold throughout.
 */
import { expect } from 'chai'
import { until } from '../helpers/until.ts'
import { type Fleet, type FleetWorker, isSubscriber, startFleet } from '../workers/fleet.ts'
import { KEYS, Load, PATHS } from './load.ts'

const MAX_STALENESS_MS = 500

interface Scenario {
  /** Does the harm. Returns what ends it. */
  harm: (load: Load) => Promise<() => unknown>
  /** Who can not reach Redis meanwhile; default: everybody can. */
  cutOff?: readonly FleetWorker[]
  /** Default 1: a machine that is busy is not to be taken for a silent Redis. */
  redisTimeout?: number
  /** Whether Redis loses what it holds, so that what nobody wrote is filled again; default no. */
  loses?: boolean
  /** What must have come of the harm before it is ended. */
  takesEffect?: () => Promise<boolean>
}

describe('faults under load', function () {
  this.timeout(60_000)
  const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31))
  let fleet: Fleet
  let one: FleetWorker

  before(async () => {
    fleet = await startFleet(3, {}, { args: ['--dbfilename', 'older.rdb'] })
    one = fleet.workers[1] as FleetWorker
  })

  after(() => fleet.stop())

  async function survive({ harm, cutOff = [], redisTimeout = 1, loses = false, takesEffect }: Scenario): Promise<void> {
    await fleet.reopen({
      handlerMs: 3,
      cache: { maxStaleness: MAX_STALENESS_MS / 1_000, defaultTtl: 600, redisTimeout },
    })
    for (const worker of fleet.workers) await worker.version('/calm/k')
    const calmRuns = await fleet.runs('/calm/k')
    const load = new Load(fleet, MAX_STALENESS_MS, seed)
    let broken: string[] = []
    try {
      await until(() => load.reads > 50 && load.writes > 5, {
        deadlineMs: 15_000,
        describe: 'the load to get going',
      })
      const reachable = cutOff.length > 0 ? load.cutOff(cutOff) : () => {}
      const [reads, writes, atMs] = [load.reads, load.writes, performance.now()]
      const end = await harm(load)
      try {
        await until(
          async () => {
            const isLongEnough = performance.now() - atMs > 2.5 * MAX_STALENESS_MS
            const isUsed = load.reads > reads + 50 && (load.writes > writes + 5 || !load.isWriting)
            return isLongEnough && isUsed && (takesEffect === undefined || (await takesEffect()))
          },
          { deadlineMs: 20_000, describe: 'the fault to be felt' },
        )
      } finally {
        await end()
      }
      reachable()
      const endedAtMs = performance.now()
      await load.stopWriting()
      await until(
        async () => (await Promise.all(fleet.workers.map((worker) => isUpToDate(worker, load)))).every(Boolean),
        { deadlineMs: MAX_STALENESS_MS + 2_000 - (performance.now() - endedAtMs), describe: 'all workers to be equal' },
      )
    } finally {
      broken = await load.stop()
    }
    expect(broken.slice(0, 5), `${broken.length} broken promises; SEED=${seed}`).to.deep.equal([])
    await fleet.settled()
    for (const worker of fleet.workers) {
      for (const path of ['/calm/k', ...Object.values(PATHS)]) {
        await until(async () => (await worker.get(path)).headers['x-cache'] === 'HIT', { describe: `hits of ${path}` })
      }
    }
    if (!loses) expect(await fleet.runs('/calm/k'), 'runs of what nobody wrote').to.equal(calmRuns)
  }

  async function isUpToDate(worker: FleetWorker, load: Load): Promise<boolean> {
    for (const key of KEYS) {
      if ((await worker.version(PATHS[key])) !== load.latest(key)) return false
    }
    return true
  }

  it('survives a frozen Redis', async () => {
    await survive({
      redisTimeout: 0.3,
      cutOff: fleet.workers,
      harm: async () => {
        fleet.redis.freeze()
        return () => fleet.redis.thaw()
      },
    })
  })

  it('survives a Redis that is killed and comes back empty', async () => {
    await survive({
      cutOff: fleet.workers,
      loses: true,
      harm: async () => {
        await fleet.redis.kill()
        return () => fleet.redis.restart()
      },
    })
  })

  it('survives a Redis that comes back with an older copy of its data', async () => {
    await survive({
      cutOff: fleet.workers,
      harm: async (load) => {
        await fleet.redis.command('SAVE')
        const client = fleet.redis.client()
        const saved = await client.get('mcpgw:item:x:@epoch')
        await until(async () => Number(await client.get('mcpgw:item:x:@epoch')) > Number(saved))
        // A later write would raise anew what was lost.
        await load.stopWriting()
        await fleet.redis.kill()
        return () => fleet.redis.restart()
      },
    })
  })

  it('survives FLUSHALL, again and again', async () => {
    await survive({ loses: true, harm: () => again(() => fleet.redis.command('FLUSHALL')) })
  })

  it('survives the loss of its epochs', async () => {
    await survive({
      loses: true,
      harm: () =>
        again(async () => {
          const keys = (await fleet.redis.command('KEYS', '*:@epoch')) as string[]
          if (keys.length > 0) await fleet.redis.command('DEL', ...keys)
        }),
    })
  })

  it('survives a Redis that evicts what it was told to keep', async () => {
    const evicted = async (): Promise<number> => {
      const info = String(await fleet.redis.command('INFO', 'stats'))
      return Number(/evicted_keys:(\d+)/.exec(info)?.[1])
    }
    const before = await evicted()
    await survive({
      loses: true,
      harm: async () => {
        await fleet.redis.config({ 'maxmemory-policy': 'allkeys-random', 'maxmemory-samples': '1' })
        const info = String(await fleet.redis.command('INFO', 'memory'))
        const usedBytes = Number(/used_memory:(\d+)/.exec(info)?.[1])
        await fleet.redis.config({ maxmemory: String(usedBytes + 200_000) })
        let fillers = 0
        // Refused now and then, where there is nothing left to evict.
        const fill = (): Promise<unknown> => fleet.redis.command('SET', `filler:${fillers++}`, 'x'.repeat(20_000))
        const stop = await again(() => fill().catch(() => {}))
        return async () => {
          await stop()
          await fleet.redis.config({ maxmemory: '0', 'maxmemory-policy': 'noeviction' })
        }
      },
      takesEffect: async () => (await evicted()) > before + 20,
    })
  })

  it('survives a full Redis that refuses writes', async () => {
    await survive({
      harm: async () => {
        await fleet.redis.config({ 'maxmemory-policy': 'noeviction', maxmemory: '1' })
        return () => fleet.redis.config({ maxmemory: '0' })
      },
    })
  })

  it('survives subscribers that lose their connection, again and again', async () => {
    await survive({ harm: () => again(() => fleet.redis.command('CLIENT', 'KILL', 'TYPE', 'pubsub')) })
  })

  it('survives a subscriber that hears nothing and is told nothing', async () => {
    await survive({
      harm: async () => {
        one.proxy.swallow({ direction: 'to-client', filter: isSubscriber })
        return () => one.proxy.heal()
      },
    })
  })

  it('survives one worker that is cut off', async () => {
    await survive({
      cutOff: [one],
      harm: async () => {
        await one.proxy.cut()
        return () => one.proxy.heal()
      },
    })
  })

  it('survives a slow way to Redis', async () => {
    await survive({
      harm: async () => {
        for (const { proxy } of fleet.workers) proxy.delay(50, { direction: 'to-client' })
        return () => {
          for (const { proxy } of fleet.workers) proxy.delay(0)
        }
      },
    })
  })
})

/** Does it over and over, one at a time, until the returned function is called. */
async function again(harm: () => Promise<unknown>): Promise<() => Promise<void>> {
  let isOver = false
  const loop = (async () => {
    for (let i = 0; i < 500 && !isOver; i++) {
      await harm()
      await new Promise<void>((resolve) => setTimeout(resolve, 30))
    }
  })()
  return async () => {
    isOver = true
    await loop
  }
}
