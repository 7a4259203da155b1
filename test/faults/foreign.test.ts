/*
 * Workers of another system on the same channel: they delete keys by pattern, publish the bare tag, and raise nothing.
 */
import { expect } from 'chai'
import type { Redis } from 'ioredis'
import type { RegistryCacheOptions } from '../../lib/index.ts'
import { parseEpochMessage } from '../../lib/tiers/messages.ts'
import { type RedisServer, startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'
import { type OneWorker, startOne } from './one-worker.ts'

const CHANNEL = 'mcpgw:cache:invalidate'
const TYPES = ['tools', 'servers', 'prompts', 'tool_lookup', 'admin']

describe('a fleet with workers of another system', () => {
  let redis: RedisServer
  let plain: Redis
  let ones: OneWorker[]

  beforeEach(async () => {
    redis = await startRedis()
    plain = redis.client()
    ones = []
  })

  afterEach(async () => {
    for (const one of ones) await one.stop()
    await redis.stop()
  })

  async function start(options: RegistryCacheOptions = {}): Promise<OneWorker> {
    const one = await startOne(redis.client(), { maxStaleness: 600, defaultTtl: 600, ...options }, TYPES)
    await one.cache.start()
    ones.push(one)
    return one
  }

  /** What the other system does when something was written. */
  async function invalidateTheirWay(tag: string): Promise<void> {
    const keys = await plain.keys(`mcpgw:${tag}*`)
    if (keys.length > 0) await plain.del(...keys)
    await plain.publish(CHANNEL, tag)
  }

  const PATHS = {
    'registry:tools': ['/tools/k'],
    'tool_lookup:x': ['/tool_lookup/x?tag=tool_lookup:x'],
    'tool_lookup:gateway:g': ['/tool_lookup/y?tag=tool_lookup:gateway:g'],
    'admin:users': ['/admin/users?tag=admin:users'],
    none: ['/servers/k', '/prompts/k', '/admin/teams?tag=admin:teams'],
  } as const

  it('drops exactly what the other system names, in every worker', async () => {
    const [a, b] = [await start(), await start()]
    const all = Object.values(PATHS).flat()
    const cachedIn = async (one: OneWorker, path: string): Promise<boolean> =>
      (await one.get(path)).headers['x-cache'] === 'HIT'
    for (const path of all) for (const one of [a, b, a, b]) await one.get(path)
    for (const tag of ['registry:tools', 'tool_lookup:x', 'tool_lookup:gateway:g', 'admin:users'] as const) {
      await invalidateTheirWay(tag)
      await until(() => a.invalidated.includes(tag) && b.invalidated.includes(tag))
      for (const path of all) {
        const isDropped = (PATHS[tag] as readonly string[]).includes(path)
        expect(await cachedIn(a, path), `${path} after ${tag}`).to.equal(!isDropped)
        // The first one's answer is in Redis by then, or b computes it itself: either way not from its memory.
        if (isDropped) await b.get(path)
        expect(await cachedIn(b, path), `${path} after ${tag}, in the other worker`).to.equal(true)
      }
    }
    const named = new Set(['registry:tools', 'tool_lookup:x', 'tool_lookup:gateway:g', 'admin:users'])
    expect(new Set(a.invalidated)).to.deep.equal(named)
    expect(new Set(b.invalidated)).to.deep.equal(named)
  })

  it('drops everything when the other system says so', async () => {
    const one = await start()
    for (const path of Object.values(PATHS).flat()) await one.get(path)
    await plain.publish(CHANNEL, 'registry:')
    await until(() => one.invalidated.includes('registry:'))
    for (const path of Object.values(PATHS).flat()) {
      expect((await one.get(path)).headers['x-cache'], path).to.equal('MISS')
    }
  })

  it('publishes its own invalidations in the format of the other system, right after the epoch', async () => {
    const one = await start()
    const heard: string[] = []
    const listener = redis.client()
    listener.on('message', (_channel, message) => heard.push(message))
    await listener.subscribe(CHANNEL)
    await one.cache.invalidate('prompts')
    await one.cache.invalidate({ tag: 'tool_lookup:x' })
    await one.cache.invalidate({ tag: 'admin:all users' })
    await one.cache.invalidateAll()
    await until(() => heard.includes('registry:'))
    const bare = heard.filter((message) => parseEpochMessage(message) === undefined)
    expect(bare).to.deep.equal([
      'registry:prompts',
      'registry:servers',
      'tool_lookup:x',
      'admin:all users',
      'registry:',
    ])
    for (const [i, message] of heard.entries()) {
      if (i % 2 === 0) expect(parseEpochMessage(message)?.tag).to.equal(heard[i + 1])
    }
  })

  it('does not raise again for its own messages, nor for what nobody here has met', async () => {
    const [a, b] = [await start(), await start()]
    for (const one of [a, b]) await one.get('/tools/k')
    await plain.publish(CHANNEL, 'something:else')
    await plain.publish(CHANNEL, 'no tag at all')
    await a.cache.invalidate('tools')
    await until(() => b.invalidated.length === 2)
    const epoch = await plain.get('mcpgw:registry:tools:@epoch')
    for (let i = 0; i < 20; i++) for (const one of [a, b]) await one.get('/tools/k')
    expect(await plain.get('mcpgw:registry:tools:@epoch')).to.equal(epoch)
    expect(a.invalidated).to.deep.equal(['registry:tools', 'registry:servers'])
    expect(b.invalidated).to.deep.equal(['registry:tools', 'registry:servers'])
  })

  describe('with sweepForeignKeys', () => {
    const PREFIX = 'a[b]*c?:'

    async function put(...names: string[]): Promise<void> {
      for (const name of names) await plain.set(PREFIX + name, 'theirs')
    }

    it('removes the plain keys of exactly the invalidated types, and none of its own epochs', async () => {
      const one = await start({ sweepForeignKeys: true, prefix: PREFIX })
      const doomed = [
        'registry:tools',
        'registry:tools:abc',
        'registry:tools:a:b',
        'registry:servers',
        'registry:servers:q',
      ]
      const kept = [
        'registry:toolsmith',
        'registry:toolsmith:x',
        'registry:tool:x',
        'tool_lookup:x',
        'registry:prompts:q',
      ]
      await put(...doomed, ...kept, 'registry:tools:x:@lock:y')
      // What the prefix would match if it were taken for a pattern.
      await plain.set('abxc1:registry:tools:other', 'a stranger')
      await one.cache.invalidate('tools')
      await until(async () => (await plain.exists(...doomed.map((name) => PREFIX + name))) === 0)
      expect(await plain.exists(...kept.map((name) => PREFIX + name))).to.equal(kept.length)
      expect(await plain.exists('abxc1:registry:tools:other')).to.equal(1)
      expect(await plain.exists(`${PREFIX}registry:tools:x:@lock:y`)).to.equal(1)
      expect(await plain.exists(`${PREFIX}registry:tools:@epoch`, `${PREFIX}registry:servers:@epoch`)).to.equal(2)
    })

    it('removes those of every type when everything is invalidated', async () => {
      const one = await start({ sweepForeignKeys: true, prefix: PREFIX })
      await put('registry:tools:abc', 'registry:prompts', 'tool_lookup:x')
      await one.cache.invalidateAll()
      await until(async () => (await plain.exists(`${PREFIX}registry:tools:abc`, `${PREFIX}registry:prompts`)) === 0)
      expect(await plain.exists(`${PREFIX}tool_lookup:x`)).to.equal(1)
      expect(await plain.exists(`${PREFIX}registry::@epoch`)).to.equal(1)
    })

    it('works in batches, and under a keyPrefix', async () => {
      const client = redis.client({ keyPrefix: 'k:' })
      const one = await startOne(client, { sweepForeignKeys: true, prefix: PREFIX }, TYPES)
      ones.push(one)
      const pipeline = plain.pipeline()
      for (let i = 0; i < 3_000; i++) pipeline.set(`k:${PREFIX}registry:tools:${i}`, 'theirs')
      await pipeline.exec()
      await put('registry:tools:elsewhere')
      const before = await calls(plain, 'unlink')
      await one.cache.invalidate('tools')
      await until(async () => (await plain.keys('k:*')).every((key) => key.includes(':@')))
      expect((await calls(plain, 'unlink')) - before).to.be.within(4, 40)
      expect(await plain.exists(`${PREFIX}registry:tools:elsewhere`)).to.equal(1)
    })

    it('does not keep stop() waiting for a Redis that does not answer', async () => {
      const one = await start({ sweepForeignKeys: true, redisTimeout: 0.2 })
      const pipeline = plain.pipeline()
      for (let i = 0; i < 3_000; i++) pipeline.set(`mcpgw:registry:tools:${i}`, 'theirs')
      await pipeline.exec()
      await one.cache.invalidate('tools')
      redis.freeze()
      const startedAtMs = performance.now()
      await one.cache.stop()
      expect(performance.now() - startedAtMs).to.be.below(3_000)
      redis.thaw()
    })

    it('leaves everything where it is when it was not asked for', async () => {
      const one = await start({ prefix: PREFIX })
      await put('registry:tools:abc')
      await one.cache.invalidate('tools')
      await one.cache.stop()
      expect(await plain.exists(`${PREFIX}registry:tools:abc`)).to.equal(1)
    })
  })

  it('invalidates once more after replicaLag', async () => {
    const one = await start()
    const app = one.cache.invalidateOn({ types: ['prompts'], replicaLag: 0.3 })
    const { express5, listen, request } = await import('../helpers/http.ts')
    const http = await listen(express5().post('/', app, (_req, res) => void res.json({})))
    const startedAtMs = performance.now()
    await request(http, { method: 'POST' })
    expect(one.invalidated).to.deep.equal(['registry:prompts', 'registry:servers'])
    await until(() => one.invalidated.length === 4)
    expect(performance.now() - startedAtMs).to.be.at.least(300)
    // One that is still to come is not lost when the cache is stopped.
    await request(http, { method: 'POST' })
    const epoch = await plain.get('mcpgw:registry:prompts:@epoch')
    await one.cache.stop()
    expect(one.invalidated.length).to.equal(8)
    expect(Number(await plain.get('mcpgw:registry:prompts:@epoch'))).to.be.above(Number(epoch))
    await http.close()
  })
})

async function calls(client: Redis, command: string): Promise<number> {
  const info = await client.info('commandstats')
  return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(info)?.[1] ?? 0)
}
