import { once } from 'node:events'
import { Agent } from 'node:http'
import { connect } from 'node:net'
import { expect } from 'chai'
import pg from 'pg'
import { openDatabase } from '../../examples/express-gateway/db.ts'
import { servePglite } from '../../examples/express-gateway/shared-services.ts'
import { request } from '../helpers/http.ts'
import { until } from '../helpers/until.ts'
import { type PostgresServer, startPostgres } from './postgres.ts'
import { type Program, runExample } from './program.ts'

const longWait = { deadlineMs: 60_000 }

describe("the example's shutdown", function () {
  this.timeout(120_000)

  let postgres: PostgresServer
  let blocker: pg.Client
  let program: Program | undefined

  before(async function () {
    this.timeout(180_000)
    postgres = await startPostgres()
  })
  after(() => postgres?.stop())
  beforeEach(async () => {
    blocker = new pg.Client(postgres.url)
    await blocker.connect()
  })
  afterEach(async () => {
    await blocker.end()
    await program?.stop('SIGKILL')
  })

  const waiting = async () => {
    const { rows } = await blocker.query(`select 1 from pg_locks where not granted`)
    return rows.length
  }

  /** A gateway with a request in flight that waits for a lock which the test holds. */
  async function startBlocked() {
    program = runExample({ DATABASE_URL: postgres.url, MCP_SERVERS: '' })
    const gateway = await program.ready()
    await blocker.query('begin; lock table entities')
    const agent = new Agent({ keepAlive: true })
    const inFlight = request(gateway, { path: '/v1/tools', agent })
    inFlight.catch(() => {})
    await until(async () => (await waiting()) === 1, longWait)
    return { program, gateway, inFlight, agent }
  }

  it('lets nobody new in, and answers what is in flight with a goodbye', async () => {
    const { program, gateway, inFlight, agent } = await startBlocked()
    process.kill(program.pid, 'SIGTERM')
    await until(async () => (await connecting(gateway.port)) === 'ECONNREFUSED', longWait)

    await blocker.query('commit')
    const answer = await inFlight
    expect(answer.status).to.equal(200)
    expect(answer.headers.connection).to.equal('close')
    expect(await program.exited).to.equal(0)
    expect(program.output.stderr).to.equal('')
    agent.destroy()
  })

  it('waits for a request that does not end for five seconds, and not for ever', async () => {
    const { program, inFlight, agent } = await startBlocked()
    const startedAt = performance.now()
    process.kill(program.pid, 'SIGTERM')
    await inFlight.then(
      () => expect.fail('the lock was held'),
      (error: NodeJS.ErrnoException) => expect(error.code).to.equal('ECONNRESET'),
    )
    expect(performance.now() - startedAt).to.be.above(4_900)
    await program.exited
    expect(program.processes()).to.deep.equal([])
    agent.destroy()
  })
})

/** The code of the error that refuses a connection. */
async function connecting(port: number): Promise<string | undefined> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return undefined
  } catch (error) {
    return (error as NodeJS.ErrnoException).code
  } finally {
    socket.destroy()
  }
}

describe('a PGlite of the example that several processes use', function () {
  this.timeout(120_000)

  it('mixes no queries up, though one comes in many pieces', async () => {
    const cleanUp: (() => Promise<unknown>)[] = []
    try {
      const url = await servePglite(undefined, 2, cleanUp)
      const [one, other] = await Promise.all([openDatabase(url), openDatabase(url)])
      cleanUp.unshift(
        () => one.close(),
        () => other.close(),
      )
      let isOver = false
      const large = 'x'.repeat(6_000_000)
      const writing = async () => {
        for (let i = 0; i < 8; i++) {
          const [row] = await one.query<{ tail: string }>('select right($1::text, 9) as tail', [`${large} number ${i}`])
          expect(row?.tail).to.equal(` number ${i}`)
        }
      }
      const reading = async () => {
        for (let i = 0; i < 5_000 && !isOver; i++) {
          expect(await other.query('select $1::int as a, $2::text as b', [i, 'b'])).to.deep.equal([{ a: i, b: 'b' }])
        }
      }
      const readers = Promise.all(Array.from({ length: 4 }, reading))
      await Promise.all([writing(), writing()]).finally(() => {
        isOver = true
      })
      await readers
    } finally {
      for (const undo of cleanUp) await undo()
    }
  })

  it('rolls back what a process that died had begun, and serves the others', async () => {
    const cleanUp: (() => Promise<unknown>)[] = []
    try {
      const url = await servePglite(undefined, 2, cleanUp)
      const db = await openDatabase(url)
      cleanUp.unshift(() => db.close())
      const dying = new pg.Client(url.replace('pglite://', 'postgres://postgres@'))
      dying.on('error', () => {})
      await dying.connect()
      await dying.query('begin')
      await dying.query(`insert into api_keys (id, team, name, hash) values ('1', 'x', '', 'x')`)
      const asked = db.query<{ n: number }>('select count(*)::int as n from api_keys')
      const { stream } = (dying as unknown as { connection: { stream: { destroy(): void } } }).connection
      stream.destroy()
      expect(await asked).to.deep.equal([{ n: 0 }])
    } finally {
      for (const undo of cleanUp) await undo()
    }
  })
})
