/*
 * The end of a mutation's response: held until its invalidation is done, whatever the handler, its errors and its client do.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { expect } from 'chai'
import type { Request, Response } from 'express'
import type { InvalidateOnOptions, RegistryCacheOptions } from '../../lib/index.ts'
import { settle } from '../helpers/fake-clock.ts'
import { forEachExpress, request } from '../helpers/http.ts'
import { startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'
import { applications, gate, headerLines, type Started } from './fixture.ts'

forEachExpress((name, framework) => {
  describe('invalidateOn', () => {
    const start = applications()

    interface Mutable extends Started {
      /** What invalidations of `tools` have been asked for. */
      readonly raised: string[]
    }

    /** A list at `/tools` that answers from a cache, and a mutation at the same path. */
    async function application(
      mutate: (req: Request, res: Response) => unknown,
      options: InvalidateOnOptions = {},
      cacheOptions: RegistryCacheOptions = {},
    ): Promise<Mutable> {
      const raised: string[] = []
      let reads = 0
      const started = await start(
        framework,
        ({ app, cache, cached }) => {
          cache.on('invalidate', ({ tag }) => void raised.push(tag))
          const tools = cached()
          app.get('/tools', tools, (_req, res) => void res.json({ read: ++reads }))
          app.use('/tools', tools.invalidateOn(options), (req, res) => mutate(req, res) as undefined)
          app.use('/plain', (req, res) => mutate(req, res) as undefined)
        },
        cacheOptions,
      )
      return { ...started, raised }
    }

    const answers: Record<string, (req: Request, res: Response) => unknown> = {
      'res.json': (_req, res) => res.status(201).json({ id: 1 }),
      'res.send(text)': (_req, res) => res.send('made'),
      'an empty 201': (_req, res) => res.status(201).end(),
      'an empty 204': (_req, res) => res.status(204).end(),
      'a sendStatus': (_req, res) => res.sendStatus(202),
      'a redirect': (_req, res) => res.redirect(303, '/tools'),
      'res.end(callback)': (_req, res) => res.status(200).end(() => {}),
      'res.end(chunk, encoding, callback)': (_req, res) => res.end('6d616465', 'hex', () => {}),
      'writes without a length': (_req, res) => {
        res.write('ma')
        res.write('de')
        res.end()
      },
      'writes of a declared length': (_req, res) => {
        res.set('Content-Length', '4')
        res.write('ma')
        res.write('de')
        res.end()
      },
      'writes of a declared length that are never ended': (_req, res) => {
        res.set('Content-Length', '4').write('made')
      },
      'a writeHead of its own': (_req, res) => res.writeHead(201, { 'Content-Type': 'text/plain' }).end('made'),
      'a 500': (_req, res) => res.status(500).json({ error: 'half done' }),
    }
    for (const [what, mutate] of Object.entries(answers)) {
      it(`invalidates before the client sees the end of ${what}, and changes nothing of it`, async () => {
        const dated = (req: Request, res: Response): unknown => {
          res.set('Date', 'Thu, 01 Jan 2026 00:00:00 GMT')
          return mutate(req, res)
        }
        const { get, send, raised } = await application(dated)
        const plain = await send({ method: 'POST', path: '/plain' })
        expect((await get('/tools')).json()).to.deep.equal({ read: 1 })
        const answer = await send({ method: 'POST', path: '/tools' })
        expect(raised).to.include('registry:tools')
        expect([answer.status, answer.text]).to.deep.equal([plain.status, plain.text])
        expect(headerLines(answer)).to.deep.equal(headerLines(plain))
        expect((await get('/tools')).json()).to.deep.equal({ read: 2 })
      })
    }

    it('holds the end until Redis was told: nothing is on the wire before', async () => {
      const redis = await startRedis()
      try {
        const client = redis.client()
        const { listening, cache } = await application(
          (_req, res) => res.json({ id: 1 }),
          {},
          { redis: client, redisTimeout: 8 },
        )
        await cache.invalidate('prompts')
        redis.freeze()
        const raised = new Promise<void>((resolve) => cache.on('invalidate', () => resolve()))
        const socket = connect(listening.port, '127.0.0.1')
        const received = collect(socket)
        socket.write('POST /tools HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')
        await raised
        // What went to the wire would be here by the time that another answer of the same server is.
        await request(listening, { path: '/plain' })
        expect(received.text).to.equal('')
        redis.thaw()
        await once(socket, 'close')
        expect(received.text).to.match(/^HTTP\/1.1 200 OK\r\n[\s\S]*\{"id":1\}$/)
      } finally {
        redis.thaw()
        await redis.stop()
      }
    })

    it('gives the client its answer when the handler throws after res.json', async () => {
      const { send, raised } = await application((_req, res) => {
        res.json({ id: 1 })
        throw new Error('after the answer')
      })
      for (let i = 0; i < 10; i++) {
        const answer = await send({ method: 'POST', path: '/tools' })
        expect([answer.status, answer.text]).to.deep.equal([200, '{"id":1}'])
      }
      expect(raised.filter((tag) => tag === 'registry:tools')).to.have.length(10)
    })

    if (name === 'Express 5') {
      it('gives the client its answer when an async handler throws after res.json', async () => {
        const { send, raised } = await application(async (_req, res) => {
          res.json({ id: 1 })
          await settle()
          throw new Error('after the answer')
        })
        const answer = await send({ method: 'POST', path: '/tools' })
        expect([answer.status, answer.text]).to.deep.equal([200, '{"id":1}'])
        expect(raised).to.include('registry:tools')
      })
    }

    it('lets a destroyed socket be destroyed, once the held answer is out', async () => {
      const { send } = await application((req, res) => {
        res.json({ id: 1 })
        req.socket.destroy()
      })
      expect((await send({ method: 'POST', path: '/tools' })).text).to.equal('{"id":1}')
    })

    it('ignores a second end, and ends the response once', async () => {
      const { send, raised } = await application((_req, res) => {
        res.json({ id: 1 })
        res.end()
        res.end('more')
      })
      expect((await send({ method: 'POST', path: '/tools' })).text).to.equal('{"id":1}')
      expect(raised.filter((tag) => tag === 'registry:tools')).to.have.length(1)
    })

    it('says that the headers are sent as soon as the handler has ended the response', async () => {
      const seen: boolean[] = []
      const { send } = await application((_req, res) => {
        res.json({ id: 1 })
        seen.push(res.headersSent)
      })
      await send({ method: 'POST', path: '/tools' })
      expect(seen).to.deep.equal([true])
    })

    it('invalidates when the client leaves, and again when the handler ends after its commit', async () => {
      const commit = gate()
      const events: string[] = []
      const { get, cache, listening } = await application(async (_req, res) => {
        events.push('entered')
        res.on('close', () => events.push('close'))
        await commit.opened
        events.push('commit')
        res.json({ id: 1 })
        events.push(`end, destroyed ${res.destroyed}`)
      })
      cache.on('invalidate', ({ tag }) => tag === 'registry:tools' && void events.push('raised'))
      await get('/tools')
      const leaving = new AbortController()
      const left = request(listening, { method: 'POST', path: '/tools', signal: leaving.signal }).catch(() => {})
      await until(() => events.includes('entered'))
      leaving.abort()
      await left
      await until(() => events.includes('raised'))
      // Somebody reads between the two: before the commit, so what was read is old.
      await get('/tools')
      commit.open()
      await until(() => events.filter((event) => event === 'raised').length === 2)
      const order = events.filter((event) => event !== 'close')
      expect(order.slice(0, 3)).to.deep.equal(['entered', 'raised', 'commit'])
      expect(order).to.include('end, destroyed true')
      expect((await get('/tools')).json(), 'neither read was kept').to.deep.equal({ read: 3 })
    })

    it('answers two mutations on one connection, each after its own invalidation', async () => {
      let count = 0
      const { listening, raised } = await application((_req, res) => res.json({ id: ++count }))
      const socket = connect(listening.port, '127.0.0.1')
      const received = collect(socket)
      const head = 'POST /tools HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n'
      socket.write(`${head}\r\n${head}Connection: close\r\n\r\n`)
      await once(socket, 'close')
      expect(received.text.match(/\{"id":\d\}/g)).to.deep.equal(['{"id":1}', '{"id":2}'])
      expect(raised.filter((tag) => tag === 'registry:tools')).to.have.length(2)
    })

    for (const method of ['GET', 'HEAD', 'OPTIONS', 'TRACE']) {
      it(`leaves ${method} alone`, async () => {
        const { send, raised } = await application((_req, res) => res.json({}))
        await send({ method, path: '/tools/other' })
        expect(raised).to.deep.equal([])
      })
    }

    for (const [status, invalidates] of [
      [200, true],
      [302, true],
      [400, false],
      [404, false],
      [409, false],
      [500, true],
      [503, true],
    ] as const) {
      it(`${invalidates ? 'invalidates' : 'does not invalidate'} after a ${status}`, async () => {
        const { send, raised } = await application((_req, res) => res.status(status).json({}))
        await send({ method: 'DELETE', path: '/tools' })
        expect(raised.includes('registry:tools')).to.equal(invalidates)
      })
    }

    it('asks when, and invalidates where it throws', async () => {
      const { send, raised, cache } = await application((_req, res) => res.json({}), {
        when: (req) => {
          if (req.method === 'DELETE') throw new Error('oops')
          return req.method === 'PUT'
        },
      })
      const codes: string[] = []
      cache.on('error', ({ code }) => void codes.push(code))
      await send({ method: 'POST', path: '/tools' })
      expect(raised).to.deep.equal([])
      await send({ method: 'PUT', path: '/tools' })
      expect(raised).to.include('registry:tools')
      raised.length = 0
      expect((await send({ method: 'DELETE', path: '/tools' })).status).to.equal(200)
      expect(raised).to.include('registry:tools')
      expect(codes).to.deep.equal(['ERR_CALLBACK_THREW'])
    })

    it('invalidates the types of the middlewares that the request passed, those that depend on them, and no other', async () => {
      const raised: string[] = []
      const { send } = await start(framework, ({ app, cache, cached }) => {
        cache.on('invalidate', ({ tag }) => void raised.push(tag))
        const router = framework.Router()
        router.use(cached({ type: 'prompts' }), cache.invalidateOn('POST'))
        router.post('/', (_req, res) => void res.json({}))
        router.put('/', (_req, res) => void res.json({}))
        app.use('/prompts', router)
      })
      await send({ method: 'PUT', path: '/prompts' })
      expect(raised).to.deep.equal([])
      await send({ method: 'POST', path: '/prompts' })
      expect(raised.sort()).to.deep.equal(['registry:prompts', 'registry:servers'])
    })

    it('fails the request before the handler runs where it can not know a type', async () => {
      let runs = 0
      const { send } = await start(framework, ({ app, cache }) => {
        app.use(cache.invalidateOn('POST'))
        app.post('/x', (_req, res) => void res.json({ runs: ++runs }))
      })
      const answer = await send({ method: 'POST', path: '/x' })
      expect(answer.status).to.equal(500)
      expect(answer.text).to.match(/invalidateOn/)
      expect(runs).to.equal(0)
    })

    it('invalidates tags alone where types is empty, and those that a function reveals', async () => {
      const { send, raised } = await application((_req, res) => res.status(201).json({}), {
        types: [],
        tags: (req, res) => [`tool_lookup:${req.headers['x-name']}:${res.statusCode}`],
      })
      await send({ method: 'POST', path: '/tools', headers: { 'X-Name': 'search' } })
      expect(raised).to.deep.equal(['tool_lookup:search:201'])
    })

    it('leaves out malformed tags and functions that throw, with an event, and answers all the same', async () => {
      const { send, raised, cache } = await application((_req, res) => res.json({}), {
        tags: (req) => {
          if (req.method === 'PUT') throw new Error('oops')
          return ['bad:@tag', 'good']
        },
      })
      const codes: string[] = []
      cache.on('error', ({ code }) => void codes.push(code))
      expect((await send({ method: 'POST', path: '/tools' })).status).to.equal(200)
      expect(raised).to.include('good').and.include('registry:tools')
      expect((await send({ method: 'PUT', path: '/tools' })).status).to.equal(200)
      expect(codes).to.deep.equal(['ERR_TAG_NAME', 'ERR_CALLBACK_THREW'])
    })

    it('invalidates once more after replicaLag', async () => {
      const { send, raised, clock } = await application((_req, res) => res.json({}), { replicaLag: 2 })
      await send({ method: 'POST', path: '/tools' })
      const count = (): number => raised.filter((tag) => tag === 'registry:tools').length
      expect(count()).to.equal(1)
      await clock.advanceAsync(1_999)
      expect(count()).to.equal(1)
      await clock.advanceAsync(1)
      expect(count()).to.equal(2)
    })
  })
})

interface Received {
  text: string
}

function collect(socket: Socket): Received {
  const received: Received = { text: '' }
  socket.on('data', (chunk) => {
    received.text += String(chunk)
  })
  return received
}
