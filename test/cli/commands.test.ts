/*
 * invalidate, watch and inspect on a real Redis, with a real worker in another process.
 */
import { expect } from 'chai'
import { createRegistryCache } from '../../lib/index.ts'
import { type RedisServer, startRedis } from '../helpers/redis-server.ts'
import { startProxy } from '../helpers/tcp-proxy.ts'
import { until } from '../helpers/until.ts'
import { forkWorker } from '../helpers/worker.ts'
import { buildProgram, type Ended, run, start } from './program.ts'
import type { handlers } from './worker.ts'

describe('On Redis, the command line', function () {
  this.timeout(60_000)
  let server: RedisServer
  let env: { REDIS_URL: string }

  before(async () => {
    await buildProgram()
    server = await startRedis()
    env = { REDIS_URL: server.url }
  })
  after(() => server.stop())
  beforeEach(() => server.command('FLUSHALL'))

  const publish = (message: string): Promise<unknown> => server.command('PUBLISH', 'mcpgw:cache:invalidate', message)

  describe('invalidate', () => {
    it('reaches a worker in another process, by type, by what it depends on, by tag and as a whole', async () => {
      const worker = await forkWorker<typeof handlers>(new URL('./worker.ts', import.meta.url), { env })
      try {
        await worker.call('start')
        const look = (): Promise<number> => worker.call('look', 'tools', 'team:7')
        expect([await look(), await look()]).to.deep.equal([1, 1])
        let loads = 1
        for (const args of [['tools'], ['gateways'], ['--tag', 'team:7'], ['--all'], ['catalog', '--tag', 'other']]) {
          const { code, err } = await run(['invalidate', ...args], { env })
          expect([code, err], args.join(' ')).to.deep.equal([0, ''])
          loads++
          await until(async () => (await look()) === loads, { describe: `the worker to hear of ${args.join(' ')}` })
          expect(await look()).to.equal(loads)
        }
        expect((await run(['invalidate', 'prompts', '--tag', 'team:8'], { env })).code).to.equal(0)
        expect(await look()).to.equal(loads)
      } finally {
        await worker.stop()
      }
    })

    it('says what it has raised, in words and as JSON', async () => {
      expect(await run(['invalidate', 'agents', '--tag', 'team 7'], { env })).to.deep.equal({
        code: 0,
        out: 'invalidated: registry:agents, registry:tools, registry:servers, team 7\n',
        err: '',
      })
      const { out } = await run(['invalidate', '--all', '--json'], { env })
      expect(JSON.parse(out)).to.deep.equal({ shared: true, tags: ['registry:'] })
      expect(await server.command('EXISTS', 'mcpgw:registry::@epoch')).to.equal(1)
    })

    it('honours the prefix, the database and the key prefix of the URL', async () => {
      const { code } = await run([
        'invalidate',
        'tools',
        '--prefix',
        'a[b]:',
        '--redis',
        `${server.url}/3?keyPrefix=k:`,
      ])
      expect(code).to.equal(0)
      const client = server.client({ db: 3 })
      expect(await client.exists('k:a[b]:registry:tools:@epoch')).to.equal(1)
    })

    it('warns of a type that looks like a typo, and does what it was told', async () => {
      const { code, out, err } = await run(['invalidate', 'tolls'], { env })
      expect([code, out]).to.deep.equal([0, 'invalidated: registry:tolls\n'])
      expect(err).to.include('did you mean "tools"?')
    })

    it('ends with 1 where Redis is not there, does not answer, or refuses', async () => {
      const refused = await run(['invalidate', 'tools', '--redis', 'redis://me:sesame@127.0.0.1:1'])
      expect([refused.code, refused.out]).to.deep.equal([1, ''])
      expect(refused.err)
        .to.match(/redis:\/\/127\.0\.0\.1:1 can not be used: .*ECONNREFUSED/)
        .and.not.include('sesame')

      server.freeze()
      let silent: Ended
      try {
        silent = await run(['invalidate', 'tools', '--timeout', '0.5'], { env })
      } finally {
        server.thaw()
      }
      expect([silent.code, silent.out]).to.deep.equal([1, ''])
      expect(silent.err).to.include('no answer within 0.5 s')

      await server.command('ACL', 'SETUSER', 'reader', 'reset', 'on', '>sesame', '~*', '&*', '+ping', '+get')
      const mute = await run([
        'invalidate',
        'tools',
        '--json',
        '--redis',
        `redis://reader:sesame@127.0.0.1:${server.port}`,
      ])
      expect(mute.code).to.equal(1)
      expect(JSON.parse(mute.out)).to.include({ shared: false })
      expect(mute.err)
        .to.match(/did not confirm the invalidation: .*NOPERM/)
        .and.not.include('sesame')

      const wrong = await run(['invalidate', 'tools', '--redis', `redis://reader:abracadabra@127.0.0.1:${server.port}`])
      expect(wrong.code).to.equal(1)
      expect(wrong.err).to.include('WRONGPASS').and.not.include('abracadabra')
    })
  })

  describe('watch', () => {
    it('sees invalidations of another process, and ends on SIGINT with 0', async () => {
      const watching = start(['watch'], { env })
      await until(() => watching.err.includes('watching mcpgw:cache:invalidate'), { deadlineMs: 15_000 })
      await run(['invalidate', 'tools', '--tag', 'team 7'], { env })
      await until(() => watching.lines().length >= 3)
      watching.signal('SIGINT')
      const { code, out } = await watching.ended()
      expect(code).to.equal(0)
      const seen = out
        .split('\n')
        .map((line) => /^\S+Z {2}(.*) {2}cause=api epoch=\d{16} worker=[0-9a-f]{12}$/.exec(line)?.[1])
      expect(seen).to.deep.equal(['registry:tools', 'registry:servers', 'team 7', undefined])
    })

    it('prints one JSON per line: causes, foreign publishers, other databases, and what is no tag', async () => {
      const watching = start(['watch', '--json'], { env })
      await until(() => watching.err.includes('watching'), { deadlineMs: 15_000 })
      const redis = server.client()
      const cache = createRegistryCache({ redis })
      await cache.invalidate({ tag: 'a\u009bb' })
      await cache.invalidate({ tag: 'team:7' })
      await cache.stop()
      await run(['invalidate', 'prompts', '--redis', `${server.url}/5`])
      await publish('registry:tools')
      await publish('\u001b[2J')
      await until(() => watching.lines().length >= 5)
      watching.signal('SIGTERM')
      const { code, out } = await watching.ended()
      expect(code).to.equal(0)
      expect(out).to.not.match(/(?!\n)\p{Cc}/u)
      const seen = out
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>)
      expect(seen.map(({ kind, tag, cause, elsewhere }) => [kind, tag, cause, elsewhere])).to.deep.equal([
        ['invalidation', 'a\u009bb', 'api', undefined],
        ['invalidation', 'team:7', 'api', undefined],
        ['invalidation', 'registry:prompts', 'api', true],
        ['invalidation', 'registry:servers', 'api', true],
        ['foreign', 'registry:tools', undefined, undefined],
        ['ignored', '\u001b[2J', undefined, undefined],
      ])
      for (const { at } of seen) expect(new Date(String(at)).toISOString()).to.equal(at)
    })

    it('only listens: a foreign message raises nothing', async () => {
      const watching = start(['watch'], { env })
      await until(() => watching.err.includes('watching'), { deadlineMs: 15_000 })
      await publish('registry:tools')
      await until(() => watching.out.includes('registry:tools  cause=foreign'))
      watching.signal('SIGINT')
      await watching.ended()
      expect(await server.command('KEYS', '*')).to.deep.equal([])
    })

    it('goes on after a broken connection, and says so', async () => {
      const proxy = await startProxy(server.port)
      const watching = start(['watch', '--redis', `${proxy.url}?keyPrefix=k:`])
      try {
        await until(() => watching.err.includes('watching'), { deadlineMs: 15_000 })
        await proxy.cut()
        await until(() => watching.err.includes('connection lost'))
        await proxy.heal()
        await until(() => watching.err.includes('connected again'), { deadlineMs: 15_000 })
        await until(async () => {
          await publish('registry:tools')
          return watching.out.includes('registry:tools')
        })
        watching.signal('SIGINT')
        expect((await watching.ended()).code).to.equal(0)
      } finally {
        watching.signal('SIGKILL')
        await proxy.close()
      }
    })

    it('ends with 1 where there is no Redis, or the channel is forbidden', async () => {
      expect((await run(['watch', '--redis', 'redis://127.0.0.1:1'])).code).to.equal(1)
      await server.command('ACL', 'SETUSER', 'deaf', 'reset', 'on', '>sesame', '~*', '+ping', '+subscribe')
      const deaf = await run(['watch', '--redis', `redis://deaf:sesame@127.0.0.1:${server.port}`])
      expect([deaf.code, deaf.out]).to.deep.equal([1, ''])
      expect(deaf.err).to.match(/can not be watched: NOPERM/)
    })
  })

  describe('inspect', () => {
    /** A value of tools in Redis, and its key. */
    async function fill(value: unknown): Promise<string> {
      const redis = server.client()
      const cache = createRegistryCache({ redis })
      await cache.wrap('tools', { a: 1 }, async () => value, { ttl: 600, tags: ['team:7'] })
      const key = `mcpgw:registry:tools:${cache.hashFilters({ a: 1 })}`
      const found = async (): Promise<string | undefined> =>
        ((await redis.keys('mcpgw:registry:tools:*')) as string[]).find((name) => /:[0-9a-f]{32}$/.test(name))
      const stored = await until(found, { describe: key })
      await cache.stop()
      return stored
    }

    it('shows a valid entry, its body only when asked', async () => {
      const key = await fill({ secret: 'sesame' })
      const { code, out } = await run(['inspect', key], { env })
      expect(code).to.equal(0)
      expect(out)
        .to.match(/^kind +value$/m)
        .and.match(/^state +valid, fresh$/m)
      expect(out)
        .to.match(/^left +5\d\d(\.\d+)? s fresh, of 600 s$/m)
        .and.match(/^size +19 bytes of body, \d+ in Redis$/m)
      expect(out)
        .to.match(/^stamp +registry:tools \d{16}: current$/m)
        .and.match(/^stamp +team:7 \d{16}: current$/m)
      expect(out).to.not.include('sesame')
      expect((await run(['inspect', key, '--body'], { env })).out).to.match(/\n\n\{"secret":"sesame"\}\n$/)
    })

    it('tells, by TYPE:HASH and as JSON, which epoch has left an entry behind', async () => {
      const key = await fill(7)
      await run(['invalidate', '--tag', 'team:7'], { env })
      await server.command('DEL', 'mcpgw:registry::@epoch')
      const { code, out } = await run(['inspect', key.replace('mcpgw:registry:', ''), '--json', '--body'], { env })
      expect(code).to.equal(0)
      const shown = JSON.parse(out) as { stamps: { tag: string; epoch: number; current: number | null }[] }
      expect(shown).to.include({
        key,
        found: true,
        kind: 'value',
        valid: false,
        fresh: false,
        body: '7',
        ttlSeconds: 600,
      })
      const standing = shown.stamps.map(({ tag, epoch, current }) => [
        tag,
        current === null ? 'none' : Math.sign(current - epoch),
      ])
      expect(Object.fromEntries(standing)).to.deep.equal({ 'registry:': 'none', 'registry:tools': 0, 'team:7': 1 })
      expect((await run(['inspect', key], { env })).out).to.match(/^state +invalidated: it is never served$/m)
    })

    it('ends with 1 where there is no entry or something else, and with 2 for what is no key', async () => {
      const hash = '0'.repeat(32)
      const absent = await run(['inspect', `tools:${hash}`, '--json'], { env })
      expect(absent.code).to.equal(1)
      expect(JSON.parse(absent.out)).to.deep.include({ key: `mcpgw:registry:tools:${hash}`, found: false })
      await server.command('SET', `mcpgw:registry:tools:${hash}`, 'ERC1 and then nonsense')
      const foreign = await run(['inspect', `mcpgw:registry:tools:${hash}`], { env })
      expect([foreign.code, foreign.out]).to.deep.equal([1, ''])
      expect(foreign.err).to.include('is no entry of this version of the cache')
      await server.command('DEL', `mcpgw:registry:tools:${hash}`)
      await server.command('LPUSH', `mcpgw:registry:tools:${hash}`, 'x')
      expect((await run(['inspect', `tools:${hash}`], { env })).err).to.match(/can not be read: WRONGTYPE/)
      const other = await run(['inspect', 'session:7'], { env })
      expect([other.code, other.out]).to.deep.equal([2, ''])
      expect(other.err).to.include('"mcpgw:registry:"')
    })
  })
})
