/*
 * stats on a real Redis: what the command line shows of workers, and how it ends.
 */
import { expect } from 'chai'
import { createRegistryCache, type RegistryCache } from '../../lib/index.ts'
import { type RedisServer, startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'
import { forkWorker } from '../helpers/worker.ts'
import { buildProgram, run } from './program.ts'
import type { handlers } from './worker.ts'

describe('stats', function () {
  this.timeout(60_000)
  let server: RedisServer
  let env: { REDIS_URL: string }
  const caches: RegistryCache[] = []

  before(async () => {
    await buildProgram()
    server = await startRedis()
    env = { REDIS_URL: server.url }
  })
  after(() => server.stop())
  beforeEach(() => server.command('FLUSHALL'))
  afterEach(async () => {
    await Promise.all(caches.splice(0).map((cache) => cache.stop()))
  })

  /** A worker that has hits, and has said so. */
  async function worker(prefix = 'mcpgw:'): Promise<string> {
    const cache = createRegistryCache({ redis: server.client(), prefix, redisTimeout: 5 })
    caches.push(cache)
    await cache.set('tools', 1)
    for (let n = 0; n < 3; n++) await cache.get('tools')
    await cache.get('prompts')
    await cache.start()
    const id = cache.describe().worker
    await until(async () => (await server.command('HGET', `${prefix}@worker:${id}`, 'hits')) === '3')
    return id
  }

  it('prints a line for each worker, and their sum', async () => {
    const ids = [await worker(), await worker()]
    const { code, out, err } = await run(['stats'], { env })
    expect([code, err]).to.deep.equal([0, ''])
    const [head, ...lines] = out.trimEnd().split('\n')
    const cells = (line = ''): string[] => line.trim().split(/ {2,}/)
    expect(cells(head).slice(0, 4)).to.deep.equal(['worker', 'host', 'pid', 'version'])
    expect(lines.slice(0, 2).map((line) => line.slice(0, 12))).to.deep.equal([...ids].sort())
    for (const line of lines.slice(0, 2)) {
      expect(cells(line)[cells(head).indexOf('pid')]).to.equal(`${process.pid}`)
      expect(cells(line)[cells(head).indexOf('hits')]).to.equal('3')
    }
    expect(cells(lines[2]).slice(0, 4)).to.deep.equal(['2 workers', '75.0%', '6', '2'])
  })

  it('prints the same as JSON, of the prefix that it is asked for', async () => {
    const id = await worker('a[b]:')
    await worker()
    const { code, out } = await run(['stats', '--json', '--prefix', 'a[b]:'], { env })
    const { workers, total } = JSON.parse(out) as { workers: Record<string, unknown>[]; total: object }
    expect([code, workers.length]).to.deep.equal([0, 1])
    expect(workers[0]).to.include({ id, pid: process.pid, hits: 3, misses: 1, stores: 1 })
    expect(workers[0]).to.not.have.property('own')
    expect(total).to.include({ hits: 3, misses: 1, hitRate: 0.75, errors: 0 })
  })

  it('shows a worker in another process until that has stopped', async () => {
    const other = await forkWorker<typeof handlers>(new URL('./worker.ts', import.meta.url), { env })
    try {
      await other.call('start')
      const pids = async (): Promise<unknown[]> => {
        const { out } = await run(['stats', '--json'], { env })
        return (JSON.parse(out) as { workers: { pid: number }[] }).workers.map(({ pid }) => pid)
      }
      await until(async () => (await pids())[0] === other.pid, { deadlineMs: 20_000 })
      expect(await other.stop()).to.equal(0)
      expect(await pids()).to.deep.equal([])
    } finally {
      if (other.isRunning) await other.kill()
    }
  })

  it('ends with 0 where there is no worker, and says so', async () => {
    const { code, out, err } = await run(['stats'], { env })
    expect([code, out]).to.deep.equal([0, ''])
    expect(err).to.equal('no worker has said under "mcpgw:" that it is there (another --prefix?)\n')
    const { out: asJson } = await run(['stats', '--json'], { env })
    expect(JSON.parse(asJson)).to.deep.include({ workers: [] })
  })

  it('prints nothing of what a stranger has written that would speak to the terminal', async () => {
    await server.command('ZADD', 'mcpgw:@workers', '1', 'x')
    await server.command('HSET', 'mcpgw:@worker:x', 'host', '\u001b[2Jevil\n')
    await server.command('EXPIRE', 'mcpgw:@worker:x', '60')
    const { code, out } = await run(['stats'], { env })
    expect(code).to.equal(0)
    expect(out).to.include('\\u001b[2Jevil\\u000a')
  })

  it('ends with 1 where Redis can not be asked, or this user may not', async () => {
    const gone = await run(['stats', '--redis', 'redis://127.0.0.1:1'])
    expect([gone.code, gone.out]).to.deep.equal([1, ''])
    await server.command('ACL', 'SETUSER', 'older', 'reset', 'on', '>sesame', '~mcpgw:registry:*', '+@all')
    const refused = await run(['stats', '--redis', `redis://older:sesame@127.0.0.1:${server.port}`])
    expect([refused.code, refused.out]).to.deep.equal([1, ''])
    expect(refused.err)
      .to.match(/can not be read: NOPERM/)
      .and.not.include('sesame')
  })
})
