import { Writable } from 'node:stream'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { Validator } from '@seriousme/openapi-schema-validator'
import { expect } from 'chai'
import { pino } from 'pino'
import { entityTypes } from '../../examples/express-gateway/entities.ts'
import { metricsOf } from '../../examples/express-gateway/metrics.ts'
import { openApiDocument } from '../../examples/express-gateway/openapi.ts'
import { createRegistryCache } from '../../lib/index.ts'
import { until } from '../helpers/until.ts'
import { parse } from '../prometheus/exposition.ts'
import { adminToken, asAdmin, type Gateway, startGateway } from './gateway.ts'

const password = (text: string) => ({ authorization: `Basic ${Buffer.from(`anybody:${text}`).toString('base64')}` })

describe("the example's operations", function () {
  this.timeout(60_000)

  let gateway: Gateway
  const lines: Record<string, unknown>[] = []
  const log = pino(
    { level: 'debug' },
    new Writable({
      write(line, _encoding, done) {
        lines.push(JSON.parse(String(line)))
        done()
      },
    }),
  )

  before(async function () {
    this.timeout(180_000)
    gateway = await startGateway('PostgreSQL', { instances: 2, parts: { log, rateLimit: 1_000 } })
  })
  after(() => gateway?.stop())

  const get = (path: string, headers = {}) => gateway.request({ path, headers })

  describe('probes', () => {
    it('says that it is alive, and ready', async () => {
      expect((await get('/healthz')).json()).to.deep.equal({ status: 'ok' })
      const ready = await get('/readyz')
      expect(ready.status).to.equal(200)
      expect(ready.json()).to.deep.equal({ status: 'ready', database: 'up', redis: 'up' })
    })

    it('is degraded, and still ready, while Redis is down', async () => {
      await gateway.redis?.kill()
      await until(async () => (await get('/readyz')).json<{ redis: string }>().redis === 'down', { deadlineMs: 20_000 })
      const degraded = await get('/readyz')
      expect(degraded.status).to.equal(200)
      expect(degraded.json()).to.deep.equal({ status: 'degraded', database: 'up', redis: 'down' })
      expect((await get('/v1/tools')).status).to.equal(200)
      await gateway.redis?.restart()
      await until(async () => (await get('/readyz')).json<{ redis: string }>().redis === 'up', { deadlineMs: 20_000 })
      expect((await get('/readyz')).json()).to.include({ status: 'ready' })
    })
  })

  describe('the log', () => {
    it('has a line for each request with what the cache did, and no credentials', async () => {
      const { key, headers } = await gateway.key('red')
      lines.length = 0
      const path = '/v1/prompts?limit=17'
      await get(path, headers)
      await get(path, headers)
      await get('/v1/nothing', { authorization: `Bearer ${key}x`, cookie: 'session=secret' })
      await until(() => lines.length === 3)
      expect(lines.map(({ method, url, status, cache }) => [method, url, status, cache])).to.deep.equal([
        ['GET', path, 200, 'MISS'],
        ['GET', path, 200, 'HIT'],
        ['GET', '/v1/nothing', 401, undefined],
      ])
      for (const { ms } of lines) expect(ms).to.be.a('number')
      const text = JSON.stringify(lines)
      for (const secret of [key, adminToken, 'session=secret']) expect(text).to.not.contain(secret)
    })

    it('logs probes only where everything is logged', async () => {
      lines.length = 0
      await get('/healthz')
      await until(() => lines.length === 1)
      expect(lines[0]).to.include({ level: 20, url: '/healthz' })
    })
  })

  describe('the dashboard', () => {
    it('asks for the admin token as a password, and admits nobody else, not from this machine either', async () => {
      const { key } = await gateway.key('red')
      for (const headers of [
        {},
        asAdmin,
        password(key),
        password(''),
        password(`${adminToken} `),
        { authorization: 'Basic' },
      ]) {
        for (const path of [
          '/_cache',
          '/_cache/',
          '/_cache/api/snapshot',
          '/_cache/api/entries',
          '/_CACHE/api/events',
        ]) {
          const refused = await get(path, headers)
          expect(refused.status, path).to.equal(401)
          expect(refused.headers['www-authenticate']).to.match(/^Basic realm=/)
        }
      }
    })

    it('serves its page and its JSON to the admin, uncompressed and under its own policy', async () => {
      const headers = { ...password(adminToken), 'accept-encoding': 'gzip, br' }
      const page = await get('/_cache/', headers)
      expect(page.status).to.equal(200)
      expect(page.headers['content-type']).to.match(/^text\/html/)
      expect(page.headers['content-security-policy']).to.not.contain('unsafe-inline')
      await get('/v1/tools')
      const snapshot = (await get('/_cache/api/snapshot', headers)).json<{ stats: { hits: number; misses: number } }>()
      expect(snapshot.stats.hits + snapshot.stats.misses).to.be.above(0)
    })

    it('does not invalidate for a request without its token', async () => {
      const answer = await gateway.request({
        method: 'POST',
        path: '/_cache/api/invalidate',
        headers: password(adminToken),
        body: { all: true },
      })
      expect(answer.status).to.equal(403)
    })
  })

  describe('metrics', () => {
    it('has the figures of the cache and of Node in Prometheus’ text', async () => {
      const cache = createRegistryCache()
      await cache.wrap('tools', {}, () => 1)
      await cache.wrap('tools', {}, () => 1)
      const text = await metricsOf(cache)()
      // Of Node's figures prom-client writes those that it has not got yet as `Nan`, which Prometheus reads and our parser does not.
      expect(text).to.match(/^process_cpu_seconds_total [\d.]+$/m)
      const ours = text
        .split('\n')
        .filter((line) => line === '' || line.includes(' registry_cache_') || line.startsWith('registry_cache_'))
      const requests = parse(ours.join('\n')).get('registry_cache_requests_total')
      const values = (requests?.samples ?? []).filter(({ value }) => value > 0)
      expect(values.map(({ labels, value }) => [labels.type, labels.outcome, value])).to.have.deep.members([
        ['tools', 'miss', 1],
        ['tools', 'hit', 1],
      ])
      await cache.stop()
    })
  })

  describe('headers', () => {
    it("sends helmet's, on hits too, and says nothing of Express", async () => {
      for (const expected of ['MISS', 'HIT']) {
        const answer = await get('/v1/agents?limit=3')
        expect(answer.headers['x-cache']).to.equal(expected)
        expect(answer.headers['x-content-type-options']).to.equal('nosniff')
        expect(answer.headers['content-security-policy']).to.be.a('string')
        expect(answer.headers).to.not.have.property('x-powered-by')
      }
    })

    it('tells caches on the way to ask each time, and to keep callers apart', async () => {
      for (const expected of ['MISS', 'HIT']) {
        const answer = await get('/v1/agents?limit=4')
        expect(answer.headers['x-cache']).to.equal(expected)
        expect(answer.headers['cache-control']).to.equal('no-cache')
        expect(answer.headers.vary).to.match(/\bAuthorization\b/)
      }
    })

    it('compresses misses and hits for whoever takes it, from the same entry', async () => {
      for (let i = 0; i < 5; i++) {
        const body = { name: `long ${i}`, description: 'x'.repeat(500) }
        await gateway.request({ method: 'POST', path: '/v1/tools', body })
      }
      const plain = await get('/v1/tools?limit=5')
      expect(plain.headers).to.not.have.property('content-encoding')
      for (const [encoding, decode] of [
        ['gzip', gunzipSync],
        ['br', brotliDecompressSync],
      ] as const) {
        const answer = await get('/v1/tools?limit=5', { 'accept-encoding': encoding })
        expect(answer.headers).to.include({ 'x-cache': 'HIT', 'content-encoding': encoding })
        expect(answer.headers.vary).to.match(/Accept-Encoding/)
        expect(decode(answer.body).equals(plain.body)).to.equal(true)
        const again = { 'accept-encoding': encoding, 'if-none-match': answer.headers.etag }
        expect((await get('/v1/tools?limit=5', again)).status).to.equal(304)
      }
    })
  })

  describe('the OpenAPI document', () => {
    it('is valid OpenAPI 3.1', async () => {
      const served = (await get('/openapi.json')).json<Record<string, unknown>>()
      expect(served).to.deep.equal(JSON.parse(JSON.stringify(openApiDocument)))
      const { valid, errors } = await new Validator().validate(structuredClone(served))
      expect(errors ?? []).to.deep.equal([])
      expect(valid).to.equal(true)
    })

    it('describes routes that exist, with the parameters that they take', async () => {
      const { paths } = openApiDocument as {
        paths: Record<string, Record<string, { parameters?: { name: string }[] }>>
      }
      expect(Object.keys(paths)).to.include.members(entityTypes.flatMap((type) => [`/v1/${type}`, `/v1/${type}/{id}`]))
      for (const [path, methods] of Object.entries(paths)) {
        for (const [method, { parameters }] of Object.entries(methods)) {
          if (method === 'parameters' || path === '/metrics') continue
          const answer = await gateway.request({ method: method.toUpperCase(), path: path.replace('{id}', 'x') })
          expect(answer.text, `${method} ${path}`).to.not.contain('no route')
          if (method === 'get' && path.endsWith('tools')) {
            expect(parameters?.map(({ name }) => name)).to.include.members(['tags', 'limit', 'cursor', 'search'])
          }
        }
      }
    })

    it('describes what is accepted: what its schema requires is required, what it forbids is refused', async () => {
      const { schemas } = openApiDocument.components as unknown as {
        schemas: Record<string, { required: string[]; properties: object; additionalProperties: boolean }>
      }
      expect(schemas.ToolsInput?.required).to.deep.equal(['name'])
      expect(schemas.ResourcesInput?.required).to.have.members(['name', 'uri'])
      expect(schemas.ToolsInput?.additionalProperties).to.equal(false)
      const made = await gateway.request({ method: 'POST', path: '/v1/tools', body: { name: 'as described' } })
      const described = schemas.Tools
      expect(made.json<object>()).to.have.all.keys(Object.keys(described?.properties ?? {}))
    })
  })
})

describe("the example's limit of requests", function () {
  this.timeout(60_000)
  let gateway: Gateway
  before(async () => {
    gateway = await startGateway('PGlite', { parts: { rateLimit: 20 } })
  })
  after(() => gateway?.stop())

  it('counts what reaches the database, not what the cache answers, and says so with 429', async () => {
    const list = () => gateway.request({ path: '/v1/tools' })
    expect((await list()).headers['x-cache']).to.equal('MISS')
    for (let i = 0; i < 100; i++) expect((await list()).status).to.equal(200)
    const statuses: number[] = []
    for (let i = 0; i < 25; i++) statuses.push((await gateway.request({ path: `/v1/tools?limit=${i + 1}` })).status)
    expect(statuses.filter((status) => status === 429).length).to.be.within(4, 8)
    const refused = await gateway.request({ path: '/v1/tools?limit=99' })
    expect(refused.status).to.equal(429)
    expect(refused.json()).to.have.nested.property('error.code', 'too_many_requests')
    expect(Number(refused.headers['retry-after'])).to.be.within(1, 60)
  })
})
