/* Tags of values, known before the load or revealed by it, and what keeps types and prefixes apart; in memory and on Redis. */
import { expect } from 'chai'
import express from 'express'
import { createRegistryCache, type RegistryCache, type RegistryCacheOptions } from '../../lib/index.ts'
import { settle } from '../helpers/fake-clock.ts'
import { listen, request } from '../helpers/http.ts'
import { type RedisServer, startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'

interface Tool {
  readonly name: string
  readonly gatewayId: string
}

for (const mode of ['memory', 'redis'] as const) {
  describe(`tags of values, ${mode === 'memory' ? 'in memory' : 'on Redis'}`, () => {
    let redis: RedisServer | undefined
    let caches: RegistryCache[]
    before(async () => {
      if (mode === 'redis') redis = await startRedis()
    })
    after(() => redis?.stop())
    beforeEach(async () => {
      caches = []
      await redis?.command('FLUSHALL')
    })
    afterEach(async () => {
      await Promise.all(caches.map((cache) => cache.stop()))
    })

    async function start(options: RegistryCacheOptions = {}): Promise<RegistryCache> {
      const client = redis?.client()
      const cache = createRegistryCache({ ...(client ? { redis: client, redisTimeout: 5 } : {}), ...options })
      caches.push(cache)
      await cache.start()
      return cache
    }

    /** A look-up as api docs write it. */
    async function lookUp(cache: RegistryCache, name: string, load: () => Promise<Tool | null>): Promise<Tool | null> {
      return await cache.wrap('tool_lookup', { name }, load, {
        ttl: 60,
        negativeTtl: 10,
        tags: (tool) => [`tool_lookup:${name}`, ...(tool ? [`tool_lookup:gateway:${tool.gatewayId}`] : [])],
      })
    }

    it('that are listed end a value when one of them is raised', async () => {
      const cache = await start()
      let loads = 0
      const ask = (): Promise<number> => cache.wrap('tools', {}, () => ++loads, { tags: ['team:1', 'team:2'] })
      expect([await ask(), await ask()]).to.deep.equal([1, 1])
      await cache.invalidate({ tag: 'team:3' })
      expect(await ask()).to.equal(1)
      await cache.invalidate({ tag: 'team:2' })
      expect(await ask()).to.equal(2)
    })

    it('that are listed count from the start of the load', async () => {
      const cache = await start()
      const release = manual<string>()
      const old = cache.wrap('tools', {}, () => release.promise, { tags: ['team:1'] })
      await until(() => cache.stats().misses === 1)
      await cache.invalidate({ tag: 'team:1' })
      release.resolve('old')
      expect(await old).to.equal('old')
      expect(await cache.wrap('tools', {}, () => 'new', { tags: ['team:1'] })).to.equal('new')
    })

    it('that a value reveals end it when raised later', async () => {
      const cache = await start()
      let loads = 0
      const load = async (): Promise<Tool> => ({ name: 'a', gatewayId: `g${++loads}` })
      expect((await lookUp(cache, 'a', load))?.gatewayId).to.equal('g1')
      expect((await lookUp(cache, 'a', load))?.gatewayId).to.equal('g1')
      await cache.invalidate({ tag: 'tool_lookup:gateway:g2' })
      expect((await lookUp(cache, 'a', load))?.gatewayId).to.equal('g1')
      await cache.invalidate({ tag: 'tool_lookup:gateway:g1' })
      expect((await lookUp(cache, 'a', load))?.gatewayId).to.equal('g2')
      await cache.invalidate({ tag: 'tool_lookup:a' })
      expect((await lookUp(cache, 'a', load))?.gatewayId).to.equal('g3')
    })

    it('are asked of null too, so that what appears later ends the miss', async () => {
      const cache = await start()
      let tool: Tool | null = null
      let loads = 0
      const load = async (): Promise<Tool | null> => {
        loads++
        return tool
      }
      expect([await lookUp(cache, 'a', load), await lookUp(cache, 'a', load), loads]).to.deep.equal([null, null, 1])
      tool = { name: 'a', gatewayId: 'g1' }
      await cache.invalidate({ tag: 'tool_lookup:a' })
      expect(await lookUp(cache, 'a', load)).to.deep.equal(tool)
    })

    for (const [when, raisedBefore] of [
      ['for the first time', false],
      ['again', true],
    ] as const) {
      it(`that are revealed at the end and were raised ${when} during the load keep the value out of both tiers`, async () => {
        const cache = await start()
        if (raisedBefore) await cache.invalidate({ tag: 'tool_lookup:gateway:g1' })
        const release = manual<Tool>()
        const old = lookUp(cache, 'a', () => release.promise)
        await until(() => cache.stats().misses === 1)
        await settle()
        await cache.invalidate({ tag: 'tool_lookup:gateway:g1' })
        release.resolve({ name: 'old', gatewayId: 'g1' })
        expect((await old)?.name).to.equal('old')
        expect(cache.stats().stores).to.equal(0)
        const other = mode === 'redis' ? await start() : cache
        expect((await lookUp(other, 'a', async () => ({ name: 'new', gatewayId: 'g1' })))?.name).to.equal('new')
        expect((await lookUp(cache, 'a', async () => ({ name: 'newer', gatewayId: 'g1' })))?.name).to.equal('new')
      })
    }

    it('that are revealed and were raised before the load do not keep the value out', async () => {
      const cache = await start()
      await cache.invalidate({ tag: 'tool_lookup:gateway:g1' })
      let loads = 0
      const load = async (): Promise<Tool> => ({ name: `${++loads}`, gatewayId: 'g1' })
      await lookUp(cache, 'a', load)
      await lookUp(cache, 'a', load)
      expect(loads).to.equal(1)
    })

    it('that are malformed or can not be told leave the value unstored, with an error event and no failure', async () => {
      const cache = await start()
      const codes: string[] = []
      cache.on('error', ({ code }) => codes.push(code))
      const bad: ((value: unknown) => readonly string[])[] = [
        () => [''],
        () => ['a\nb'],
        () => 'a:b' as never,
        () => undefined as never,
        () => {
          throw new Error('no idea')
        },
      ]
      for (const [i, tags] of bad.entries()) {
        expect(await cache.wrap('tools', { i }, () => i, { tags })).to.equal(i)
        expect(await cache.get('tools', { i })).to.equal(undefined)
      }
      expect(codes).to.deep.equal([...Array(4).fill('ERR_TAG_NAME'), 'ERR_CALLBACK_THREW'])
    })

    it('reach no type whose name begins alike, nor one under a prefix of globs', async () => {
      const cache = await start({ prefix: 'a[b]*{c}?:', silence: ['ERR_TYPE_TYPO'] })
      const other = await start({ prefix: 'ab:' })
      const types = ['tools', 'tools_v2', 'tools.v2', 'tool', 'tools-']
      for (const type of types) await cache.set(type, type)
      await other.set('tools', 'other')
      await cache.invalidate('tools')
      expect(await cache.get('tools')).to.equal(undefined)
      for (const type of types.slice(1)) expect(await cache.get(type), type).to.equal(type)
      expect(await other.get('tools')).to.equal('other')
      if (redis) {
        const keys = (await redis.command('KEYS', 'a\\[b\\]\\*{c}\\?:*')) as string[]
        expect(keys).to.include(`a[b]*{c}?:registry:tools_v2:${cache.hashFilters()}`)
        expect(keys).to.include('a[b]*{c}?:registry:tools:@epoch')
      }
    })

    it('hold for responses and values alike, which never share a key', async () => {
      const cache = await start()
      const app = express()
      let runs = 0
      const tools = cache.middleware({ type: 'tools', tags: () => ['team:1'] })
      app.get('/', tools, (_req, res) => void res.json({ runs: ++runs }))
      const server = await listen(app)
      const run = async (): Promise<unknown> => (await request(server)).json()
      await run()
      await cache.set('tools', 'value', undefined, { tags: ['team:1'] })
      expect(await run()).to.deep.equal({ runs: 1 })
      expect(await cache.get('tools')).to.equal('value')
      expect(cache.stats().types.tools).to.include({ entries: 2 })
      await cache.invalidate({ tag: 'team:1' })
      expect([await run(), await cache.get('tools')]).to.deep.equal([{ runs: 2 }, undefined])
      await server.close()
    })

    if (mode === 'redis') {
      it('of a value that another worker loaded end it here', async () => {
        const [one, two] = [await start(), await start()]
        const load = async (): Promise<Tool> => ({ name: 'a', gatewayId: 'g1' })
        await lookUp(one, 'a', load)
        await until(async () => (await two.get('tool_lookup', { name: 'a' })) !== undefined)
        await one.invalidate({ tag: 'tool_lookup:gateway:g1' })
        await until(async () => (await two.get('tool_lookup', { name: 'a' })) === undefined)
      })

      it('are not needed to find a value damaged in Redis: it is a miss, with an error event', async () => {
        const [one, two] = [await start(), await start()]
        const codes: string[] = []
        two.on('error', ({ code }) => codes.push(code))
        await one.set('tools', { a: 'text' })
        const key = `mcpgw:registry:tools:${one.hashFilters()}`
        const bytes = await until(() => redis?.client().getBuffer(key), { describe: 'the entry in Redis' })
        bytes.writeUInt8(0x5c, bytes.byteLength - 1)
        await redis?.client().set(key, bytes, 'KEEPTTL')
        expect(await two.get('tools')).to.equal(undefined)
        expect(codes).to.deep.equal(['ERR_ENTRY_CORRUPT'])
        expect(await two.wrap('tools', {}, () => 'loaded')).to.equal('loaded')
        expect(two.stats()).to.include({ hits: 0, misses: 2 })
      })
    }
  })
}

function manual<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => {}
  const promise = new Promise<T>((yes) => {
    resolve = yes
  })
  return { promise, resolve }
}
