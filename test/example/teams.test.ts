import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { expect } from 'chai'
import type { Answer } from '../helpers/http.ts'
import { until } from '../helpers/until.ts'
import { asAdmin, type Gateway, startGateway } from './gateway.ts'

interface Page {
  items: { id: string; name: string; team: string | null }[]
  next_cursor: string | null
}
type Headers = Record<string, string | string[]>

/** What each kind of caller sees of the entities that `fill` makes. */
const sights = {
  nobody: ['red-open', 'blue-open', 'shared'],
  red: ['red-open', 'red-hidden', 'red-private', 'blue-open', 'shared'],
  blue: ['red-open', 'blue-open', 'blue-hidden', 'shared'],
  admin: ['red-open', 'red-hidden', 'red-private', 'blue-open', 'blue-hidden', 'shared'],
}
type Sight = keyof typeof sights
const secrets = ['red-hidden', 'red-private', 'blue-hidden']

for (const { engine, instances } of [
  { engine: 'PGlite', instances: 1 },
  { engine: 'PostgreSQL', instances: 2 },
] as const) {
  const where = instances === 1 ? 'in memory' : `of ${instances} instances on one Redis`
  describe(`teams of the example on ${engine}, with a cache ${where}`, function () {
    this.timeout(60_000)

    let gateway: Gateway
    let red: Awaited<ReturnType<Gateway['key']>>
    let blue: Awaited<ReturnType<Gateway['key']>>
    let ids: Map<string, string>

    before(async function () {
      this.timeout(180_000)
      gateway = await startGateway(engine, { instances })
    })
    after(() => gateway?.stop())
    beforeEach(async () => {
      await gateway.empty()
      red = await gateway.key('red')
      blue = await gateway.key('blue')
      ids = new Map()
      await create({}, 'shared', 'public')
      await create(red.headers, 'red-open', 'public')
      await create(red.headers, 'red-hidden', 'team')
      await create(red.headers, 'red-private', 'private')
      await create(blue.headers, 'blue-open', 'public')
      await create(blue.headers, 'blue-hidden', 'team')
      // On each instance, so that none of them still has to hear of what was made above.
      for (const cache of gateway.caches) await cache.invalidateAll()
    })

    const send = (method: string, path: string, headers: Headers, body?: unknown) =>
      gateway.request({ method, path, headers, body })
    const create = async (headers: Headers, name: string, visibility: string) => {
      const answer = await send('POST', '/v1/tools', headers, { name, visibility })
      expect(answer.status, answer.text).to.equal(201)
      ids.set(name, answer.json<{ id: string }>().id)
    }
    const idOf = (name: string) => ids.get(name) ?? 'none'
    const namesIn = (answer: Answer) => answer.json<Page>().items.map(({ name }) => name)
    const get = (path: string, headers: Headers = {}, instance = 0) => gateway.request({ path, headers }, instance)

    /** Nothing of a team in an answer for somebody else: neither in the body nor in a header. */
    function expectNoSecret(answer: Answer, sight: Sight, what: string): void {
      const text = `${answer.rawHeaders.join(' ')} ${answer.text}`
      for (const name of secrets) {
        if (sights[sight].includes(name)) continue
        expect(text, `${what}: ${name}`).to.not.contain(name).and.not.contain(idOf(name))
      }
    }

    /** How callers may say who they are, and what they may see then; undefined: they are to be refused. */
    const spellings = (): [what: string, headers: Headers, sight: Sight | undefined][] => [
      ['no credentials', {}, 'nobody'],
      ['the key of red', red.headers, 'red'],
      ['the key of blue', blue.headers, 'blue'],
      ['the admin token', asAdmin, 'admin'],
      ['a scheme in lower case', { authorization: `bearer ${red.key}` }, 'red'],
      ['a scheme in upper case and more blanks', { authorization: `BEARER   ${blue.key}` }, 'blue'],
      ['blanks around', { authorization: `  Bearer ${red.key}  ` }, 'red'],
      ['a key as a cookie', { cookie: `authorization=Bearer ${red.key}; key=${red.key}` }, 'nobody'],
      ['a key as X-API-Key', { 'x-api-key': red.key }, 'nobody'],
      ['a key for a proxy', { 'proxy-authorization': `Bearer ${red.key}` }, 'nobody'],
      ['headers that name a team', { 'x-team': 'red', 'x-scope': 'team:red', scope: 'team:red' }, 'nobody'],
      ['the key of blue, and names of red', { ...blue.headers, 'x-team': 'red', 'x-api-key': red.key }, 'blue'],
      ['no key', { authorization: 'Bearer' }, undefined],
      ['an empty header', { authorization: '' }, undefined],
      ['a key that does not exist', { authorization: `Bearer gw_${'A'.repeat(43)}` }, undefined],
      ['a key in upper case', { authorization: `Bearer ${red.key.toUpperCase()}` }, undefined],
      ['half a key', { authorization: `Bearer ${red.key.slice(0, -1)}` }, undefined],
      ['two keys in one header', { authorization: `Bearer ${red.key}, Bearer ${blue.key}` }, undefined],
      ['a key without a scheme', { authorization: red.key }, undefined],
      ['another scheme', { authorization: `Token ${red.key}` }, undefined],
      ['a key as a password', { authorization: `Basic ${Buffer.from(`x:${red.key}`).toString('base64')}` }, undefined],
      ['the hash of a key', { authorization: 'Bearer undefined' }, undefined],
    ]

    const paths = [
      '/v1/tools',
      '/v1/tools/',
      '/V1/Tools',
      '/v1/tools?limit=500',
      '/v1/tools?include_inactive=true&limit=500',
      '/v1/tools?',
      'http://elsewhere.example/v1/tools?limit=100',
    ]

    async function expectIsolation(): Promise<void> {
      const asked = spellings().flatMap((spelling) => paths.map((path) => ({ spelling, path })))
      // Twice in an order that interleaves the callers: the second time what is cached answers.
      for (const round of ['first', 'second']) {
        for (const instance of Array.from({ length: instances }, (_, i) => i)) {
          await Promise.all(
            asked.map(async ({ spelling: [what, headers, sight], path }) => {
              const answer = await get(path, headers, instance)
              const label = `${round} round, ${what}, ${path}`
              if (sight === undefined) {
                expect(answer.status, label).to.equal(401)
                expectNoSecret(answer, 'nobody', label)
              } else {
                expect(answer.status, label).to.equal(200)
                expect(namesIn(answer), label).to.have.members(sights[sight])
              }
            }),
          )
        }
      }
    }

    it('shows each caller what is public and its own, however the credentials and the path are spelt', expectIsolation)

    it('caches the lists per team: the second of a team is a hit, that of another team is not', async () => {
      const outcomes: unknown[] = []
      for (const headers of [red.headers, blue.headers, {}, asAdmin, red.headers, blue.headers, {}, asAdmin]) {
        outcomes.push((await get('/v1/tools', headers)).headers['x-cache'])
      }
      expect(outcomes).to.deep.equal(['MISS', 'MISS', 'MISS', 'MISS', 'HIT', 'HIT', 'HIT', 'HIT'])
      const colleague = await gateway.key('red')
      expect((await get('/v1/tools', colleague.headers)).headers['x-cache']).to.equal('HIT')
    })

    it('keeps teams apart after writes of each of them', async () => {
      await expectIsolation()
      const hide = await send('PATCH', `/v1/tools/${idOf('red-open')}`, red.headers, { visibility: 'team' })
      expect(hide.status).to.equal(200)
      // On the worker of the write at once; on others when the message is there.
      for (const headers of [{}, blue.headers]) {
        expect(namesIn(await get('/v1/tools', headers))).to.not.include('red-open')
        expect((await get(`/v1/tools/${idOf('red-open')}`, headers)).status).to.equal(404)
      }
      expect(namesIn(await get('/v1/tools', red.headers))).to.include('red-open')
      const show = await send('PATCH', `/v1/tools/${idOf('red-open')}`, red.headers, { visibility: 'public' })
      expect(show.status).to.equal(200)
      if (instances > 1) {
        await until(async () => namesIn(await get('/v1/tools', blue.headers, 1)).includes('red-open'), {
          deadlineMs: 10_000,
        })
        for (const headers of [{}, red.headers, asAdmin]) {
          await until(async () => namesIn(await get('/v1/tools', headers, 1)).includes('red-open'), {
            deadlineMs: 10_000,
          })
        }
      }
      await expectIsolation()
    })

    it('answers neither HEAD nor a conditional request from the entry of another team', async () => {
      const path = '/v1/tools?limit=100'
      const own = new Map<Headers, Answer>()
      for (const headers of [red.headers, blue.headers, {}, asAdmin]) own.set(headers, await get(path, headers))
      for (const [headers, answer] of own) {
        const head = await send('HEAD', path, headers)
        expect(head.headers.etag).to.equal(answer.headers.etag)
        expect(head.headers['content-length']).to.equal(answer.headers['content-length'])
        for (const [others, { headers: theirs }] of own) {
          for (const method of ['GET', 'HEAD']) {
            const conditional = await send(method, path, { ...headers, 'if-none-match': `"x", ${theirs.etag}` })
            expect(conditional.status, method).to.equal(others === headers ? 304 : 200)
          }
        }
      }
      // If-Modified-Since knows no callers: what has not changed for one is answered from its own entry, without a body.
      const since = { ...blue.headers, 'if-modified-since': new Date(Date.now() + 60_000).toUTCString() }
      expectNoSecret(await get(path, since), 'blue', 'If-Modified-Since')
    })

    it('gives no encoding of a list to another team', async () => {
      for (const encoding of ['gzip', 'br', 'identity', 'gzip;q=0, *']) {
        for (const [headers, sight] of [
          [red.headers, 'red'],
          [blue.headers, 'blue'],
          [{}, 'nobody'],
        ] as const) {
          const answer = await get('/v1/tools?limit=99', { ...headers, 'accept-encoding': encoding })
          const decode = { gzip: gunzipSync, br: brotliDecompressSync }[String(answer.headers['content-encoding'])]
          const { items } = JSON.parse(String(decode ? decode(answer.body) : answer.body)) as Page
          expect(
            items.map(({ name }) => name),
            encoding,
          ).to.have.members(sights[sight])
          expect(answer.headers.vary).to.match(/authorization/i)
        }
      }
    })

    it('keeps what is hidden out of every filter, page and id', async () => {
      const firstPage = (await get('/v1/tools?limit=1', red.headers)).json<Page>()
      const asked = [
        '/v1/tools?visibility=team',
        '/v1/tools?visibility=private',
        '/v1/tools?search=hidden',
        '/v1/tools?search=red',
        `/v1/tools?cursor=${firstPage.next_cursor}&limit=500`,
        `/v1/tools?cursor=${Buffer.from('999999999').toString('base64url')}`,
        '/v1/tools?team=red',
        '/v1/tools?scope=team:red',
        '/v1/tools?visibility=public&visibility=team',
        '/v1/tools?__proto__[team]=red',
        `/v1/tools?authorization=Bearer%20${red.key}`,
        '/v1/servers',
        '/v1/keys',
        '/openapi.json',
        '/metrics',
        '/readyz',
        '/_cache/api/entries',
        ...secrets.map((name) => `/v1/tools/${idOf(name)}`),
      ]
      for (const round of [1, 2]) {
        for (const path of asked) {
          // First whoever may see it, so that it is cached; then those who may not.
          await get(path, red.headers)
          await get(path, asAdmin)
          expectNoSecret(await get(path, blue.headers), 'blue', `${path}, round ${round}`)
          expectNoSecret(await get(path), 'nobody', `${path}, round ${round}`)
        }
      }
      expect((await get('/v1/tools?team=red', blue.headers)).status).to.equal(400)
    })

    it('shares no run of a handler between teams, when all of them ask at once', async () => {
      const callers = [
        { headers: red.headers, sight: 'red' },
        { headers: blue.headers, sight: 'blue' },
        { headers: {}, sight: 'nobody' },
        { headers: asAdmin, sight: 'admin' },
      ] as const
      for (let round = 0; round < 5; round++) {
        const path = `/v1/tools?limit=${200 + round}`
        const asking = Array.from({ length: 10 }, () => callers).flat()
        await Promise.all(
          asking.map(async ({ headers, sight }, i) => {
            expect(namesIn(await get(path, headers, i % instances))).to.have.members(sights[sight])
          }),
        )
      }
    })

    it('takes the first of two Authorization headers, or none, and mixes nothing up', async () => {
      const both: Headers = { authorization: [`Bearer ${red.key}`, `Bearer ${blue.key}`] }
      const answer = await gateway.request({ path: '/v1/tools?limit=42', headers: both })
      if (answer.status === 200) expect(namesIn(answer)).to.have.members(sights.red)
      else expect(answer.status).to.equal(401)
      expect(namesIn(await get('/v1/tools?limit=42', blue.headers))).to.have.members(sights.blue)
      expect(namesIn(await get('/v1/tools?limit=42'))).to.have.members(sights.nobody)
    })

    it('lets a team change what is its own, and nobody else', async () => {
      const cases = [
        { name: 'red-hidden', headers: blue.headers, status: 404 },
        { name: 'red-hidden', headers: {}, status: 404 },
        { name: 'red-open', headers: blue.headers, status: 403 },
        { name: 'red-open', headers: {}, status: 401 },
        { name: 'red-open', headers: { authorization: `Bearer ${red.key}x` }, status: 401 },
      ]
      for (const { name, headers, status } of cases) {
        const path = `/v1/tools/${idOf(name)}`
        for (const [method, body] of [
          ['PUT', { name: 'taken' }],
          ['PATCH', { name: 'taken' }],
          ['DELETE', undefined],
        ] as const) {
          const answer = await send(method, path, headers, body)
          expect(answer.status, `${method} ${name}`).to.equal(status)
        }
        expect((await get(path, red.headers)).json()).to.include({ name, team: 'red' })
      }
      expect((await send('PATCH', `/v1/tools/${idOf('red-hidden')}`, red.headers, { tags: ['x'] })).status).to.equal(
        200,
      )
      expect((await send('DELETE', `/v1/tools/${idOf('blue-hidden')}`, asAdmin)).status).to.equal(204)
    })

    it('does not tell a team, by a conflict, which names another one has', async () => {
      await create(blue.headers, 'red-hidden', 'team')
      const again = await send('POST', '/v1/tools', blue.headers, { name: 'red-hidden' })
      expect(again.status).to.equal(409)
    })

    it('refuses to hide what belongs to no team, and a team that a body names', async () => {
      for (const headers of [{}, asAdmin]) {
        const answer = await send('POST', '/v1/tools', headers, { name: 'x', visibility: 'team' })
        expect(answer.status).to.equal(400)
        expect(answer.text).to.contain('team_required')
        expect(
          (await send('PATCH', `/v1/tools/${idOf('shared')}`, headers, { visibility: 'private' })).status,
        ).to.equal(400)
      }
      expect((await send('POST', '/v1/tools', blue.headers, { name: 'x', team: 'red' })).status).to.equal(400)
    })

    it('stops to take a key once it is revoked, on every instance, from the cache too', async () => {
      for (let i = 0; i < instances; i++) expect((await get('/v1/tools', red.headers, i)).status).to.equal(200)
      expect((await send('DELETE', `/v1/keys/${red.id}`, asAdmin)).status).to.equal(204)
      expect((await get('/v1/tools', red.headers)).status).to.equal(401)
      for (let i = 1; i < instances; i++) {
        await until(async () => (await get('/v1/tools', red.headers, i)).status === 401, { deadlineMs: 10_000 })
      }
    })

    it('keeps keys to the admin, shows one once, and stores only its hash', async () => {
      for (const headers of [{}, red.headers]) {
        for (const [method, body] of [
          ['GET', undefined],
          ['POST', { team: 'red' }],
        ] as const) {
          expect((await send(method, '/v1/keys', headers, body)).status).to.equal(401)
        }
        expect((await send('DELETE', `/v1/keys/${blue.id}`, headers)).status).to.equal(401)
      }
      const listed = await get('/v1/keys', asAdmin)
      expect(listed.headers['cache-control']).to.equal('no-store')
      expect(listed.json<{ items: object[] }>().items).to.have.length(2)
      expect(listed.text).to.not.contain(red.key)
      const stored = JSON.stringify(await gateway.db.query('select * from api_keys'))
      expect(stored).to.contain('"team":"red"').and.to.not.contain(red.key)
      for (const body of [
        {},
        { team: '' },
        { team: 'a b' },
        { team: 'x'.repeat(65) },
        { team: 'x', key: 'mine' },
        [],
      ]) {
        expect((await send('POST', '/v1/keys', asAdmin, body)).status, JSON.stringify(body)).to.equal(400)
      }
    })

    if (instances > 1) {
      it('leaves neither a key nor a scope to read in Redis', async () => {
        await expectIsolation()
        const keys = (await gateway.redis?.command('KEYS', '*')) as string[]
        expect(keys.length).to.be.above(10)
        const values = await Promise.all(
          keys.map(async (key) => {
            if ((await gateway.redis?.command('TYPE', key)) !== 'string') return ''
            return String(await gateway.redis?.command('GET', key))
          }),
        )
        const text = `${keys.join(' ')} ${values.join(' ')}`
        for (const secret of [red.key, blue.key, 'token-of-the-tests', 'team:red']) expect(text).to.not.contain(secret)
      })
    }
  })
}

describe('the example where writes are not open', function () {
  this.timeout(60_000)
  let gateway: Gateway
  before(async () => {
    gateway = await startGateway('PGlite', { parts: { openWrites: false } })
  })
  after(() => gateway?.stop())

  it('asks for a key to write, and leaves what belongs to no team to the admin', async () => {
    const send = (method: string, path: string, headers: Headers, body?: unknown) =>
      gateway.request({ method, path, headers, body })
    const { headers } = await gateway.key('red')
    expect((await send('POST', '/v1/tools', {}, { name: 'x' })).text).to.contain('key_required')
    const shared = await send('POST', '/v1/tools', asAdmin, { name: 'shared' })
    const path = `/v1/tools/${shared.json<{ id: string }>().id}`
    expect((await send('PATCH', path, {}, { tags: ['x'] })).status).to.equal(401)
    expect((await send('PATCH', path, headers, { tags: ['x'] })).status).to.equal(403)
    expect((await send('PATCH', path, asAdmin, { tags: ['x'] })).status).to.equal(200)
    expect((await send('POST', '/v1/tools', headers, { name: 'ours' })).status).to.equal(201)
    expect((await send('GET', '/v1/tools', {})).json<Page>().items).to.have.length(2)
  })
})
