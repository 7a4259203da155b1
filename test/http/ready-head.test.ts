/*
 * Hits with a head that was made before, at the front door and in the route: the same bytes as node:http would make, and a response that is left as it
 * leaves one. Wherever that could not be so, node:http makes the head.
 */
import { execFile } from 'node:child_process'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import { connect, Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import { promisify } from 'node:util'
import { expect } from 'chai'
import express, { type Express, type RequestHandler } from 'express'
import express4 from 'express4'
import { createRegistryCache, type RegistryCache } from '../../lib/index.ts'
import { createFakeClock, type FakeClock } from '../helpers/fake-clock.ts'
import { type Listening, listen } from '../helpers/http.ts'
import { until } from '../helpers/until.ts'

const LIST = Array.from({ length: 50 }, (_, i) => ({ id: i, name: `tool ${i} é` }))
const AS_NUMBER = { toString: () => 'text', valueOf: () => 7 }
const MANY = Array.from({ length: 400 }, () => LIST)

interface Ended {
  /** node:http notes a length that it has written itself. */
  readonly head: 'ready' | 'made'
  readonly state: readonly [headersSent: boolean, writableEnded: boolean, writableFinished: boolean, message: string]
}

type Around = (req: IncomingMessage, res: ServerResponse, front: RequestListener) => void

const get = (path: string, ...headers: string[]): string =>
  `GET ${path} HTTP/1.1\r\n${['Host: a.example', ...headers].join('\r\n')}\r\n\r\n`

function watchWriteHead(_req: IncomingMessage, res: ServerResponse): void {
  const { writeHead } = res
  res.writeHead = function watched(this: ServerResponse, ...args: unknown[]) {
    res.setHeader('X-Watched', 'w')
    return writeHead.apply(this, args as never)
  } as typeof writeHead
}

function watchEnd(_req: IncomingMessage, res: ServerResponse): void {
  const { end } = res
  res.end = ((...args: unknown[]) => end.apply(res, args as never)) as typeof end
}

describe('a head that is ready', () => {
  let clock: FakeClock
  let cache: RegistryCache
  let served: Listening
  let ended: Ended[]
  let closed: number

  function note(res: ServerResponse): void {
    const { headersSent, writableEnded, writableFinished, statusMessage } = res
    const head = (res as unknown as { _contentLength: unknown })._contentLength === null ? 'ready' : 'made'
    ended.push({ head, state: [headersSent, writableEnded, writableFinished, statusMessage] })
  }

  async function serve(around: Around = (req, res, front) => front(req, res), options: object = {}): Promise<void> {
    clock = createFakeClock()
    cache = createRegistryCache({ clock })
    const app = express()
    const cached = cache.middleware({ type: 'tools', scope: 'public', front: true })
    app.get('/tools', cached, (_req, res) => {
      res.set('Content-Disposition', 'inline; filename="é"').json(LIST)
    })
    app.get('/many', cached, (_req, res) => {
      res.json(MANY)
    })
    app.get('/links', cached, (_req, res) => {
      res.setHeader('Link', ['<a>; rel=a', '<b>; rel=b'])
      res.json(LIST)
    })
    app.get('/undated', cached, (_req, res) => {
      res.sendDate = false
      res.json(LIST)
    })
    app.get('/numbered', cached, (_req, res) => {
      res.setHeader('1', 'x').json(LIST)
    })
    app.set('etag', false)
    const tag: RequestHandler = (_req, res, next) => {
      res.setHeader('ETag', '"of-a-middleware"')
      next()
    }
    app.get('/tagged', tag, cached, (_req, res) => {
      res.json(LIST)
    })
    app.get('/other', (_req, res) => {
      res.json('other')
    })
    const front = cache.front(app)
    const server = createServer(options, (req, res) => {
      res.on('finish', () => note(res))
      res.on('close', () => closed++)
      around(req, res, front)
    })
    served = await listen(server)
    for (const path of ['/tools', '/many', '/links', '/undated', '/numbered', '/tagged'])
      await ask(get(path), get(path), get(path, 'Connection: close'))
    ended = []
    closed = 0
  }

  beforeEach(() => {
    ended = []
    closed = 0
  })

  afterEach(async () => {
    await served.close()
    await cache.stop()
  })

  /** All that the server says on one connection to these requests, sent at once, until it closes it. */
  async function ask(...requests: string[]): Promise<Buffer> {
    const socket = connect(served.port, '127.0.0.1')
    const chunks: Buffer[] = []
    socket.on('data', (chunk) => chunks.push(chunk))
    socket.write(requests.join(''))
    await once(socket, 'close')
    return Buffer.concat(chunks)
  }

  /** The beginning of the one answer, with its head, on a connection that may stay. */
  async function askOnce(request: string): Promise<string> {
    const socket = connect(served.port, '127.0.0.1')
    socket.write(request)
    const [said] = (await once(socket, 'data')) as [Buffer]
    await until(() => ended.length === 1)
    socket.destroy()
    return said.toString('latin1')
  }

  /** The answers in what was said, every one of which says its length. */
  function answersOf(said: Buffer): string[] {
    const answers: string[] = []
    for (let rest = said; rest.byteLength > 0; ) {
      const bodyAt = rest.indexOf('\r\n\r\n') + 4
      const length = Number(/^content-length: (\d+)/im.exec(rest.toString('latin1', 0, bodyAt))?.[1])
      answers.push(rest.toString('latin1', 0, bodyAt + length))
      rest = rest.subarray(bodyAt + length)
    }
    return answers
  }

  const heads = (): string[] => ended.map(({ head }) => head)
  const bodyOf = (answer: string): string => answer.slice(answer.indexOf('\r\n\r\n') + 4)
  const latin1 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('latin1')
  /** Matches nothing, so the answer is the whole one; but node:http makes its head. */
  const CONDITION = 'If-None-Match: "another"'

  for (const keepAliveTimeout of [5_000, 120_999, 0]) {
    it(`has the bytes that node:http makes, with a keepAliveTimeout of ${keepAliveTimeout} ms`, async () => {
      await serve(undefined, { keepAliveTimeout })
      const said = await ask(get('/tools'), get('/tools', CONDITION), get('/tools'), get('/tools', 'Connection: close'))
      const [ready = '', made, again] = answersOf(said)
      expect(heads()).to.deep.equal(['ready', 'made', 'ready', 'made'])
      expect(ready).to.match(/^HTTP\/1\.1 200 OK\r\n/)
      expect(ready).to.match(/\r\nX-Cache: HIT\r\n/)
      expect(ready).to.match(/\r\nContent-Disposition: inline; filename="\xe9"\r\n/)
      expect(ready).to.equal(made)
      expect(again).to.equal(made)
      expect(bodyOf(ready)).to.equal(latin1(LIST))
    })
  }

  it('says the age of each second', async () => {
    await serve()
    const ages: (string | undefined)[] = []
    for (let n = 0; n < 3; n++) {
      const asked = [get('/tools'), get('/tools'), get('/tools', CONDITION, 'Connection: close')]
      const [, ready = '', made = ''] = answersOf(await ask(...asked))
      ages.push(/\r\nAge: (\d+)\r\n/.exec(ready)?.[1])
      expect(/Cache-Status: .*/.exec(ready)?.[0]).to.equal(/Cache-Status: .*/.exec(made)?.[0])
      clock.advance(1_000)
    }
    expect(ages).to.deep.equal(['0', '1', '2'])
    expect(heads()).to.deep.equal(['ready', 'ready', 'made', 'made', 'ready', 'made', 'made', 'ready', 'made'])
  })

  it('is that of the server: two may keep connections for different times', async () => {
    await serve(undefined, { keepAliveTimeout: 9_000 })
    const first = served
    const listener = first.server.listeners('request')[0] as RequestListener
    const other = await listen(createServer({ keepAliveTimeout: 3_000 }, listener))
    for (const [server, seconds] of [
      [first, '9'],
      [other, '3'],
      [first, '9'],
    ] as const) {
      served = server
      const [answer = ''] = answersOf(await ask(get('/tools'), get('/tools', 'Connection: close')))
      expect(/Keep-Alive: timeout=(\d)/.exec(answer)?.[1]).to.equal(seconds)
    }
    served = first
    await other.close()
    expect(heads().filter((head) => head === 'ready')).to.have.lengthOf(3)
  })

  it('leaves the response as one whose head node:http has made', async () => {
    await serve()
    await ask(get('/tools'), get('/tools', CONDITION), get('/tools', 'Connection: close'))
    await until(() => closed === 3)
    expect(heads()).to.deep.equal(['ready', 'made', 'made'])
    for (const { state } of ended) expect(state).to.deep.equal([true, true, true, 'OK'])
  })

  it('keeps its place among pipelined requests, of whatever kind', async () => {
    await serve()
    const paths = ['/tools', '/other', '/many', '/tools', '/other', '/tools', '/many']
    const said = await ask(...paths.map((path) => get(path)), get('/tools', 'Connection: close'))
    const of: Record<string, string> = { '/tools': latin1(LIST), '/other': '"other"', '/many': latin1(MANY) }
    expect(answersOf(said).map(bodyOf)).to.deep.equal([...paths, '/tools'].map((path) => of[path]))
    expect(heads().filter((head) => head === 'ready')).to.have.lengthOf(5)
  })

  it('goes to a slow reader, and to none that has gone', async () => {
    await serve()
    for (let n = 0; n < 10; n++) {
      const before = closed
      const socket = connect(served.port, '127.0.0.1')
      socket.pause()
      socket.write(get('/many').repeat(20))
      await until(() => ended.length > 0)
      ended = []
      socket.resetAndDestroy()
      await until(() => closed > before)
    }
    const slow = connect(served.port, '127.0.0.1')
    slow.pause()
    slow.write(get('/many').repeat(20) + get('/many', 'Connection: close'))
    await until(() => ended.length > 0)
    let bytes = 0
    slow.on('data', (chunk) => {
      bytes += chunk.byteLength
    })
    slow.resume()
    await once(slow, 'close')
    expect(bytes).to.be.greaterThan(21 * Buffer.byteLength(JSON.stringify(MANY)))
  })

  it('has the ETag of a middleware where the application makes none', async () => {
    await serve()
    const errors: string[] = []
    cache.on('error', ({ code }) => errors.push(code))
    const [answer] = answersOf(await ask(get('/tagged'), get('/tools', 'Connection: close')))
    expect(heads()).to.deep.equal(['ready', 'made'])
    expect(answer).to.match(/\r\nETag: "of-a-middleware"\r\n/)
    expect(errors).to.deep.equal([])
  })

  it('is made by the application where the door fails', async () => {
    let isFailing = false
    await serve((req, res, front) => {
      const { writeHead } = res
      if (isFailing) {
        res.writeHead = function failing(this: ServerResponse): never {
          res.writeHead = writeHead
          throw new Error('a hook')
        } as typeof writeHead
      }
      front(req, res)
    })
    const errors: string[] = []
    cache.on('error', ({ code }) => errors.push(code))
    isFailing = true
    const [answer = ''] = answersOf(await ask(get('/tools', 'Connection: close')))
    expect(answer).to.match(/^HTTP\/1\.1 200 OK\r\n/)
    expect(bodyOf(answer)).to.equal(latin1(LIST))
    expect(errors).to.have.lengthOf(1)
  })

  describe('is left to node:http', () => {
    const others: [name: string, request: string, around?: Around][] = [
      ['where the connection is to close', get('/tools', 'Connection: close')],
      ['over HTTP/1.0', 'GET /tools HTTP/1.0\r\nHost: a.example\r\n\r\n'],
      ['for HEAD', 'HEAD /tools HTTP/1.1\r\nHost: a.example\r\n\r\n'],
      ['for a condition', get('/tools', CONDITION)],
      ['for several lines of one name', get('/links')],
      ['for a name that is a number', get('/numbered')],
      ['where there is no Date to replay', get('/undated')],
      ['where a header is set already', get('/tools'), (_req, res) => res.setHeader('X-Before', 'b')],
      [
        'where a status is set already',
        get('/tools'),
        (_req, res) => {
          res.statusMessage = 'Fine'
        },
      ],
      ['where the connection is not to be named', get('/tools'), (_req, res) => res.removeHeader('Connection')],
      ['where somebody watches writeHead', get('/tools'), watchWriteHead],
      ['where somebody watches end', get('/tools'), watchEnd],
      ['where a connection has only so many requests', get('/tools')],
    ]
    for (const [name, request, prepare] of others) {
      it(name, async () => {
        let isPrepared = false
        await serve((req, res, front) => {
          if (isPrepared) prepare?.(req, res, front)
          front(req, res)
        })
        isPrepared = true
        if (name.includes('only so many')) served.server.maxRequestsPerSocket = 9
        const head = await askOnce(request)
        expect(heads()).to.deep.equal(['made'])
        expect(head).to.match(/X-Cache: HIT/)
        if (name.includes('a header')) expect(head).to.match(/X-Before: b/)
        if (name.includes('writeHead')) expect(head).to.match(/X-Watched: w/)
        if (name.includes('not to be named')) expect(head).to.not.match(/Connection|Keep-Alive/)
        if (name.includes('several')) expect(head).to.match(/Link: <a>; rel=a\r\nLink: <b>; rel=b\r\n/)
        if (name.includes('a status')) expect(head).to.match(/^HTTP\/1\.1 200 /)
      })
    }
  })

  it('is left to an agent that has replaced functions of node:http before this package was loaded', async function () {
    this.timeout(60_000)
    const script = `
      import { createServer, ServerResponse } from 'node:http'
      const { [process.argv[1]]: original } = ServerResponse.prototype
      let calls = 0
      ServerResponse.prototype[process.argv[1]] = function (...args) {
        const isOfHit = this.hasHeader('X-Cache') || args[0] === 'X-Cache' || args[1]?.['X-Cache']
        if (isOfHit) calls++
        return original.apply(this, args)
      }
      const { createRegistryCache } = await import(process.argv[2])
      const { default: express } = await import('express')
      const cache = createRegistryCache()
      const app = express()
      app.get('/tools', cache.middleware({ type: 'tools' }), (_req, res) => res.json([]))
      const server = createServer(app).listen(0, '127.0.0.1', async () => {
        const ask = async () => (await (await fetch('http://127.0.0.1:' + server.address().port + '/tools')).text())
        for (let n = 0; n < 3; n++) await ask()
        calls = 0
        await ask()
        console.log(calls > 0)
        server.close()
        server.closeAllConnections()
        await cache.stop()
      })`
    for (const method of ['writeHead', 'setHeader', '_storeHeader', 'end', 'emit']) {
      const { href } = new URL('../../lib/index.ts', import.meta.url)
      const loader = import.meta.resolve('ts-blank-space/register')
      const args = ['--import', loader, '--input-type=module', '-e', script, method, href]
      const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: new URL('.', import.meta.url) })
      expect(stdout.trim(), method).to.equal('true')
    }
  })

  for (const [version, make] of [
    ['5', express],
    ['4', express4],
  ] as const) {
    describe(`in a route of Express ${version}`, () => {
      let prepare: (req: IncomingMessage, res: ServerResponse) => void = () => {}

      /** Node alone says how the head was made; a listener of `finish` on the response would have it make it. */
      async function serveRoutes(set: (app: Express) => void = () => {}): Promise<void> {
        prepare = () => {}
        clock = createFakeClock()
        cache = createRegistryCache({ clock })
        const app = make() as unknown as Express
        set(app)
        app.use((req, res, next) => {
          prepare(req, res)
          next()
          if (res.headersSent) note(res)
        })
        app.get('/tools', cache.middleware({ type: 'tools' }), (_req, res) => {
          res.set('X-Of-Route', 'é').json(LIST)
        })
        app.get('/fewer', cache.middleware({ type: 'tools' }), (_req, res) => {
          res.removeHeader('X-Powered-By')
          res.json(LIST)
        })
        served = await listen(createServer(app))
        // The head of the first hit in a second is made by node:http.
        await ask(...['/tools', '/fewer'].flatMap((path) => [get(path), get(path)]), get('/tools', 'Connection: close'))
        ended = []
      }

      it('has the bytes that node:http makes', async () => {
        await serveRoutes((app) => {
          app.use((_req, res, next) => {
            res.setHeader('x-Lower-UPPER', 'ä')
            res.setHeader('X-Limit', 100)
            res.setHeader('Vary', 'Origin')
            next()
          })
        })
        const said = await ask(
          get('/tools'),
          get('/tools', CONDITION),
          get('/tools'),
          get('/tools', 'Connection: close'),
        )
        const [ready = '', made, again] = answersOf(said)
        expect(heads()).to.deep.equal(['ready', 'made', 'ready', 'made'])
        expect(ready).to.match(
          /^HTTP\/1\.1 200 OK\r\nX-Powered-By: Express\r\nx-Lower-UPPER: \xe4\r\nX-Limit: 100\r\nVary: Origin\r\n/,
        )
        expect(ready).to.match(/\r\nX-Of-Route: \xe9\r\n/)
        expect(ready).to.match(/\r\nX-Cache: HIT\r\n/)
        expect(ready).to.equal(made)
        expect(again).to.equal(made)
        expect(bodyOf(ready)).to.equal(latin1(LIST))
      })

      it('has what each request set, and the age of each second', async () => {
        await serveRoutes()
        const said: unknown[] = []
        for (let n = 0; n < 3; n++) {
          prepare = (_req, res) => void (n === 1 ? res.removeHeader('X-Powered-By') : res.setHeader('X-Request', n))
          const [, answer = ''] = answersOf(await ask(get('/tools'), get('/tools'), get('/tools', 'Connection: close')))
          said.push([
            /X-Powered-By: (.*)/.exec(answer)?.[1],
            /X-Request: (.*)/.exec(answer)?.[1],
            /Age: (.*)/.exec(answer)?.[1],
          ])
          clock.advance(1_000)
        }
        expect(said).to.deep.equal([
          ['Express', '0', '0'],
          [undefined, undefined, '1'],
          ['Express', '2', '2'],
        ])
        const later = ['made', 'ready', 'made']
        expect(heads()).to.deep.equal(['ready', 'ready', 'made', ...later, ...later])
      })

      it('is left to node:http where the route has removed a header', async () => {
        await serveRoutes()
        prepare = (_req, res) => res.setHeader('X-Request', 1)
        const said = answersOf(await ask(get('/fewer'), get('/fewer', 'Connection: close')))
        expect(heads()).to.deep.equal(['made', 'made'])
        for (const answer of said) {
          expect(answer)
            .to.match(/X-Cache: HIT/)
            .and.to.match(/X-Request: 1/)
          expect(answer).to.not.match(/X-Powered-By/)
        }
      })

      const others: [name: string, prepare: (req: IncomingMessage, res: ServerResponse) => void, head: RegExp][] = [
        [
          'for several lines of one name',
          (_req, res) => res.setHeader('Set-Cookie', ['a=1', 'b=2']),
          /a=1\r\n.*b=2\r\n/,
        ],
        ['for a header of the entry', (_req, res) => res.setHeader('x-of-ROUTE', 'before'), /\r\nX-Of-Route: \xe9\r\n/],
        [
          'for another line of Cache-Status',
          (_req, res) => res.setHeader('Cache-Status', 'cdn; hit'),
          /: cdn; hit, reg/,
        ],
        ['for the length', (_req, res) => res.setHeader('Content-Length', 7), /\r\nContent-Length: \d{4}\r\n/],
        ['for Connection', (_req, res) => res.setHeader('Connection', 'close'), /\r\nConnection: close\r\n/],
        [
          'for Content-Disposition',
          (_req, res) => res.setHeader('Content-Disposition', 'inline; filename="ü"'),
          /\r\nContent-Disposition: inline; filename="\xfc"\r\n/,
        ],
        [
          'where somebody waits for finish, though no header is left that was set before',
          (_req, res) => {
            res.removeHeader('X-Powered-By')
            res.on('finish', () => {})
          },
          /X-Cache/,
        ],
        ['for a value that is more than text', (_req, res) => res.setHeader('X-Of', AS_NUMBER as never), /X-Of: 7\r\n/],
        ['where somebody waits for prefinish', (_req, res) => void res.on('prefinish', () => {}), /X-Powered-By/],
        [
          'where somebody watches all events',
          (_req, res) => {
            const { emit } = res
            res.emit = ((...args: unknown[]) => emit.apply(res, args as never)) as typeof emit
          },
          /X-Powered-By/,
        ],
        ['where somebody waits for finish', (_req, res) => void res.on('finish', () => {}), /X-Powered-By/],
        ['where somebody waits for the response to close', (_req, res) => void res.on('close', () => {}), /X-Powered/],
        ['where somebody waits for the request to close', (req) => void req.on('close', () => {}), /X-Powered/],
        [
          'where somebody watches setHeader',
          (_req, res) => {
            const { setHeader } = res
            res.setHeader = ((name: string, value: string) =>
              setHeader.call(res, name, name === 'Age' ? 'watched' : value)) as typeof setHeader
          },
          /\r\nAge: watched\r\n/,
        ],
        ['where somebody watches writeHead', watchWriteHead, /\r\nX-Watched: w\r\n/],
        [
          'where somebody watches what makes the head in it',
          (_req, res) => {
            const inner = res as unknown as { _storeHeader(line: string, headers: unknown): void }
            const { _storeHeader } = inner
            inner._storeHeader = (line, headers) => _storeHeader.call(res, line.replace('OK', 'Watched'), headers)
          },
          /^HTTP\/1\.1 200 Watched\r\n/,
        ],
        ['where somebody watches end', watchEnd, /X-Powered/],
      ]
      for (const [name, how, head] of others) {
        it(`is left to node:http ${name}`, async () => {
          await serveRoutes()
          prepare = how
          const text = await askOnce(get('/tools'))
          expect(heads()).to.deep.equal(['made'])
          expect(text.replaceAll('\r\nSet-Cookie', '\r\n Set-Cookie')).to.match(new RegExp(head.source, 's'))
          expect(text).to.match(/\r\nX-Cache: HIT\r\n/)
        })
      }

      it('is left to node:http where the end of all responses is watched', async () => {
        await serveRoutes()
        let seen: unknown
        const watch = (message: unknown): void => {
          seen = (message as { response: ServerResponse }).response.getHeader('X-Cache')
        }
        subscribe('http.server.response.finish', watch)
        try {
          await ask(get('/tools', 'Connection: close'))
          await ask(get('/tools'), get('/tools', 'Connection: close'))
          expect(heads()).to.deep.equal(['made', 'made', 'made'])
          expect(seen).to.equal('HIT')
        } finally {
          unsubscribe('http.server.response.finish', watch)
        }
      })

      it('is left to node:http where an adapter takes the headers from the response', async () => {
        await serveRoutes()
        const app = served.server.listeners('request')[0] as RequestListener
        const { IncomingMessage: Request, ServerResponse: Response } = await import('node:http')
        for (const socket of [new PassThrough() as unknown as Socket, new Socket()]) {
          const req = new Request(socket)
          Object.assign(req, { method: 'GET', url: '/tools', headers: { host: 'a.example' }, httpVersion: '1.1' })
          Object.assign(req, { httpVersionMajor: 1, httpVersionMinor: 1 })
          const res = new Response(req)
          app(req, res)
          expect(res.getHeader('X-Cache')).to.equal('HIT')
          expect(res.getHeader('Content-Type')).to.match(/json/)
        }
        expect(heads()).to.deep.equal(['made', 'made'])
      })
    })
  }
})
