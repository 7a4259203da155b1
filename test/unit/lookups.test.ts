/* Lookups that leave together: whose time they take, and what a Redis that answers nothing costs. Time is a fake clock's. */
import { expect } from 'chai'
import type { Cache } from '../../lib/cache/cache.ts'
import { encodeEntry } from '../../lib/cache/entry.ts'
import { Fleet } from '../../lib/cache/fleet.ts'
import type { Missed, Wanted } from '../../lib/cache/reading.ts'
import type { Deadline } from '../../lib/cache/tiers.ts'
import { createRegistryCache, type RegistryCache } from '../../lib/index.ts'
import { createFakeRedis, type FakeRedis } from '../../lib/testing/index.ts'
import { Lookups, type Send } from '../../lib/tiers/lookups.ts'
import { createFakeClock, type FakeClock, settle } from '../helpers/fake-clock.ts'

const SLACK_MS = 25

describe('lookups of one turn', () => {
  interface Sent {
    readonly keys: readonly string[]
    readonly deadline: Deadline
  }

  /** Readers with so much time left ask in one turn: what was sent, and the keys that shared a trip with each of them. */
  async function ask(...deadlinesMs: number[]): Promise<Sent[]> {
    const sent: Sent[] = []
    const send: Send = async (keys, tags, deadline) => {
      sent.push({ keys, deadline })
      return { ttlsMs: keys.map(() => 1), envelopes: keys.map((key) => Buffer.from(key)), epochs: tags.map(() => 1) }
    }
    const lookups = new Lookups(send, SLACK_MS)
    const asked = deadlinesMs.map((atMs, i) => lookups.look(`key ${i}`, ['t'], { atMs, recovering: false }))
    for (const [i, found] of (await Promise.all(asked)).entries()) expect(String(found.envelope)).to.equal(`key ${i}`)
    return sent
  }

  it('go in one trip, by the earliest deadline', async () => {
    const [trip, ...others] = await ask(250, 240, 249)
    expect(others).to.deep.equal([])
    expect(trip?.keys).to.deep.equal(['key 0', 'key 1', 'key 2'])
    expect(trip?.deadline.atMs).to.equal(240)
  })

  it('are parted into trips so small that large entries can come one after the other within their time', async () => {
    const trips = await ask(...Array.from({ length: 40 }, () => 250))
    expect(trips.map(({ keys }) => keys.length)).to.deep.equal([8, 8, 8, 8, 8])
  })

  it('cost no reader more of its time than the slack, however many with ever less of it come', async () => {
    const deadlinesMs = [250, 230, 210, 190, 170, 150, 130, 110, 90, 70, 50, 30, 10]
    for (const { keys, deadline } of await ask(...deadlinesMs)) {
      for (const key of keys) {
        const ownMs = deadlinesMs[Number(key.slice(4))] ?? 0
        expect(ownMs - deadline.atMs, key).to.be.within(0, SLACK_MS)
      }
    }
  })
})

describe('a turn among the workers', () => {
  it('reads what another worker has left, where that varies by headers, within the time that the request has left', async () => {
    const clock = createFakeClock()
    const stamps = { tags: ['registry:tools'], epochs: [2e15] }
    const none = { body: Buffer.alloc(0), status: 200, headers: [], removed: [], shareable: false, initialAgeMs: 0 }
    const lives = { ttlMs: 60_000, staleWhileRevalidateMs: 0, staleIfErrorMs: 0 }
    const envelope = Buffer.concat(encodeEntry({ kind: 'vary', vary: ['accept-language'], ...none, ...lives }, stamps))
    const deadlines: Deadline[] = []
    const cache = {
      options: {
        clock,
        shared: {
          isUp: () => true,
          lock: async () => {
            clock.advance(200)
            return { held: false, envelope, ttlMs: 60_000 }
          },
        },
      },
      deadline: () => ({ atMs: clock.monotonic() + 250, recovering: false }),
      isCurrent: () => true,
      read: async (_wanted: unknown, deadline: Deadline) => {
        deadlines.push(deadline)
        return { entry: 'found' }
      },
    } as unknown as Cache
    const deadline = cache.deadline()
    const missed = { hash: 'h', stamps, reach: 'both' } as unknown as Missed
    const { entry } = await new Fleet(cache, 5_000).turn({ type: 'tools' } as Wanted, missed, deadline)
    expect(entry).to.equal('found')
    expect(deadlines).to.deep.equal([deadline])
  })

  it('leaves the lock alone once that has ended, for it is another worker\u2019s then', async () => {
    const clock = createFakeClock()
    const redis = createFakeRedis({ clock })
    const [a, b] = await Promise.all(
      [1, 2].map(async () => {
        const cache = createRegistryCache({ redis: redis.client(), clock, lockTtl: 2 })
        await cache.start()
        return cache
      }),
    )
    const client = redis.client()
    const locks = async (): Promise<string[]> => (await client.scan('0', 'MATCH', '*@lock*', 'COUNT', 100))[1]
    const release: ((value: number) => void)[] = []
    const load = (): Promise<number> => new Promise((resolve) => release.push(resolve))
    const first = a?.wrap('tools', {}, load)
    await settle()
    expect(await locks()).to.have.lengthOf(1)
    clock.advance(2_001)
    const second = b?.wrap('tools', {}, load)
    await settle()
    expect(release).to.have.lengthOf(2)
    release[0]?.(1)
    expect(await first).to.equal(1)
    await settle()
    expect(await locks()).to.have.lengthOf(1)
    release[1]?.(2)
    expect(await second).to.equal(2)
    await settle()
    expect(await locks()).to.deep.equal([])
    await Promise.all([a?.stop(), b?.stop()])
  })
})

describe('readers of one key while Redis answers nothing', () => {
  let redis: FakeRedis
  let clock: FakeClock
  let cache: RegistryCache

  beforeEach(async () => {
    clock = createFakeClock()
    redis = createFakeRedis({ clock })
    cache = createRegistryCache({ redis: redis.client(), clock, breaker: { failures: 2 } })
    await cache.start()
  })

  afterEach(async () => {
    redis.thaw()
    await cache.stop()
  })

  it('are one failure, and none asks again when its time is over', async () => {
    const errors: string[] = []
    cache.on('error', ({ code }) => errors.push(code))
    redis.freeze()
    const asked = [1, 2, 3].map(() => cache.get('tools'))
    await settle()
    await clock.advanceAsync(250)
    for (const reading of asked) expect(await reading).to.equal(undefined)
    await clock.advanceAsync(1)
    await settle()
    expect(errors).to.deep.equal(['ERR_REDIS_TIMEOUT'])
    expect(cache.stats().redisAvailable).to.equal(true)
  })
})
