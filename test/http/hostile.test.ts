/*
 * Requests that nobody sends by accident: no crash, no rejection, no two requests that share what is not theirs, no key outside
 * the prefix, no memory beyond the bounds. Random ones print their seed when they fail.
 */
import { Agent, type IncomingMessage, request as openRequest } from 'node:http'
import { connect } from 'node:net'
import { expect } from 'chai'
import type { Request } from 'express'
import fc from 'fast-check'
import { createRegistryCache } from '../../lib/index.ts'
import { forEachExpress, listen } from '../helpers/http.ts'
import { startRedis } from '../helpers/redis-server.ts'
import { applications, type Framework } from './fixture.ts'

const REQUESTS = 5_000
const AT_ONCE = 20
const seed = Number(process.env.SEED ?? Date.now() % 1_000_000_000)

const nasty = fc.constantFrom(
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  'a',
  'A',
  'b',
  'filter',
  '',
  '%',
  '%00',
  '%2F',
  '%2e%2e',
  '%E2%9C%93',
  '%ff',
  '[]',
  '[0]',
  '[a]',
  '[__proto__]',
  '[a][b][c][d][e][f][g]',
  '*',
  '{',
  '}',
  '|',
  '\\',
  '^',
  '`',
  "'",
  '"',
  '&',
  '=',
  '+',
  ';',
  ',',
  ':',
  '@',
  '!',
  '?',
  '/',
  '//',
  '../',
  'x'.repeat(300),
)
const word = fc.oneof(
  nasty,
  fc.string({ maxLength: 8 }).map((text) => encodeURIComponent(text.replace(/[\ud800-\udfff]/g, ''))),
)
const parameter = fc
  .tuple(word, word, fc.constantFrom('=', '', '[]=', '[a]=', '=='))
  .map(([key, value, glue]) => key + glue + value)
const query = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.array(parameter, { maxLength: 6 }).map((parts) => (parts.length > 0 ? `?${parts.join('&')}` : '')),
  },
  {
    weight: 1,
    arbitrary: fc
      .array(parameter, { minLength: 20, maxLength: 60 })
      .map((parts) => `?${parts.join('&')}`.padEnd(8_000, 'z').slice(0, 8_000)),
  },
)
const path = fc.oneof(
  fc.constantFrom(
    '/x',
    '/x/',
    '/X',
    '//x',
    '/x//',
    '/./x',
    '/x/..',
    '/%78',
    '/x%2Fy',
    '/x;a=1',
    '/x%00',
    '/x/__proto__',
    '/',
  ),
  word.map((part) => `/x/${part.replace(/[?]/g, '')}`),
)
const prefix = fc.constantFrom('', '', '', '', 'http://evil.example', 'HTTP://user@evil.example:81', 'http://[::1]')
/** What Node's client would refuse to send is not the server's trouble. */
const target = fc.tuple(prefix, path, query).map((parts) => parts.join('').replace(/[^\x21-\x7e]/g, '%20'))

const header = fc.constantFrom<[string, string | string[]]>(
  ['If-None-Match', '"'],
  ['If-None-Match', 'W/'],
  ['If-None-Match', '*, *'],
  ['If-None-Match', `${'"a",'.repeat(500)}"b"`],
  ['If-Modified-Since', 'never'],
  ['If-Modified-Since', 'Thu, 99 Foo 9999 99:99:99 GMT'],
  ['If-Modified-Since', '-1'],
  ['If-Range', '"x"'],
  ['Range', 'bytes=0-0,5-'],
  ['Accept-Encoding', 'gzip;q=abc, br;q=2, *;q=0'],
  ['Accept-Encoding', ''],
  ['Accept-Encoding', 'identity;q=0, *;q=0'],
  ['Accept-Encoding', ',,,;;;==='],
  ['Accept', '*/*;q=0'],
  ['Cache-Control', 'max-age=-1, min-fresh=99999999999999999999, no-cache=", only-if-cached'],
  ['Cache-Control', '=,=,"'],
  ['Cache-Control', 'max-stale, no-transform, max-age="9'],
  ['Pragma', 'no-cache, x'],
  ['Cache-Status', 'x; hit'],
  ['X-Cache', 'HIT'],
  ['Vary', '*'],
  ['Connection', 'close, X-Flavour'],
  ['Content-Length', '0'],
  ['Expect', 'nothing-special'],
  ['X-Flavour', ['a', 'b']],
  ['X-Flavour', 'a, b'],
  ['X-Flavour', 'a'],
  ['X-Flavour', ' a'],
  ['X-Flavour', '\u00e9'],
  ['Accept-Language', ['de', 'en']],
)
const headers = fc
  .array(header, { maxLength: 4 })
  .map((pairs) => Object.fromEntries(pairs.filter(([name]) => name !== 'Expect')))
const hostile = fc.record({
  target,
  headers,
  method: fc.constantFrom('GET', 'GET', 'GET', 'GET', 'HEAD', 'OPTIONS', 'POST'),
})

interface Sent {
  readonly status: number
  readonly text: string
  /** It is from the handler that ran for it. */
  readonly isOwn: boolean
}

forEachExpress((_name, framework) => {
  describe('hostile input', () => {
    const start = applications()

    it(`answers ${REQUESTS} random requests each with its own answer, with no key outside the prefix (seed ${seed})`, async function () {
      this.timeout(120_000)
      const redis = await startRedis()
      const bounds = { maxBytes: 512 * 1024, maxEntryBytes: 16 * 1024, maxEntries: 200 }
      const cache = createRegistryCache({
        redis: redis.client(),
        prefix: 'own{*}[a]:',
        memory: bounds,
        redisTimeout: 5,
        silence: ['ERR_SCOPE_MISSING'],
      })
      await cache.start()
      const app = framework()
      app.set('env', 'test')
      app.use(cache.middleware({ type: 'tools', requestCacheControl: 'honour', vary: ['X-Flavour'], staleIfError: 5 }))
      app.use((req, res, next) => {
        if (req.path.includes('%') && req.headers.pragma) return next(new Error('oops'))
        res.vary('Accept-Language').json(identityOf(req))
      })
      const { port, close } = await listen(app)
      const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE })
      try {
        const samples = fc.sample(hostile, { numRuns: REQUESTS, seed })
        // Some of them twice: hits are what could be wrong.
        const queue = samples.flatMap((one, i) => (i % 3 === 0 ? [one, one] : [one])).slice(0, REQUESTS)
        let next = 0
        let compared = 0
        const work = async (): Promise<void> => {
          for (let one = queue[next++]; one !== undefined; one = queue[next++]) {
            const sent = await ask(port, agent, one)
            const about = `seed ${seed}, ${JSON.stringify(one)} gave ${sent.status} ${sent.text.slice(0, 200)}`
            expect(sent.status, about).to.be.oneOf([200, 304, 400, 404, 431, 500, 501, 504])
            // The handler's own answer is right by itself; what came from the cache must be what it would have been.
            if (one.method !== 'GET' || sent.status !== 200 || sent.isOwn) continue
            compared++
            const { path: pathSeen, query: querySeen, flavour, language } = JSON.parse(sent.text)
            const expected = JSON.parse(await plain(one, framework))
            expect({ pathSeen, querySeen, flavour, language }, about).to.deep.equal({
              pathSeen: expected.path,
              querySeen: expected.query,
              flavour: expected.flavour,
              language: expected.language,
            })
          }
        }
        await Promise.all(Array.from({ length: AT_ONCE }, work))
        const { bytes, entries, hits, misses, bypasses } = cache.stats()
        expect(bytes).to.be.at.most(bounds.maxBytes)
        expect(entries).to.be.at.most(bounds.maxEntries)
        expect(hits, 'some of them hit').to.be.greaterThan(100)
        expect(misses).to.be.greaterThan(100)
        expect(compared).to.be.greaterThan(100)
        expect(bypasses).to.deep.equal({})
        const keys = (await redis.command('KEYS', '*')) as string[]
        expect(keys.length).to.be.greaterThan(100)
        for (const key of keys) expect(key.startsWith('own{*}[a]:'), key).to.equal(true)
        for (const key of keys)
          expect(key).to.match(
            /^own\{\*\}\[a\]:(registry:tools:[0-9a-f]{32}(:@lock:[0-9a-f]+)?|registry:(tools)?:@epoch|@workers?.*)$/,
          )
      } finally {
        agent.destroy()
        await close()
        await cache.stop()
        await redis.stop()
        await endPlain()
      }
    })

    it('keeps within its bytes under a flood of random parameters, and the entries of other types survive', async function () {
      this.timeout(120_000)
      const floods = 50_000
      let runs = 0
      const maxBytes = 1024 * 1024
      const { get, cache, listening } = await start(
        framework,
        ({ app, cached }) => {
          app.get('/prompts', cached({ type: 'prompts' }), (_req, res) => void res.json({ run: ++runs }))
          app.get('/x', cached({ scope: 'public' }), (req, res) => void res.json(req.query))
        },
        { memory: { maxBytes, maxEntryBytes: 64 * 1024, maxEntries: 5_000 } },
      )
      await get('/prompts')
      let largest = 0
      for (let sent = 0; sent < floods; sent += 200) {
        const paths = Array.from({ length: 200 }, (_, i) => `/x?x=${sent + i}${i % 50 === 0 ? 'y'.repeat(4_000) : ''}`)
        expect(await pipeline(listening.port, paths)).to.equal(200)
        largest = Math.max(largest, cache.stats().bytes)
      }
      expect(largest).to.be.at.most(maxBytes)
      expect(cache.stats().evictions).to.be.greaterThan(floods / 2)
      expect((await get('/prompts')).headers['x-cache']).to.equal('HIT')
      expect(runs).to.equal(1)
    })

    it('survives what is no HTTP, and requests that end half-way', async () => {
      const { get, listening, cache } = await start(framework, ({ app, cached }) => {
        app.get('/x', cached(), (_req, res) => void res.json([1]))
      })
      for (const text of [
        'GET',
        'GET /x HTTP/1.1\r\n',
        'GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n',
        'GET  HTTP/1.1\r\n\r\n',
        '\0\0\0\r\n\r\n',
        'GET /x HTTP/9.9\r\n\r\n',
        'GET * HTTP/1.1\r\nHost: a\r\n\r\n',
        'GET x HTTP/1.1\r\nHost: a\r\n\r\n',
        'GET ?x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
        'GET http:// HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
      ]) {
        await new Promise<void>((resolve) => {
          const socket = connect(listening.port, '127.0.0.1', () => socket.end(text))
          socket.on('error', () => {})
          socket.resume()
          socket.once('close', () => resolve())
        })
      }
      expect((await get('/x')).text).to.equal('[1]')
      expect(cache.stats().errors).to.equal(0)
    })

    it('bypasses when the query can not be read', async () => {
      let runs = 0
      const { get, cache } = await start(framework, ({ app, cached }) => {
        app.use((req, _res, next) => {
          Object.defineProperty(req, 'query', {
            get: () => {
              throw new Error('unreadable')
            },
          })
          next()
        })
        app.get('/x', cached(), (_req, res) => void res.json({ run: ++runs }))
      })
      const answer = await get('/x?a=1')
      expect(answer.json()).to.deep.equal({ run: 1 })
      expect(answer.headers['cache-status']).to.equal('registry-cache; fwd=bypass; detail=query-error')
      expect(cache.stats().entries).to.equal(0)
    })
  })
})

/** GETs on one connection, all written at once. Resolves to the number of answers with status 200. */
async function pipeline(port: number, paths: readonly string[]): Promise<number> {
  const text = paths.map((path, i) => {
    const last = i === paths.length - 1 ? 'Connection: close\r\n' : ''
    return `GET ${path} HTTP/1.1\r\nHost: a\r\n${last}\r\n`
  })
  return await new Promise<number>((resolve, reject) => {
    const chunks: Buffer[] = []
    const socket = connect(port, '127.0.0.1', () => socket.write(text.join('')))
    socket.on('error', reject)
    socket.on('data', (chunk) => chunks.push(chunk))
    socket.once('close', () =>
      resolve(Buffer.concat(chunks).toString('latin1').split('HTTP/1.1 200 OK\r\n').length - 1),
    )
  })
}

/** What a request asks for, as its handler sees it. */
function identityOf(req: Request): { path: string; query: unknown; flavour: unknown; language: unknown } {
  return {
    path: req.path,
    query: req.query,
    flavour: req.headers['x-flavour'] ?? null,
    language: req.headers['accept-language'] ?? null,
  }
}

/** The same question to an application without a cache. */
let plainServer: { framework: Framework; port: number; agent: Agent; close(): Promise<void> } | undefined
async function plain(one: { target: string; headers: object; method: string }, framework: Framework): Promise<string> {
  if (plainServer === undefined) {
    const app = framework()
    app.use((req, res) => void res.json(identityOf(req)))
    const { port, close } = await listen(app)
    plainServer = { framework, port, agent: new Agent({ keepAlive: true, maxSockets: AT_ONCE }), close }
  }
  const { 'If-None-Match': _inm, 'If-Modified-Since': _ims, ...headers } = one.headers as Record<string, string>
  return (await ask(plainServer.port, plainServer.agent, { ...one, headers })).text
}
async function endPlain(): Promise<void> {
  const server = plainServer
  plainServer = undefined
  server?.agent.destroy()
  await server?.close()
}

async function ask(
  port: number,
  agent: Agent,
  one: { target: string; headers: object; method: string },
): Promise<Sent> {
  return await new Promise<Sent>((resolve, reject) => {
    const outgoing = openRequest(
      {
        host: '127.0.0.1',
        port,
        agent,
        method: one.method,
        path: one.target,
        headers: one.headers as Record<string, string>,
      },
      (incoming: IncomingMessage) => {
        let text = ''
        incoming.setEncoding('utf8')
        incoming.on('data', (chunk: string) => {
          text += chunk
        })
        incoming.on('error', reject)
        incoming.on('end', () => {
          const how = String(incoming.headers['cache-status'])
          resolve({ status: incoming.statusCode ?? 0, text, isOwn: how.includes('fwd=') && !how.includes('collapsed') })
        })
      },
    )
    outgoing.on('error', reject)
    outgoing.end()
  })
}
