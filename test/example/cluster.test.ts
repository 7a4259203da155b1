import { expect } from 'chai'
import { type Answer, request } from '../helpers/http.ts'
import { type RedisServer, startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'
import { startLoad } from './load.ts'
import { type PostgresServer, startPostgres } from './postgres.ts'
import { type Program, runExample } from './program.ts'

interface Page {
  items: { id: string; name: string }[]
  next_cursor: string | null
}

const adminToken = 'token-of-the-tests'
const password = { authorization: `Basic ${Buffer.from(`x:${adminToken}`).toString('base64')}` }
const longWait = { deadlineMs: 60_000 }

describe('the example with several workers', function () {
  this.timeout(180_000)

  let program: Program
  let gateway: { port: number }
  let postgres: PostgresServer | undefined
  let redis: RedisServer | undefined

  const start = async (env: Record<string, string>) => {
    program = runExample({ WORKERS: '2', ADMIN_TOKEN: adminToken, MCP_SERVERS: '', ...env })
    gateway = await program.ready()
  }
  afterEach(async () => {
    await program?.stop('SIGKILL')
    await until(() => program.processes().length === 0, { ...longWait, describe: 'everything to be gone' })
    await redis?.stop()
    await postgres?.stop()
    redis = undefined
    postgres = undefined
  })

  const get = (path: string, headers = {}): Promise<Answer> => request(gateway, { path, headers })
  const workerOf = ({ headers }: Answer) => String(headers['x-worker'])
  /** Each new connection goes to the next worker. */
  const untilAnsweredBy = (isWanted: (worker: string) => boolean, path: string): Promise<Answer> =>
    until(async () => {
      const answer = await get(path)
      return isWanted(workerOf(answer)) ? answer : undefined
    }, longWait)
  /** Pids of workers, by what they log. */
  const workerPids = () => [
    ...new Set([...program.output.stdout.matchAll(/"pid":(\d+)/g)].map(([, pid]) => Number(pid))),
  ]
  const allNames = async () => {
    const names: string[] = []
    for (let cursor: string | null | undefined = ''; cursor !== null; ) {
      const page: Page = (await get(`/v1/tools?limit=500${cursor && `&cursor=${cursor}`}`)).json<Page>()
      names.push(...page.items.map(({ name }) => name))
      cursor = page.next_cursor
    }
    return names
  }

  it('needs nothing but a redis-server in the PATH: one PGlite, one registration, one cache for all workers', async () => {
    await start({ MCP_SERVERS: 'memory' })
    expect(program.output.stdout.match(/^Registered memory/gm)).to.have.length(1)
    expect(program.output.stdout).to.match(/cache {5}memory and Redis, 2 workers/)
    expect(program.output.stderr).to.equal('')

    const miss = await get('/v1/tools?limit=3')
    expect(miss.headers['x-cache']).to.equal('MISS')
    const hit = await untilAnsweredBy((worker) => worker !== workerOf(miss), '/v1/tools?limit=3')
    expect(hit.headers['x-cache']).to.equal('HIT')
    expect(hit.body.equals(miss.body)).to.equal(true)

    const made = await request(gateway, { method: 'POST', path: '/v1/tools', body: { name: 'new' } })
    for (const isSame of [true, false]) {
      await until(async () => {
        const answer = await get('/v1/tools')
        return (workerOf(answer) === workerOf(made)) === isSame && answer.json<Page>().items[0]?.name === 'new'
      }, longWait)
    }
    const ready = await get('/readyz')
    expect(ready.json()).to.deep.equal({ status: 'ready', database: 'up', redis: 'up' })
  })

  it('shows the sum of all workers at /metrics, whichever is asked', async () => {
    await start({})
    const seen = new Set<string>()
    for (let i = 0; i < 12; i++) seen.add(workerOf(await get('/v1/prompts')))
    expect(seen.size).to.equal(2)
    for (let i = 0; i < 4; i++) {
      const { text } = await get('/metrics')
      const counts = [...text.matchAll(/^registry_cache_requests_total\{.*type="prompts".*\} (\d+)$/gm)]
      expect(counts.reduce((sum, [, count]) => sum + Number(count), 0)).to.equal(12)
    }
  })

  it('leaves nothing behind at Ctrl-C, nor when the primary is killed', async () => {
    for (const [signal, code] of [
      ['SIGINT', 0],
      ['SIGKILL', 'SIGKILL'],
    ] as const) {
      await start({})
      expect(program.processes().length, 'a primary, two workers, a Redis').to.equal(4)
      // Ctrl-C goes to the whole group.
      if (signal === 'SIGINT') process.kill(-program.pid, signal)
      const ended = await (signal === 'SIGINT' ? program.exited : program.stop(signal))
      expect(ended, signal).to.equal(code)
      await until(() => program.processes().length === 0, { ...longWait, describe: `the rest to go after ${signal}` })
    }
  })

  for (const engine of ['PGlite', 'PostgreSQL'] as const) {
    it(`loses no acknowledged write when workers are killed under load, and replaces them, on ${engine}`, async () => {
      const env: Record<string, string> = {}
      if (engine === 'PostgreSQL') {
        postgres = await startPostgres()
        redis = await startRedis()
        Object.assign(env, { DATABASE_URL: postgres.url, REDIS_URL: redis.url })
      }
      await start(env)
      const acknowledged: string[] = []
      const clients = 6
      const load = startLoad(gateway, {
        clients,
        maxRequests: 20_000,
        next: (client, round) =>
          round % 4 === 0
            ? { method: 'POST', path: '/v1/tools', body: { name: `tool ${client} ${round}` } }
            : { path: `/v1/tools?limit=${1 + (round % 5)}` },
        onAnswer({ method, body }, { status }) {
          if (method === 'POST' && status === 201) acknowledged.push((body as { name: string }).name)
        },
      })
      const killed: number[] = []
      for (let kills = 1; kills <= 3; kills++) {
        const answeredBefore = load.answered()
        await until(() => load.answered() > answeredBefore + 100, longWait)
        const victim = await until(
          () => workerPids().find((pid) => pid !== program.pid && !killed.includes(pid)),
          longWait,
        )
        killed.push(victim)
        process.kill(victim, 'SIGKILL')
        // The third, fourth and fifth worker.
        await until(() => load.workers.has(String(2 + kills)), { ...longWait, describe: () => `worker ${2 + kills}` })
      }
      await load.stop()
      expect(load.statuses).to.have.all.keys('200', '201')
      const failed = Object.values(load.failures).reduce((sum, count) => sum + count, 0)
      expect(failed, `only what was in flight on a killed worker: ${JSON.stringify(load.failures)}`).to.be.at.most(
        clients * killed.length,
      )
      expect(acknowledged.length).to.be.above(20)
      const names = await allNames()
      expect(names).to.include.members(acknowledged)
      expect(new Set(names).size).to.equal(names.length)
      expect(program.output.stderr.match(/another one takes its place/g)).to.have.length(3)
      expect(await program.stop()).to.equal(0)
    })
  }

  it('fails no request while Redis is gone and comes back, and shows it on the dashboard', async () => {
    redis = await startRedis()
    await start({ REDIS_URL: redis.url })
    const load = startLoad(gateway, {
      clients: 4,
      maxRequests: 40_000,
      next: (client, round) =>
        round % 10 === 0
          ? { method: 'POST', path: '/v1/tools', body: { name: `tool ${client} ${round}` } }
          : { path: `/v1/tools?limit=${1 + (round % 5)}` },
    })
    const snapshots = async () => (await get('/_cache/api/snapshot', password)).json<{ redis: { up: boolean } }>()
    const untilAll = async (isUp: boolean) => {
      const seen = new Set<string>()
      await until(async () => {
        const answer = await get('/_cache/api/snapshot', password)
        if (answer.json<{ redis: { up: boolean } }>().redis.up === isUp) seen.add(workerOf(answer))
        return seen.size === 2
      }, longWait)
    }
    const goOn = async () => {
      const before = load.answered()
      await until(() => load.answered() > before + 100, longWait)
    }
    await goOn()
    expect((await snapshots()).redis.up).to.equal(true)
    for (let outage = 0; outage < 2; outage++) {
      await redis.kill()
      await untilAll(false)
      expect((await get('/readyz')).json()).to.include({ status: 'degraded', redis: 'down' })
      await goOn()
      await redis.restart()
      await untilAll(true)
      await goOn()
    }
    await load.stop()
    expect(load.failures).to.deep.equal({})
    expect(load.statuses).to.have.all.keys('200', '201')
    expect((await get('/readyz')).json()).to.include({ status: 'ready', redis: 'up' })
  })

  for (const workers of [1, 2]) {
    it(`answers what was asked before SIGTERM under load, and says goodbye, with ${workers} of them`, async () => {
      await start({ WORKERS: String(workers) })
      const clients = 6
      let goodbyes = 0
      const load = startLoad(gateway, {
        clients,
        maxRequests: 40_000,
        endAtGoodbye: true,
        // Only requests on connections that are there can be in flight.
        renewAfter: Number.POSITIVE_INFINITY,
        next: (client, round) =>
          round % 5 === 0
            ? { method: 'POST', path: '/v1/tools', body: { name: `tool ${client} ${round}` } }
            : { path: `/v1/tools?limit=${1 + (round % 5)}` },
        onAnswer: (_options, { headers }) => {
          if (headers.connection === 'close') goodbyes++
        },
      })
      await until(() => load.answered() > 200, longWait)
      expect(await program.stop('SIGTERM')).to.equal(0)
      await load.stop()
      expect(load.failures).to.deep.equal({})
      expect(goodbyes).to.equal(clients)
      expect(load.statuses).to.have.all.keys('200', '201')
      expect(program.processes()).to.deep.equal([])
      expect(program.output.stderr).to.equal('')
    })
  }

  it('says in one line what is missing where there is no Redis to share', async () => {
    program = runExample({ WORKERS: '2', PATH: '/nowhere' })
    expect(await program.exited).to.equal(1)
    expect(program.output.stderr.trim().split('\n')).to.have.length(1)
    expect(program.output.stderr).to.match(/REDIS_URL=redis:.*redis-server/)
  })
})
