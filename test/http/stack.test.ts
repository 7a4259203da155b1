/*
 * The cache among the middlewares of a real application: on a hit each of them still does its own work for this request.
 */
import { gunzipSync } from 'node:zlib'
import { expect } from 'chai'
import compression from 'compression'
import cors from 'cors'
import { rateLimit } from 'express-rate-limit'
import session from 'express-session'
import helmet from 'helmet'
import morgan from 'morgan'
import responseTime from 'response-time'
import { type Answer, forEachExpress } from '../helpers/http.ts'
import { applications, type Started } from './fixture.ts'

const LIST = Array.from({ length: 200 }, (_, i) => ({ id: i, name: `tool ${i}` }))
const origins = ['https://a.example', 'https://b.example']

declare module 'express-session' {
  interface SessionData {
    visits: number
  }
}

forEachExpress((_name, framework) => {
  describe('the middlewares of a real application', () => {
    const start = applications()

    interface Stack extends Started {
      readonly log: string[]
      readonly runs: () => number
      readonly visits: number[]
    }

    async function stack(): Promise<Stack> {
      const log: string[] = []
      const visits: number[] = []
      let runs = 0
      let nonce = 0
      const started = await start(framework, ({ app, cached }) => {
        app.use(
          morgan(':method :url :status :res[content-length] :res[x-cache]', {
            stream: { write: (line) => void log.push(line.trim()) },
          }),
        )
        app.use(responseTime())
        app.use((_req, res, next) => {
          res.locals.nonce = `n${++nonce}`
          next()
        })
        app.use(
          helmet({
            contentSecurityPolicy: {
              directives: {
                scriptSrc: [(_req, res) => `'nonce-${(res as unknown as { locals: { nonce: string } }).locals.nonce}'`],
              },
            },
          }),
        )
        app.use(cors({ origin: origins, credentials: true, exposedHeaders: ['Age'] }))
        app.use(compression({ threshold: 0 }))
        app.use(
          rateLimit({ windowMs: 60_000, limit: 5, standardHeaders: 'draft-7', legacyHeaders: true, validate: false }),
        )
        app.use(session({ secret: 's', resave: false, saveUninitialized: false }))
        app.get('/login', (req, res) => {
          req.session.visits = 0
          res.json({})
        })
        app.use((req, _res, next) => {
          if (req.session.visits !== undefined) visits.push(++req.session.visits)
          next()
        })
        app.get('/tools', cached({ scope: 'public' }), (_req, res) => {
          runs++
          res.json(LIST)
        })
      })
      return { ...started, log, visits, runs: () => runs }
    }

    const plain = (answer: Answer): string =>
      answer.headers['content-encoding'] === 'gzip' ? gunzipSync(answer.body).toString() : answer.text

    it('gives each caller its own CORS headers, nonce, limit and time, and everyone the same list', async () => {
      const { get, runs } = await stack()
      const miss = await get('/tools', { Origin: origins[0] })
      const hit = await get('/tools', { Origin: origins[1] })
      const foreign = await get('/tools', { Origin: 'https://evil.example' })
      expect(runs()).to.equal(1)
      expect([miss, hit, foreign].map(({ headers }) => headers['x-cache'])).to.deep.equal(['MISS', 'HIT', 'HIT'])
      for (const answer of [miss, hit, foreign]) expect(plain(answer)).to.equal(JSON.stringify(LIST))
      expect(miss.headers['access-control-allow-origin']).to.equal(origins[0])
      expect(hit.headers['access-control-allow-origin']).to.equal(origins[1])
      expect(foreign.headers).to.not.have.property('access-control-allow-origin')
      for (const answer of [miss, hit, foreign]) expect(answer.headers.vary).to.match(/Origin/)
      const nonces = [miss, hit, foreign].map(
        ({ headers }) => /nonce-(n\d)/.exec(String(headers['content-security-policy']))?.[1],
      )
      expect(nonces).to.deep.equal(['n1', 'n2', 'n3'])
      expect([miss, hit, foreign].map(({ headers }) => headers['x-ratelimit-remaining'])).to.deep.equal(['4', '3', '2'])
      for (const answer of [miss, hit, foreign]) {
        expect(answer.headers['x-response-time']).to.match(/ms$/)
        expect(answer.headers['strict-transport-security']).to.be.a('string')
      }
    })

    it('limits the rate of hits as well', async () => {
      const { get, runs } = await stack()
      const statuses: number[] = []
      for (let i = 0; i < 7; i++) statuses.push((await get('/tools')).status)
      expect(statuses).to.deep.equal([200, 200, 200, 200, 200, 429, 429])
      expect(runs()).to.equal(1)
    })

    it('logs each request with what was sent', async () => {
      const { get, log } = await stack()
      await get('/tools')
      const hit = await get('/tools')
      await get('/tools', { 'If-None-Match': hit.headers.etag })
      const length = JSON.stringify(LIST).length
      expect(log.length).to.be.at.least(2)
      expect(log.slice(0, 2)).to.deep.equal([`GET /tools 200 ${length} MISS`, `GET /tools 200 ${length} HIT`])
    })

    it('compresses each hit for its client', async () => {
      const { get, runs } = await stack()
      const answers = [
        await get('/tools', { 'Accept-Encoding': 'gzip' }),
        await get('/tools', { 'Accept-Encoding': 'gzip' }),
        await get('/tools', { 'Accept-Encoding': 'br' }),
        await get('/tools'),
      ]
      const codings = answers.map(({ headers }) => headers['content-encoding'])
      expect(codings.slice(0, 2)).to.deep.equal(['gzip', 'gzip'])
      expect(codings[3]).to.equal(undefined)
      expect(answers[1]?.body.equals(answers[0]?.body ?? Buffer.alloc(0))).to.equal(true)
      expect(plain(answers[0] as Answer)).to.equal(JSON.stringify(LIST))
      expect(answers[3]?.text).to.equal(JSON.stringify(LIST))
      for (const { headers } of answers) expect(headers.vary).to.match(/Accept-Encoding/)
      expect(answers[1]?.headers).to.not.have.property('content-length')
      expect(runs()).to.equal(1)
    })

    it('keeps counting in the session, whose cookie goes to its own browser alone', async () => {
      const { get, visits, runs } = await stack()
      const login = await get('/login')
      const cookie = login.headers['set-cookie']?.[0]?.split(';')[0] ?? ''
      expect(cookie).to.match(/^connect\.sid=/)
      await get('/tools', { Cookie: cookie })
      const hit = await get('/tools', { Cookie: cookie })
      const stranger = await get('/tools')
      expect(hit.headers['x-cache']).to.equal('HIT')
      expect(visits).to.deep.equal([1, 2])
      expect(stranger.headers).to.not.have.property('set-cookie')
      expect(runs()).to.equal(1)
    })

    it('refuses what compression mounted behind the cache makes, and says so once', async () => {
      let runs = 0
      const { get, warnings, cache } = await start(framework, ({ app, cached }) => {
        app.get('/x', cached(), compression({ threshold: 0 }), (_req, res) => {
          runs++
          res.json(LIST)
        })
      })
      for (let i = 0; i < 2; i++) {
        const answer = await get('/x', { 'Accept-Encoding': 'gzip' })
        expect(plain(answer)).to.equal(JSON.stringify(LIST))
      }
      expect(runs).to.equal(2)
      expect(warnings).to.deep.equal(['ERR_COMPRESSION_BEHIND'])
      expect(cache.stats().notStored).to.deep.equal({ 'content-encoding': 2 })
    })
  })
})
