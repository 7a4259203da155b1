/*
 * The ACL line of docs/redis-schema.md is enough for all that the cache does, and keeps its user from the rest.
 */
import { expect } from 'chai'
import { Redis } from 'ioredis'
import { createRegistryCache } from '../../lib/index.ts'
import { type RedisServer, startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'
import { page } from './blocks.ts'

const schema = page('docs/redis-schema.md')
const mark = schema.lines.indexOf('<!-- acl -->')
const line = schema.blocks.find((block) => block.line === mark + 3)?.code ?? ''
const rules = line
  .replace(/^ACL SETUSER registry-cache /, '')
  .replace('>PASSWORD', '>secret')
  .split(' ')

const TOOLS = 'mcpgw:registry:tools:@epoch'

describe('The ACL line of the documentation', () => {
  let server: RedisServer

  before(async () => {
    server = await startRedis()
  })
  after(() => server.stop())

  /** What two workers do of which a user must be capable; resolves to the errors that they met. */
  async function work(given: readonly string[]): Promise<string[]> {
    await server.command('FLUSHALL')
    await server.command('SCRIPT', 'FLUSH')
    // Near its end, so that it is renewed.
    await server.command('SET', TOOLS, '1', 'EX', '60')
    await server.command('ACL', 'SETUSER', 'registry-cache', 'reset', ...given)
    const errors: string[] = []
    const clients = [0, 1].map(() => {
      const client = new Redis({
        port: server.port,
        host: '127.0.0.1',
        username: 'registry-cache',
        password: 'secret',
        retryStrategy: () => null,
      })
      client.on('error', (error) => errors.push(error.message))
      return client
    })
    const caches = clients.map((redis) => createRegistryCache({ redis, redisTimeout: 5 }))
    try {
      for (const cache of caches) cache.on('error', ({ message }) => errors.push(message))
      await Promise.all(caches.map((cache) => cache.start()))
      const [one, two] = caches
      if (!one || !two) throw new Error('there are two')
      // Both at once: one computes, the other watches its lock.
      let runs = 0
      let release = (): void => {}
      const released = new Promise<void>((resolve) => {
        release = resolve
      })
      const load = async (): Promise<{ n: number }> => {
        runs++
        await released
        return { n: runs }
      }
      const options = { tags: () => ['tool_lookup:a b'] }
      const both = Promise.all([one.wrap('tools', { a: 1 }, load, options), two.wrap('tools', { a: 1 }, load, options)])
      const locks = async () => (await server.command('KEYS', '*:@lock:*')) as string[]
      if (errors.length === 0) await until(async () => (await locks()).length > 0 || errors.length > 0)
      release()
      await both
      if (errors.length === 0) await until(async () => Number(await server.command('TTL', TOOLS)) > 60)
      const first = await one.invalidate({ tag: 'tool_lookup:a b' })
      const second = await one.invalidate('tools')
      if (!first.shared || !second.shared) errors.push('it could not be told')
      if (errors.length === 0) await until(async () => (await two.get('tools', { a: 1 })) === undefined)
      // Two that see each other have both said that they are there.
      const seesBoth = async (): Promise<boolean> => (await one.workers()).workers.length === 2
      if (errors.length === 0) await until(seesBoth, { describe: 'the other worker' })
      await one.set('tools', 1)
      const [entry] = one.entries().entries
      if (entry === undefined || (await one.evict(entry.key)).redis === undefined)
        errors.push('it could not be evicted')
      return errors
    } finally {
      await Promise.all(caches.map((cache) => cache.stop()))
      for (const client of clients) client.disconnect()
    }
  }

  it('lets two workers fill, share, lock, reveal tags, invalidate, subscribe, see each other and evict', async function () {
    this.timeout(30_000)
    expect(rules.length).to.be.above(15)
    expect(await work(rules)).to.deep.equal([])
    expect(await server.command('ACL', 'LOG')).to.deep.equal([])
  })

  it('keeps its user from keys of others and from other channels', async () => {
    await server.command('ACL', 'SETUSER', 'registry-cache', 'reset', ...rules)
    const stranger = async (...command: string[]): Promise<unknown> =>
      await server.command('ACL', 'DRYRUN', 'registry-cache', ...command)
    expect(await stranger('GET', 'mcpgw:registry:tools:0')).to.equal('OK')
    expect(await stranger('GET', 'session:7')).to.match(/no permissions/)
    expect(await stranger('GET', 'mcpgw:session')).to.match(/no permissions/)
    expect(await stranger('PUBLISH', 'news', 'x')).to.match(/no permissions/)
    expect(await stranger('FLUSHALL')).to.match(/no permissions/)
    expect(await stranger('KEYS', '*')).to.match(/no permissions/)
  })
})
