/*
 * Two users and one cache: no byte and no header of one reaches the other, unless a scope or the response itself says that
 * they may share.
 */
import { randomUUID } from 'node:crypto'
import { expect } from 'chai'
import type { RequestHandler } from 'express'
import session from 'express-session'
import type { CacheMiddlewareOptions } from '../../lib/index.ts'
import { type Answer, forEachExpress, type RequestOptions } from '../helpers/http.ts'
import { applications, type Framework, type Started } from './fixture.ts'

declare module 'express-session' {
  interface SessionData {
    name: string
    visits: number
  }
}

interface Identified {
  user?: { name: string }
  auth?: { sub: string }
}

type Headers = NonNullable<RequestOptions['headers']>

/** How a caller is known, and what it takes from a request to its name. */
interface Scheme {
  readonly headers: (name: string) => Headers
  readonly before?: RequestHandler
  readonly after?: RequestHandler
  /** What a scope function of this scheme reads. */
  readonly scope: NonNullable<CacheMiddlewareOptions['scope']>
  readonly detail: string
}

const nameOf = (value: unknown): string => String(value).replace(/^.*?(alice|bob).*$/, '$1')

const passport: RequestHandler = (req, _res, next) => {
  ;(req as Identified).user = { name: nameOf(req.headers['x-test-user']) }
  next()
}

const schemes: Record<string, Scheme> = {
  Authorization: {
    headers: (name) => ({ Authorization: `Bearer ${name}` }),
    scope: (req) => req.headers.authorization,
    detail: 'authorization',
  },
  'Proxy-Authorization': {
    headers: (name) => ({ 'Proxy-Authorization': `Basic ${name}` }),
    scope: (req) => req.headers['proxy-authorization'],
    detail: 'proxy-authorization',
  },
  Cookie: {
    headers: (name) => ({ Cookie: `who=${name}` }),
    scope: (req) => req.headers.cookie,
    detail: 'cookie',
  },
  'X-API-Key': {
    headers: (name) => ({ 'X-API-Key': name }),
    scope: (req) => String(req.headers['x-api-key']),
    detail: 'x-api-key',
  },
  'req.user set before the cache': {
    headers: (name) => ({ 'X-Test-User': name }),
    before: passport,
    scope: (req: unknown) => (req as Identified).user?.name,
    detail: 'user',
  },
  'req.auth set before the cache': {
    headers: (name) => ({ 'X-Test-User': name }),
    before: (req, _res, next) => {
      ;(req as Identified).auth = { sub: nameOf(req.headers['x-test-user']) }
      next()
    },
    scope: (req: unknown) => (req as Identified).auth?.sub,
    detail: 'auth',
  },
}

const secretsOf = (name: string): RegExp => new RegExp(`${name}|sid-of-${name}`, 'i')

function expectNothingOf(other: string, answer: Answer): void {
  expect(answer.text).to.not.match(secretsOf(other))
  expect(answer.rawHeaders.join('\n')).to.not.match(secretsOf(other))
}

forEachExpress((_name, framework) => {
  describe('authentication', () => {
    const start = applications()

    /** An application whose answers name their caller in the body and in headers. */
    async function application(
      scheme: Scheme,
      options: Partial<CacheMiddlewareOptions>,
      runs: string[],
      cacheControl?: string,
    ): Promise<Started> {
      return await start(framework, ({ app, cached }) => {
        if (scheme.before) app.use(scheme.before)
        app.use('/x', cached(options))
        if (scheme.after) app.use(scheme.after)
        app.get('/x', (req, res) => {
          const { headers } = req
          const identified = req as Identified
          const name = nameOf(
            identified.user?.name ??
              identified.auth?.sub ??
              headers.authorization ??
              headers['proxy-authorization'] ??
              headers.cookie ??
              headers['x-api-key'],
          )
          runs.push(name)
          res.set({ 'X-Name': name, ETag: `"${name}"` })
          if (cacheControl) res.set('Cache-Control', cacheControl)
          res.json({ secret: `of ${name}` })
        })
      })
    }

    for (const [what, scheme] of Object.entries(schemes)) {
      it(`leaves out callers known by ${what} where no scope is given, and says so once`, async () => {
        const runs: string[] = []
        const { get, cache, warnings } = await application(scheme, {}, runs)
        for (const name of ['alice', 'bob', 'alice', 'bob']) {
          const answer = await get('/x', scheme.headers(name))
          expect(answer.json()).to.deep.equal({ secret: `of ${name}` })
          expect(answer.headers).to.include({
            'x-cache': 'BYPASS',
            'cache-status': `registry-cache; fwd=bypass; detail=${scheme.detail}`,
          })
          expectNothingOf(name === 'alice' ? 'bob' : 'alice', answer)
        }
        expect(runs).to.deep.equal(['alice', 'bob', 'alice', 'bob'])
        expect(warnings).to.deep.equal(['ERR_SCOPE_MISSING'])
        expect(cache.stats()).to.deep.include({ stores: 0, entries: 0, hits: 0, bypasses: { [scheme.detail]: 4 } })
      })

      it(`keeps callers known by ${what} apart by a scope function, and answers each from an entry of its own`, async () => {
        const runs: string[] = []
        const { get, warnings } = await application(scheme, { scope: scheme.scope }, runs)
        for (const [name, xCache] of [
          ['alice', 'MISS'],
          ['bob', 'MISS'],
          ['alice', 'HIT'],
          ['bob', 'HIT'],
        ] as const) {
          const answer = await get('/x', scheme.headers(name))
          expect(answer.json()).to.deep.equal({ secret: `of ${name}` })
          expect(answer.headers).to.include({ 'x-cache': xCache, 'x-name': name, etag: `"${name}"` })
          expectNothingOf(name === 'alice' ? 'bob' : 'alice', answer)
          const conditional = await get('/x', { ...scheme.headers(name), 'If-None-Match': '*' })
          expectNothingOf(name === 'alice' ? 'bob' : 'alice', conditional)
        }
        expect(runs).to.deep.equal(['alice', 'bob'])
        expect(warnings).to.deep.equal([])
      })

      it(`shares among callers known by ${what} what scope 'public' says everyone may have`, async () => {
        const runs: string[] = []
        const { get } = await application(scheme, { scope: 'public' }, runs)
        await get('/x', scheme.headers('alice'))
        expect((await get('/x', scheme.headers('bob'))).headers['x-cache']).to.equal('HIT')
        expect(runs).to.deep.equal(['alice'])
      })

      it(`never answers a caller known by ${what} from what an anonymous one was told, nor the other way round`, async () => {
        const runs: string[] = []
        const { get } = await application(scheme, {}, runs)
        if (scheme.before === undefined) {
          await get('/x')
          expect((await get('/x')).headers['x-cache']).to.equal('HIT')
        }
        const alice = await get('/x', scheme.headers('alice'))
        expect(alice.json()).to.deep.equal({ secret: 'of alice' })
        expectNothingOf('alice', await get('/x'))
      })

      for (const cacheControl of ['public', 's-maxage=60', 'must-revalidate, max-age=60', 'PUBLIC']) {
        it(`shares among callers known by ${what} a response that says ${cacheControl} itself (RFC 9111 section 3.5)`, async () => {
          const runs: string[] = []
          const { get, cache } = await application(scheme, {}, runs, cacheControl)
          await get('/x', scheme.headers('alice'))
          expect((await get('/x', scheme.headers('bob'))).headers['x-cache']).to.equal('HIT')
          expect(runs).to.deep.equal(['alice'])
          expect(cache.stats().stores).to.equal(1)
        })
      }

      for (const cacheControl of [
        'no-cache, no-store, must-revalidate',
        'private, must-revalidate',
        'public, private',
        'max-age=60',
        'x-public',
      ]) {
        it(`does not take ${cacheControl} for a permission, even where the route's Cache-Control is ignored (${what})`, async () => {
          const runs: string[] = []
          const { get } = await application(scheme, { responseCacheControl: 'ignore' }, runs, cacheControl)
          for (const name of ['alice', 'bob']) {
            expect((await get('/x', scheme.headers(name))).json()).to.deep.equal({ secret: `of ${name}` })
          }
          expect(runs).to.deep.equal(['alice', 'bob'])
        })
      }
    }

    it('marks only entries whose response allows it: one user without a mark does not answer for others', async () => {
      let runs = 0
      const { get } = await start(framework, ({ app, cached }) => {
        app.get('/x', cached(), (_req, res) => {
          runs++
          if (runs > 1) res.set('Cache-Control', 'public')
          res.json({ runs })
        })
      })
      await get('/x')
      expect((await get('/x')).json()).to.deep.equal({ runs: 1 })
      // The entry is unmarked: the credential's own answer takes its place, and is marked.
      expect((await get('/x', { Authorization: 'a' })).json()).to.deep.equal({ runs: 2 })
      expect((await get('/x', { Authorization: 'b' })).json()).to.deep.equal({ runs: 2 })
      expect((await get('/x')).json()).to.deep.equal({ runs: 2 })
    })

    it('notices a req.user that appears only after the cache, does not store its answers, and warns once', async () => {
      const runs: string[] = []
      const late: Scheme = {
        headers: (name) => ({ 'X-Test-User': name }),
        after: passport,
        scope: 'public',
        detail: '',
      }
      const { get, warnings, cache } = await application(late, {}, runs)
      for (const name of ['alice', 'bob', 'alice']) {
        const answer = await get('/x', late.headers(name))
        expect(answer.json()).to.deep.equal({ secret: `of ${name}` })
        expect(answer.headers['cache-status']).to.equal('registry-cache; fwd=uri-miss; detail=user-after-cache')
        expectNothingOf(name === 'alice' ? 'bob' : 'alice', answer)
      }
      expect(runs).to.deep.equal(['alice', 'bob', 'alice'])
      expect(warnings).to.deep.equal(['ERR_CACHE_BEFORE_AUTH'])
      expect(cache.stats()).to.deep.include({ stores: 0, notStored: { 'user-after-cache': 3 } })
    })

    it('does not share a flight among users that are told apart only after the cache', async () => {
      const runs: string[] = []
      const late: Scheme = {
        headers: (name) => ({ 'X-Test-User': name }),
        after: passport,
        scope: 'public',
        detail: '',
      }
      const { get } = await application(late, {}, runs)
      const names = ['alice', 'bob', 'alice', 'bob', 'bob']
      const answers = await Promise.all(names.map((name) => get('/x', late.headers(name))))
      for (const [i, answer] of answers.entries()) expect(answer.json()).to.deep.equal({ secret: `of ${names[i]}` })
      expect(runs).to.have.length(5)
    })

    it('never takes the literal public for the string public of a function, nor for no scope', async () => {
      let runs = 0
      const { get } = await start(framework, ({ app, cached }) => {
        const by = [cached({ scope: 'public' }), cached({ scope: () => 'public' }), cached()]
        app.get('/x', (req, res, next) => by[Number(req.headers['x-which'])]?.(req, res, next))
        app.get('/x', (req, res) => void res.json({ which: req.headers['x-which'], run: ++runs }))
      })
      for (const round of [1, 2]) {
        for (const which of ['0', '1', '2']) {
          const answer = await get('/x', { 'X-Which': which })
          expect(answer.json()).to.include({ which })
          expect(answer.headers['x-cache']).to.equal(round === 1 ? 'MISS' : 'HIT')
        }
      }
      expect(runs).to.equal(3)
    })

    const unusable: [string, () => unknown, string, string[]][] = [
      ['gives undefined', () => undefined, 'scope', []],
      ['gives an empty string', () => '', 'scope-value', ['ERR_SCOPE_VALUE']],
      ['gives a promise', () => Promise.resolve('tenant'), 'scope-value', ['ERR_SCOPE_VALUE']],
      ['gives a number', () => 7, 'scope-value', ['ERR_SCOPE_VALUE']],
      ['gives null', () => null, 'scope-value', ['ERR_SCOPE_VALUE']],
    ]
    for (const [what, scope, reason, codes] of unusable) {
      it(`bypasses when scope ${what}`, async () => {
        let runs = 0
        const { get, warnings, cache } = await start(framework, ({ app, cached }) => {
          app.get('/x', cached({ scope: scope as () => string }), (_req, res) => void res.json({ run: ++runs }))
        })
        for (const run of [1, 2]) {
          const answer = await get('/x')
          expect(answer.json()).to.deep.equal({ run })
          expect(answer.headers['cache-status']).to.equal(`registry-cache; fwd=bypass; detail=${reason}`)
        }
        expect(warnings).to.deep.equal(codes)
        expect(cache.stats().bypasses).to.deep.equal({ [reason]: 2 })
      })
    }

    it('bypasses when scope throws, and tells of it as an event, not as a failed request', async () => {
      let runs = 0
      const { get, cache } = await start(framework, ({ app, cached }) => {
        const scope = (): string => {
          throw new Error('no tenant')
        }
        app.get('/x', cached({ scope }), (_req, res) => void res.json({ run: ++runs }))
      })
      const codes: string[] = []
      cache.on('error', (error) => void codes.push(`${error.code} ${error.message}`))
      expect((await get('/x')).status).to.equal(200)
      const answer = await get('/x')
      expect(answer.json()).to.deep.equal({ run: 2 })
      expect(answer.headers['cache-status']).to.equal('registry-cache; fwd=bypass; detail=scope-error')
      expect(codes).to.have.length(2)
      expect(codes[0]).to.match(/^ERR_CALLBACK_THREW .*no tenant/)
    })

    for (const place of ['before', 'after'] as const) {
      for (const scope of ['none', 'public', 'function'] as const) {
        it(`keeps sessions apart: express-session ${place} the cache, scope ${scope}`, async () => {
          await sessions(start, framework, place, scope)
        })
      }
    }
  })
})

/** Two browsers that log in, read and read again, with a session whose Set-Cookie is written with the head. */
async function sessions(
  start: ReturnType<typeof applications>,
  framework: Framework,
  place: 'before' | 'after',
  scope: 'none' | 'public' | 'function',
): Promise<void> {
  const options: Partial<CacheMiddlewareOptions> =
    scope === 'none'
      ? {}
      : scope === 'public'
        ? { scope: 'public' }
        : { scope: (req) => (req as unknown as { session?: { name?: string } }).session?.name }
  let runs = 0
  const { get, cache } = await start(framework, ({ app, cached }) => {
    // The store of express-session and `rolling` renew the cookie of every answer: the worst case for a cache.
    const sessions = session({
      secret: 's',
      resave: false,
      saveUninitialized: true,
      rolling: true,
      genid: () => randomUUID(),
    })
    if (place === 'before') app.use(sessions)
    app.use('/x', cached(options))
    if (place === 'after') app.use(sessions)
    app.use((req, _res, next) => {
      req.session.name ??= nameOf(req.headers['x-login'])
      next()
    })
    app.get('/login', (req, res) => void res.json({ welcome: req.session.name }))
    app.get('/x', (req, res) => {
      runs++
      req.session.visits = (req.session.visits ?? 0) + 1
      // Scope 'public' is for answers that say nothing of their caller.
      res.json(scope === 'public' ? { list: [] } : { secret: `of ${req.session.name}` })
    })
  })
  const cookies = new Map<string, string>()
  const sids = new Map<string, Set<string>>([
    ['alice', new Set()],
    ['bob', new Set()],
  ])
  const browse = async (name: string, path: string): Promise<Answer> => {
    const cookie = cookies.get(name)
    const answer = await get(path, { 'X-Login': name, ...(cookie && { Cookie: cookie }) })
    for (const line of answer.headers['set-cookie'] ?? []) {
      cookies.set(name, line.split(';')[0] ?? '')
      sids.get(name)?.add(line.split(';')[0] ?? '')
    }
    expectNothingOf(name === 'alice' ? 'bob' : 'alice', answer)
    return answer
  }
  for (const name of ['alice', 'bob']) {
    // Before there is a session, the first answer brings its cookie: it must stay with its browser.
    const first = await browse(name, '/x')
    if (scope !== 'public') expect(first.json()).to.deep.equal({ secret: `of ${name}` })
    await browse(name, '/login')
  }
  for (let round = 0; round < 2; round++) {
    const answers = await Promise.all(['alice', 'bob', 'alice', 'bob'].map((name) => browse(name, '/x')))
    for (const [i, answer] of answers.entries()) {
      if (scope !== 'public') expect(answer.json()).to.deep.equal({ secret: `of ${i % 2 === 0 ? 'alice' : 'bob'}` })
    }
  }
  for (const sid of sids.get('alice') ?? []) expect(sids.get('bob')?.has(sid)).to.equal(false)
  // Each run renewed a cookie, so nothing was ever stored.
  expect(runs).to.equal(10)
  expect(cache.stats()).to.deep.include({ stores: 0, entries: 0 })
}
