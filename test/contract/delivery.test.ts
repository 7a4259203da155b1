/*
 * One suite for every way to deliver: from memory alone, and from Redis by each client that users bring. The reader is another
 * cache than the writer wherever there is a Redis, so that what it answers has gone over the wire.
 */
import { expect } from 'chai'
import express from 'express'
import { Redis } from 'ioredis'
import { Redis as RedisFive } from 'ioredis5'
import { Redis as Valkey } from 'iovalkey'
import {
  createRegistryCache,
  type RedisClient,
  type RegistryCache,
  type RegistryCacheOptions,
} from '../../lib/index.ts'
import { createFakeClock, type FakeClock } from '../helpers/fake-clock.ts'
import { type Answer, type Listening, listen, request } from '../helpers/http.ts'
import { type RedisServer, startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'

/** What is used of a client beside what the cache uses. */
type Client = RedisClient & { disconnect(): void; keys(pattern: string): Promise<string[]> }

const deliveries: Record<string, ((port: number) => Client) | undefined> = {
  'memory alone': undefined,
  'ioredis 6': (port) => new Redis({ port }),
  'ioredis 6, RESP2': (port) => new Redis({ port, protocol: 2 }),
  'ioredis 6, RESP3': (port) => new Redis({ port, protocol: 3 }),
  'ioredis 6 with keyPrefix': (port) => new Redis({ port, keyPrefix: 'app:{x}:' }),
  'ioredis 6 with another database': (port) => new Redis({ port, db: 3 }),
  'ioredis 5': (port) => new RedisFive({ port }),
  'ioredis 5 with keyPrefix': (port) => new RedisFive({ port, keyPrefix: 'app:' }),
  iovalkey: (port) => new Valkey({ port }),
  'iovalkey with keyPrefix': (port) => new Valkey({ port, keyPrefix: 'app:' }),
}

for (const [name, connect] of Object.entries(deliveries)) {
  describe(`delivery by ${name}`, () => {
    let redis: RedisServer | undefined
    let clock: FakeClock
    let clients: Client[]
    let caches: RegistryCache[]
    let servers: Listening[]

    before(async () => {
      if (connect) redis = await startRedis()
    })
    after(() => redis?.stop())
    beforeEach(async () => {
      clock = createFakeClock()
      clients = []
      caches = []
      servers = []
      await redis?.command('FLUSHALL')
    })
    afterEach(async () => {
      await Promise.all(servers.map((server) => server.close()))
      await Promise.all(caches.map((cache) => cache.stop()))
      for (const client of clients) client.disconnect()
    })

    /** With the clock of the test unless there is a Redis, whose time is its own. */
    async function make(options: RegistryCacheOptions = {}): Promise<RegistryCache> {
      const client = redis && connect?.(redis.port)
      if (client) {
        client.on('error', () => {})
        clients.push(client)
      }
      const cache = createRegistryCache({ ...(client ? { redis: client, redisTimeout: 5 } : { clock }), ...options })
      cache.on('error', (error) => {
        throw error
      })
      caches.push(cache)
      await cache.start()
      return cache
    }

    /** Two workers; in memory they are one. */
    async function pair(): Promise<[RegistryCache, RegistryCache]> {
      const writer = await make()
      return [writer, connect ? await make() : writer]
    }

    const found = (cache: RegistryCache, filters?: Record<string, unknown>): Promise<unknown> =>
      until(async () => (await cache.get('tools', filters)) !== undefined, { describe: 'the value' }).then(() =>
        cache.get('tools', filters),
      )

    it('gives back what was set, of the same shape', async () => {
      const [writer, reader] = await pair()
      const value = {
        list: [1, 'two', null, { three: [] }],
        at: new Date(3),
        gone: undefined,
        text: 'ä€😀\u0000\u2028"\\',
      }
      await writer.set('tools', value, { page: 1 })
      const shape = JSON.parse(JSON.stringify(value)) as unknown
      expect(await found(reader, { page: 1 })).to.deep.equal(shape)
      expect(await writer.get('tools', { page: 1 })).to.deep.equal(shape)
      expect(await reader.get('tools', { page: 2 })).to.equal(undefined)
    })

    it('gives back a large value, up to maxEntryBytes and nothing beyond', async () => {
      const [writer, reader] = await pair()
      const mib = 1024 * 1024
      await writer.set('tools', 'x'.repeat(mib - 2), { fits: true })
      await writer.set('tools', 'x'.repeat(mib - 1), { fits: false })
      expect(((await found(reader, { fits: true })) as string).length).to.equal(mib - 2)
      expect(await writer.get('tools', { fits: false })).to.equal(undefined)
      expect(await reader.get('tools', { fits: false })).to.equal(undefined)
      expect(writer.stats().notStored).to.deep.equal({ 'too-large': 1 })
    })

    it('keeps a value for its TTL and no longer', async () => {
      const [writer, reader] = await pair()
      await writer.set('tools', 'long', { n: 1 }, { ttl: 60 })
      await writer.set('tools', 'short', { n: 2 }, { ttl: 0.3 })
      if (connect) {
        await found(reader, { n: 1 })
        await until(async () => (await reader.get('tools', { n: 2 })) === undefined, { describe: 'the end' })
        await until(async () => (await writer.get('tools', { n: 2 })) === undefined, { describe: 'the end' })
      } else {
        clock.advance(299)
        expect(await reader.get('tools', { n: 2 })).to.equal('short')
        clock.advance(1)
        expect(await reader.get('tools', { n: 2 })).to.equal(undefined)
      }
      expect(await reader.get('tools', { n: 1 })).to.equal('long')
    })

    it('drops a type with its dependents, in every worker', async () => {
      const [writer, reader] = await pair()
      for (const type of ['gateways', 'tools', 'agents']) {
        await writer.set(type, type)
        await until(async () => (await reader.get(type)) === type)
      }
      expect(await writer.invalidate('gateways')).to.deep.equal({ shared: true })
      for (const type of ['gateways', 'tools']) {
        expect(await writer.get(type), type).to.equal(undefined)
        await until(async () => (await reader.get(type)) === undefined)
      }
      expect([await writer.get('agents'), await reader.get('agents')]).to.deep.equal(['agents', 'agents'])
    })

    it('loads once for two workers that ask at once', async () => {
      const [one, two] = await pair()
      let loads = 0
      let release: (value: string) => void = () => {}
      const data = new Promise<string>((resolve) => {
        release = resolve
      })
      const load = (): Promise<string> => {
        loads++
        return data
      }
      const first = one.wrap('tools', {}, load)
      await until(() => loads === 1)
      const second = two.wrap('tools', {}, load)
      await until(() => two.stats().misses > 0)
      release('loaded')
      expect([await first, await second, loads]).to.deep.equal(['loaded', 'loaded', 1])
    })

    it('answers a hit byte for byte as the miss, whatever the body', async () => {
      const bodies: Record<string, string | Buffer> = {
        empty: '{}',
        unicode: JSON.stringify({ text: 'ä€😀 \u2028 \ud83d' }),
        spaced: '{ "kept" :  "as it is" }\n',
        large: JSON.stringify({ text: 'x'.repeat(700_000) }),
        binary: Buffer.concat([Buffer.from('"'), Buffer.from([0xff, 0x00, 0x0d, 0x0a, 0x80]), Buffer.from('"')]),
      }
      const [one, two] = await servePair((cache) =>
        express().get('/:name', cache.middleware({ type: 'tools', ttl: 60 }), (req, res) => {
          runs++
          res.status(200).type('application/json').set('X-Total', '5').send(bodies[req.params.name])
        }),
      )
      let runs = 0
      for (const [name, body] of Object.entries(bodies)) {
        const miss = await request(one, { path: `/${name}` })
        const hit = await hitFrom(two, { path: `/${name}` })
        expect(miss.body.equals(Buffer.from(body as string)), name).to.equal(true)
        expect(hit.body.equals(miss.body), name).to.equal(true)
        for (const header of ['etag', 'content-type', 'content-length', 'x-total', 'date']) {
          expect(hit.headers[header], `${name} ${header}`).to.equal(miss.headers[header])
        }
      }
      expect(runs).to.equal(Object.keys(bodies).length)
    })

    it('keeps variants apart that the response names in Vary', async () => {
      let runs = 0
      const [one, two] = await servePair((cache) =>
        express().get('/', cache.middleware({ type: 'tools', ttl: 60 }), (req, res) => {
          runs++
          res.vary('Accept-Language').json({ language: req.headers['accept-language'] ?? 'none' })
        }),
      )
      const languages = ['de', 'en', undefined]
      const asking = (language: string | undefined): object =>
        language === undefined ? {} : { headers: { 'accept-language': language } }
      for (const language of languages) await request(one, asking(language))
      for (const language of languages) {
        const hit = await hitFrom(two, asking(language))
        expect(hit.json()).to.deep.equal({ language: language ?? 'none' })
        expect(hit.headers.vary).to.equal('Accept-Language')
      }
      expect(runs).to.equal(3)
    })

    it('keeps an entry through its stale window, and serves it in place of an error', async () => {
      let fails = false
      let runs = 0
      const [one, two] = await servePair((cache) =>
        express().get('/', cache.middleware({ type: 'tools', ttl: 0.3, staleIfError: 60 }), (_req, res) => {
          runs++
          if (fails) res.status(500).json({ error: true })
          else res.json({ ok: true })
        }),
      )
      await request(one)
      await hitFrom(two)
      fails = true
      clock.advance(300)
      for (const server of new Set([one, two])) {
        const stale = await until(
          async () => {
            const answer = await request(server)
            return answer.headers['x-cache'] === 'STALE' ? answer : undefined
          },
          { describe: 'the stale answer' },
        )
        expect([stale.status, stale.json()]).to.deep.equal([200, { ok: true }])
      }
      expect(runs).to.be.above(1)
    })

    async function servePair(app: (cache: RegistryCache) => express.Express): Promise<[Listening, Listening]> {
      const [writer, reader] = await pair()
      const one = await listen(app(writer))
      servers.push(one)
      if (reader === writer) return [one, one]
      const two = await listen(app(reader))
      servers.push(two)
      return [one, two]
    }

    /** The entry reaches Redis after the answer: its keys are waited for, so that the reader runs no handler. */
    async function hitFrom(server: Listening, options: object = {}): Promise<Answer> {
      if (connect) {
        const stored = async (): Promise<boolean> =>
          caches.every((cache) => cache.stats().errors === 0) && (await locks()).length === 0
        await until(stored, { describe: 'the entry in Redis' })
      }
      const answer = await request(server, options)
      expect(answer.headers['x-cache']).to.equal('HIT')
      return answer
    }

    async function locks(): Promise<string[]> {
      const keys = (await redis?.command('KEYS', '*')) as string[]
      return keys.filter((key) => key.includes(':@lock:'))
    }
  })
}
