import { expect } from 'chai'
import { request } from '../helpers/http.ts'
import { type RedisServer, startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'
import { type PostgresServer, startPostgres } from './postgres.ts'
import { type Program, runExample } from './program.ts'

interface Page {
  items: { id: string; name: string; gateway_id: string | null }[]
}

describe('two instances of the example on one Redis and one PostgreSQL', function () {
  this.timeout(60_000)

  const headers = { authorization: 'Bearer token-of-the-tests' }
  let redis: RedisServer
  let postgres: PostgresServer
  let programs: Program[] = []
  let here: { port: number }
  let there: { port: number }

  before(async function () {
    this.timeout(180_000)
    redis = await startRedis()
    postgres = await startPostgres()
    const env = {
      REDIS_URL: redis.url,
      DATABASE_URL: postgres.url,
      ADMIN_TOKEN: 'token-of-the-tests',
      MCP_SERVERS: 'memory',
    }
    // At once: they race for the migration and for the registration.
    programs = [runExample(env), runExample(env)]
    const [first, second] = await Promise.all(programs.map((program) => program.ready()))
    if (!first || !second) throw new Error('there are two')
    here = first
    there = second
  })

  after(async () => {
    await Promise.all(programs.map((program) => program.stop('SIGKILL')))
    await postgres?.stop()
    await redis?.stop()
  })

  const get = (instance: { port: number }, path: string) => request(instance, { path: `/v1/${path}` })
  const namesOn = async (instance: { port: number }, path: string) =>
    (await get(instance, path)).json<Page>().items.map(({ name }) => name)

  it('registers each MCP server once', async () => {
    expect(await namesOn(here, 'gateways')).to.deep.equal(['memory'])
    expect(await namesOn(there, 'gateways')).to.deep.equal(['memory'])
    expect(programs.map(({ output }) => output.stderr)).to.deep.equal(['', ''])
  })

  it('answers on one instance from what the other has stored', async () => {
    const miss = await get(here, 'tools?limit=7')
    const hit = await get(there, 'tools?limit=7')
    expect([miss.headers['x-cache'], hit.headers['x-cache']]).to.deep.equal(['MISS', 'HIT'])
    expect(hit.body.equals(miss.body)).to.equal(true)
  })

  it('shows a write on one instance at once there, and on the other as soon as the message is delivered', async () => {
    for (const [name, writer, reader] of [
      ['from here', here, there],
      ['from there', there, here],
    ] as const) {
      for (const instance of [here, there]) {
        await get(instance, 'tools')
        expect((await get(instance, 'tools')).headers['x-cache']).to.equal('HIT')
      }
      const created = await request(writer, { method: 'POST', path: '/v1/tools', body: { name } })
      expect(created.status).to.equal(201)
      expect(await namesOn(writer, 'tools')).to.include(name)
      await until(async () => (await namesOn(reader, 'tools')).includes(name), {
        deadlineMs: 2_000,
        describe: `the other instance to show '${name}'`,
      })
    }
  })

  it('removes a gateway with all that came from it, on both', async () => {
    const types = ['gateways', 'tools', 'resources', 'servers']
    for (const type of types) await Promise.all([get(here, type), get(there, type)])
    const [memory] = (await get(there, 'gateways')).json<Page>().items
    const path = `/v1/gateways/${memory?.id}`
    expect((await request(there, { method: 'DELETE', path, headers })).status).to.equal(204)
    for (const type of types) {
      for (const instance of [there, here]) {
        const isClean = async () => {
          const { items } = (await get(instance, type)).json<Page>()
          return items.every(({ id, gateway_id }) => id !== memory?.id && gateway_id !== memory?.id)
        }
        if (instance === there) expect(await isClean(), type).to.equal(true)
        else await until(isClean, { deadlineMs: 2_000, describe: `the other instance to show the ${type} without it` })
      }
    }
  })

  it('ends both with 0 at SIGTERM', async () => {
    expect(await Promise.all(programs.map((program) => program.stop('SIGTERM')))).to.deep.equal([0, 0])
    expect(programs.flatMap((program) => program.processes())).to.deep.equal([])
  })

  it('ends with 0 and leaves no child when it is interrupted while it lists MCP servers', async () => {
    const starting = runExample({ DATABASE_URL: postgres.url })
    programs.push(starting)
    await until(() => starting.processes().length > 1, { deadlineMs: 30_000, describe: 'an MCP server to run' })
    expect(await starting.stop('SIGINT')).to.equal(0)
    expect(starting.processes()).to.deep.equal([])
    expect(starting.output.stdout).to.not.contain('Ready on')
    expect(starting.output.stderr).to.equal('')
  })

  it('ends when npm, which started it, gets SIGTERM', async () => {
    const started = runExample({ DATABASE_URL: postgres.url, MCP_SERVERS: '' }, ['npm', 'start'])
    programs.push(started)
    await started.ready()
    await started.stop('SIGTERM')
    await until(() => started.processes().length === 0, { describe: 'the gateway to follow npm' })
    expect(started.output.stdout).to.match(/Stopping\n$/)
  })
})
