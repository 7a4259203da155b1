/* The tools the other tests trust, tested. Each breaks something for real: a process, a socket, a promise. */
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createServer, type Server as HttpServer } from 'node:http'
import { connect, createServer as createTcpServer, type Socket } from 'node:net'
import { expect } from 'chai'
import type { EchoHandlers } from '../helpers/echo-worker.ts'
import { createFakeClock } from '../helpers/fake-clock.ts'
import { express4, express5, forEachExpress, listen, request } from '../helpers/http.ts'
import { type RedisServer, startRedis } from '../helpers/redis-server.ts'
import { startCluster, startSentinel } from '../helpers/redis-topologies.ts'
import { startProxy, type TcpProxy } from '../helpers/tcp-proxy.ts'
import { stillRunning } from '../helpers/tracked.ts'
import { until } from '../helpers/until.ts'
import { forkWorker } from '../helpers/worker.ts'

async function failureOf(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise
  } catch (error) {
    if (error instanceof Error) return error
  }
  throw new Error('it should have been rejected with an Error')
}

describe('test helper: until', () => {
  it('resolves to what the condition returned once it is truthy', async () => {
    let asked = 0
    const answer = await until(() => (++asked === 3 ? { asked } : undefined))
    expect(answer).to.deep.equal({ asked: 3 })
  })

  it('goes on after a condition that throws', async () => {
    let asked = 0
    await until(() => {
      asked += 1
      if (asked < 3) throw new Error('not yet')
      return true
    })
    expect(asked).to.equal(3)
  })

  it('says what it waited for and what it last saw', async () => {
    const error = await failureOf(
      until(() => Promise.reject(new RangeError('closed')), { deadlineMs: 40, describe: 'the gate' }),
    )
    expect(error.message).to.match(
      /^timed out after 40 ms waiting for the gate; asked \d+ times, .*RangeError: closed$/,
    )
  })

  it('ends at the deadline when the condition never answers', async () => {
    const error = await failureOf(until(() => new Promise<boolean>(() => {}), { deadlineMs: 30 }))
    expect(error.message).to.contain('never answered')
  })
})

describe('test helper: fake clock', () => {
  it('runs the timers that fall due in their order, each at its own instant', () => {
    const clock = createFakeClock(1_000)
    const ran: string[] = []
    clock.setTimeout(() => ran.push(`b at ${clock.now()}`), 20)
    clock.setTimeout(() => ran.push(`a at ${clock.monotonic()}`), 10)
    clock.setTimeout(() => ran.push('too late'), 31)
    clock.advance(30)
    expect(ran).to.deep.equal(['a at 10', 'b at 1020'])
    expect([clock.now(), clock.monotonic(), clock.pending]).to.deep.equal([1_030, 30, 1])
  })

  it('runs a timer that a timer set, if it falls due in the same step', () => {
    const clock = createFakeClock()
    const ranAt: number[] = []
    const tick = (): void => {
      ranAt.push(clock.monotonic())
      clock.setTimeout(tick, 10)
    }
    clock.setTimeout(tick, 10)
    clock.advance(35)
    expect(ranAt).to.deep.equal([10, 20, 30])
  })

  it('does not run a cleared timer', () => {
    const clock = createFakeClock()
    let ran = false
    clock.clearTimeout(
      clock.setTimeout(() => {
        ran = true
      }, 5),
    )
    clock.advance(10)
    expect(ran).to.equal(false)
  })

  it('lets promises settle between timers when advanced asynchronously', async () => {
    const clock = createFakeClock()
    const seen: number[] = []
    const wait = (ms: number): Promise<void> => new Promise((resolve) => clock.setTimeout(resolve, ms))
    const work = (async () => {
      await wait(10)
      seen.push(clock.monotonic())
      await wait(10)
      seen.push(clock.monotonic())
    })()
    await clock.advanceAsync(25)
    await work
    expect(seen).to.deep.equal([10, 20])
  })

  it('moves the wall clock alone when it is set', () => {
    const clock = createFakeClock(5_000)
    clock.advance(10)
    clock.setNow(1_000)
    expect([clock.now(), clock.monotonic()]).to.deep.equal([1_000, 10])
  })

  it('refuses times that no clock has', () => {
    const clock = createFakeClock()
    expect(() => clock.advance(-1)).to.throw(RangeError)
    expect(() => clock.setTimeout(() => {}, Number.NaN)).to.throw(RangeError)
    expect(() => clock.setTimeout(() => {}, 2 ** 31)).to.throw(RangeError)
  })
})

describe('test helper: http', () => {
  it('sends Host and Connection and the headers that were asked for, nothing else', async () => {
    const server = await listen((req, res) => void res.end(JSON.stringify(req.headers)))
    const answer = await request(server.port, { headers: { 'X-One': '1' } })
    await server.close()
    expect(Object.keys(answer.json<object>()).sort()).to.deep.equal(['connection', 'host', 'x-one'])
  })

  it('sends an object as JSON and a string as it is', async () => {
    const server = await listen(
      (req, res) => void req.pipe(res.setHeader('seen-type', req.headers['content-type'] ?? '')),
    )
    const object = await request(server, { method: 'POST', body: { a: 1 } })
    const string = await request(server, { method: 'POST', body: 'ä' })
    await server.close()
    expect([object.text, object.headers['seen-type']]).to.deep.equal(['{"a":1}', 'application/json'])
    expect([string.text, string.headers['seen-type']]).to.deep.equal(['ä', ''])
  })

  it('gives the bytes, the status and the headers as they came', async () => {
    const server = await listen((_req, res) => void res.writeHead(418, { 'X-Case': 'kept' }).end(Buffer.from([0, 255])))
    const answer = await request(server.server)
    await server.close()
    expect(answer.status).to.equal(418)
    expect(answer.rawHeaders.slice(0, 2)).to.deep.equal(['X-Case', 'kept'])
    expect([...answer.body]).to.deep.equal([0, 255])
  })

  it('rejects when the answer breaks off', async () => {
    const server = await listen((_req, res) => {
      res.writeHead(200, { 'content-length': '100' })
      res.write('part', () => res.destroy())
    })
    const error = await failureOf(request(server.port))
    await server.close()
    expect(error.message).to.match(/aborted|hang up|ECONNRESET/)
  })

  it('ends connections that are in use when the server is closed', async () => {
    const server = await listen(createServer(() => {}) as HttpServer)
    const pending = failureOf(request(server.port))
    await until(() => new Promise((resolve) => server.server.getConnections((_error, count) => resolve(count === 1))))
    await server.close()
    expect(await pending).to.be.instanceOf(Error)
  })

  it('has Express 4 and Express 5', () => {
    // Express 5 dropped the pattern syntax of 4, and 4 knows no named wildcard.
    expect(() => express4().get('/*', () => {})).not.to.throw()
    expect(() => express5().get('/*', () => {})).to.throw()
  })

  forEachExpress((name, express) => {
    it(`serves with ${name}`, async () => {
      const app = express()
      app.get('/hello', (_req, res) => void res.json({ name }))
      const server = await listen(app)
      const answer = await request(server.port, { path: '/hello' })
      await server.close()
      expect(answer.json()).to.deep.equal({ name })
    })
  })
})

describe('test helper: worker', () => {
  it('answers calls by name, several at once, in its own process', async () => {
    const worker = await forkWorker<EchoHandlers>(new URL('../helpers/echo-worker.ts', import.meta.url))
    const [pid, sum] = await Promise.all([worker.call('pid'), worker.call('add', 2, 3)])
    await worker.stop()
    expect(pid).to.equal(worker.pid).and.not.to.equal(process.pid)
    expect(sum).to.equal(5)
  })

  it('gets the environment that was given to it', async () => {
    const file = new URL('../helpers/echo-worker.ts', import.meta.url)
    const worker = await forkWorker<EchoHandlers>(file, { env: { WHO: 'one' } })
    const who = await worker.call('environment', 'WHO')
    await worker.stop()
    expect(who).to.equal('one')
  })

  it('passes on the name, message and code of an error', async () => {
    const worker = await forkWorker<EchoHandlers>(new URL('../helpers/echo-worker.ts', import.meta.url))
    const error = await failureOf(worker.call('fail', 'E_WISH'))
    await worker.stop()
    expect(error).to.include({ name: 'TypeError', message: 'as you wish', code: 'E_WISH' })
  })

  it('rejects the calls that are open when it is killed, and is not tracked any more', async () => {
    const worker = await forkWorker<EchoHandlers>(new URL('../helpers/echo-worker.ts', import.meta.url))
    const hanging = failureOf(worker.call('hang'))
    await worker.call('pid')
    await worker.kill()
    expect((await hanging).message).to.contain('SIGKILL')
    expect((await failureOf(worker.call('pid'))).message).to.contain('gone')
    expect(stillRunning()).to.deep.equal([])
  })

  it('is ended when it does not end by itself', async () => {
    const worker = await forkWorker<EchoHandlers>(new URL('../helpers/echo-worker.ts', import.meta.url))
    await worker.call('linger')
    expect(await worker.stop({ deadlineMs: 200 })).to.equal(null)
    expect(worker.isRunning).to.equal(false)
  })
})

describe('test helper: redis-server', () => {
  let redis: RedisServer

  beforeEach(async () => {
    redis = await startRedis()
  })

  afterEach(() => redis.stop())

  it('answers on its own port, loopback only, without persistence', async () => {
    expect(await redis.command('PING')).to.equal('PONG')
    expect(await redis.client().config('GET', 'save')).to.deep.equal(['save', ''])
    expect(await redis.client().config('GET', 'bind')).to.deep.equal(['bind', '127.0.0.1'])
  })

  it('takes arguments and settings', async () => {
    const small = await startRedis({ args: ['--maxmemory', '3mb', '--requirepass', 'secret'] })
    expect(await small.client().config('GET', 'maxmemory')).to.deep.equal(['maxmemory', '3145728'])
    await small.config({ maxmemory: '4mb' })
    expect(await small.client().config('GET', 'maxmemory')).to.deep.equal(['maxmemory', '4194304'])
    await small.stop()
  })

  it('says what it did not like when it does not start', async () => {
    const error = await failureOf(startRedis({ args: ['--nonsense', '1'] }))
    expect(error.message).to.contain('nonsense')
  })

  it('does not mistake another server on the port for its own', async () => {
    const error = await failureOf(startRedis({ port: redis.port }))
    expect(error.message).to.equal(`port ${redis.port} is taken`)
  })

  it('is silent while frozen and answers what came in once thawed', async () => {
    const client = redis.client()
    await client.ping()
    redis.freeze()
    const reply = client.echo('late')
    const first = await Promise.race([reply, new Promise((resolve) => setTimeout(resolve, 100, 'silence'))])
    redis.thaw()
    expect([first, await reply]).to.deep.equal(['silence', 'late'])
  })

  it('loses its data when it is killed and comes back on the same port', async () => {
    const client = redis.client()
    await client.set('key', 'value')
    const pid = redis.pid
    await redis.kill()
    expect(redis.isRunning).to.equal(false)
    await redis.restart()
    expect(redis.pid).not.to.equal(pid)
    expect(await client.get('key')).to.equal(null)
  })

  it('keeps its data in a restart that is not to be empty', async () => {
    const client = redis.client()
    await client.set('key', 'value')
    await redis.restart({ empty: false })
    expect(await client.get('key')).to.equal('value')
  })

  it('ends although it is frozen, and removes its folder', async () => {
    redis.freeze()
    await redis.stop()
    expect(redis.isRunning).to.equal(false)
    expect(existsSync(redis.dir)).to.equal(false)
    expect(stillRunning()).to.deep.equal([])
  })
})

describe('test helper: redis topologies', () => {
  it('starts a cluster that serves every slot', async function () {
    this.timeout(40_000)
    const cluster = await startCluster({ replicas: 1 })
    const client = cluster.client()
    for (const key of ['a', 'b', 'c', 'd', 'e', 'f']) await client.set(key, key)
    const sizes = await Promise.all(cluster.masters.map((node) => node.command('DBSIZE')))
    await cluster.stop()
    expect(sizes.every((size) => Number(size) > 0)).to.equal(true)
  })

  it('starts Sentinels that fail over to the replica', async function () {
    this.timeout(40_000)
    const setup = await startSentinel()
    const client = setup.client()
    await client.set('key', 'value')
    await client.wait(1, 5_000)
    expect(await setup.masterPort()).to.equal(setup.master.port)
    await setup.failover()
    expect(await setup.masterPort()).to.equal(setup.replica.port)
    expect(await client.get('key')).to.equal('value')
    await setup.stop()
  })
})

describe('test helper: tcp proxy', () => {
  let echo: { port: number; sockets: Set<Socket>; close(): Promise<void> }
  let proxy: TcpProxy
  let clients: Socket[]

  beforeEach(async () => {
    echo = await startEcho()
    proxy = await startProxy(echo.port)
    clients = []
  })

  afterEach(async () => {
    for (const client of clients) client.destroy()
    await proxy.close()
    await echo.close()
  })

  async function open(): Promise<Socket> {
    const client = connect({ port: proxy.port, host: '127.0.0.1' })
    clients.push(client)
    client.on('error', () => {})
    await once(client, 'connect')
    return client
  }

  async function say(client: Socket, words: string): Promise<string> {
    client.write(words)
    const [chunk] = await once(client, 'data')
    return String(chunk)
  }

  it('passes on data in both directions and counts it', async () => {
    const client = await open()
    expect(await say(client, 'hello')).to.equal('hello')
    expect(proxy.connections()[0]).to.include({ id: 1, bytesToServer: 5, bytesToClient: 5, swallowedBytes: 0 })
  })

  it('passes on an end', async () => {
    const client = await open()
    await say(client, 'hello')
    const closed = once(client, 'close')
    for (const socket of echo.sockets) socket.end()
    await closed
    await until(() => proxy.connections().length === 0)
  })

  it('cuts what is open, refuses what is new, and heals on the same port', async () => {
    const client = await open()
    await say(client, 'hello')
    const closed = once(client, 'close')
    await proxy.cut()
    await closed
    const refused = await failureOf(once(connect({ port: proxy.port, host: '127.0.0.1' }), 'connect'))
    expect(refused).to.include({ code: 'ECONNREFUSED' })
    await proxy.heal()
    expect(await say(await open(), 'again')).to.equal('again')
  })

  it('swallows data while both sockets stay open, and ends too', async () => {
    const client = await open()
    await say(client, 'hello')
    proxy.swallow()
    client.write('lost')
    await until(() => proxy.connections()[0]?.swallowedBytes === 4)
    for (const socket of echo.sockets) socket.end()
    await until(() => proxy.connections()[0]?.silenced.has('to-client'))
    await proxy.heal()
    client.write('more')
    await until(() => proxy.connections()[0]?.swallowedBytes === 8)
    expect([client.readyState, client.bytesRead]).to.deep.equal(['open', 5])
    expect(await say(await open(), 'new')).to.equal('new')
  })

  it('swallows one direction alone', async () => {
    const client = await open()
    await say(client, 'hello')
    const [upstream] = echo.sockets
    proxy.swallow({ direction: 'to-client' })
    client.write('heard')
    await until(() => upstream?.bytesRead === 10)
    client.write('still')
    await until(() => upstream?.bytesRead === 15)
    expect(client.bytesRead).to.equal(5)
  })

  it('swallows for those connections alone that have sent a command', async () => {
    const subscriber = await open()
    const other = await open()
    await say(subscriber, '*2\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n')
    await say(other, '*1\r\n$4\r\nPING\r\n')
    proxy.swallow({ filter: (connection) => connection.commands.has('SUBSCRIBE') })
    subscriber.write('lost')
    expect(await say(other, 'kept')).to.equal('kept')
    await until(() => proxy.connections()[0]?.swallowedBytes === 4)
  })

  it('finds a command name that was sent in two pieces', async () => {
    const client = await open()
    await say(client, '*1\r\n$4\r\nPI')
    await say(client, 'NG\r\n')
    expect([...(proxy.connections()[0]?.commands ?? [])]).to.deep.equal(['PING'])
  })

  it('delays data and keeps its order', async () => {
    const client = await open()
    proxy.delay(60, { direction: 'to-server' })
    const startedAt = performance.now()
    client.write('one ')
    proxy.delay(0)
    const heard = await say(client, 'two')
    const all = heard.length === 7 ? heard : heard + String((await once(client, 'data'))[0])
    expect(all).to.equal('one two')
    expect(performance.now() - startedAt).to.be.lessThan(5_000)
  })

  it('resets the client when nothing listens behind it', async () => {
    await echo.close()
    const client = await open()
    const error = await failureOf(once(client, 'data'))
    expect(error).to.include({ code: 'ECONNRESET' })
  })
})

async function startEcho(): Promise<{ port: number; sockets: Set<Socket>; close(): Promise<void> }> {
  const sockets = new Set<Socket>()
  const server = createTcpServer({ allowHalfOpen: false }, (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
    socket.pipe(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the echo server has no port')
  return {
    port: address.port,
    sockets,
    async close() {
      for (const socket of sockets) socket.destroy()
      if (server.listening) await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}
