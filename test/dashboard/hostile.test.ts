/*
 * What others put before the dashboard: names, addresses and messages made to break it, to fill it, or to get past its locks.
 */
import { connect } from 'node:net'
import { expect } from 'chai'
import type express from 'express'
import type { Explained, Snapshot } from '../../lib/dashboard/index.ts'
import { type Answer, forEachExpress, request } from '../helpers/http.ts'
import { dashboards, errorOf, type Mounted } from './fixture.ts'

/** Lines as they are; the answer until the connection ends. HTTP/1.0 and what lacks a Host can not be had from node:http. */
async function raw(port: number, ...lines: string[]): Promise<string> {
  return await new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(`${lines.join('\r\n')}\r\n\r\n`))
    let answer = ''
    socket.setEncoding('utf8')
    socket.on('data', (text: string) => {
      answer += text
    })
    socket.on('error', reject)
    socket.on('close', () => resolve(answer))
  })
}

const snapshotOf = async ({ ask }: Mounted): Promise<Snapshot> => (await ask('/api/snapshot')).json<Snapshot>()

describe('the dashboard, before hostile requests', () => {
  const mount = dashboards()

  it('takes no Origin for its own where there is no Host to compare it with', async () => {
    const { listening } = await mount()
    for (const origin of ['null', 'http://evil.example', 'file://']) {
      const none = await raw(listening.port, 'GET /_cache/api/entries HTTP/1.0', `Origin: ${origin}`)
      expect(none, origin).to.contain('ERR_DASHBOARD_CROSS_SITE')
      const empty = await raw(listening.port, 'GET /_cache/api/entries HTTP/1.0', 'Host:', `Origin: ${origin}`)
      expect(empty, origin).to.contain('ERR_DASHBOARD_CROSS_SITE')
    }
  })

  it("'local' admits nobody by way of a proxy that hides who asks: nginx as it comes asks by HTTP/1.0 for its own peer", async () => {
    const { listening } = await mount({ dashboard: { authorize: 'local' } })
    const host = `Host: 127.0.0.1:${listening.port}`
    const asNginx = await raw(listening.port, 'GET /_cache/api/entries HTTP/1.0', host, 'Connection: close')
    expect(asNginx).to.contain('ERR_DASHBOARD_FORBIDDEN')
    const direct = await raw(listening.port, 'GET /_cache/api/entries HTTP/1.1', host, 'Connection: close')
    expect(direct).to.contain('200 OK')
  })

  it("'local' knows proxies by the headers that others than the common ones add", async () => {
    const { ask } = await mount({ dashboard: { authorize: 'local' } })
    for (const name of [
      'x-forwarded-port',
      'x-forwarded-server',
      'x-forwarded',
      'x-original-forwarded-for',
      'x-client-ip',
      'x-cluster-client-ip',
      'true-client-ip',
      'cf-connecting-ip',
      'fly-client-ip',
      'x-envoy-external-address',
    ]) {
      expect((await ask('/api/entries', { headers: { [name]: '127.0.0.1' } })).status, name).to.equal(403)
    }
  })

  it('offers every route to be explained, however long the addresses are that somebody asked them for', async () => {
    const it = await mount({
      after(app, cache) {
        for (let i = 0; i < 9; i++) {
          app.get(`/r${i}`, cache.middleware({ type: `r${i}`, scope: 'public' }), (_req, res) => void res.json([i]))
        }
      },
    })
    for (let i = 0; i < 9; i++) await request(it.listening, { path: `/r${i}?${'x'.repeat(15_000)}` })
    const { routes } = await snapshotOf(it)
    expect(routes.map(({ type }) => type)).to.deep.equal(Array.from({ length: 9 }, (_, i) => `r${i}`))
    await request(it.listening, { path: '/r1?page=2' })
    expect((await snapshotOf(it)).routes[1]?.lastUrl).to.equal('/r1?page=2')
  })
})

forEachExpress((_name, framework) => {
  describe('explaining a request', () => {
    const mount = dashboards()

    it('takes no more headers than Node does, so that many of them keep nobody waiting', async () => {
      const it = await mount({
        framework,
        before: (app) => app.use(framework.json({ limit: '10mb' })),
        after: (app, cache) => app.get('/tools', cache.middleware({ type: 'tools', scope: 'public' })),
      })
      const of = (count: number): object =>
        Object.fromEntries(Array.from({ length: count }, (_, i) => [`x-${i}`, ['a', 'b']]))
      const explain = (count: number): Promise<Answer> =>
        it.post('/api/explain', { url: '/tools', route: 'tools 1', headers: of(count) })
      expect((await explain(2000)).status).to.equal(200)
      expect(errorOf(await explain(50_000))).to.equal('400 ERR_OPTION_RANGE')
    })

    it('leaves the cache as it was: no epoch is made, no entry counts as used', async () => {
      const it = await mount({
        framework,
        cache: { memory: { maxEntries: 2 } },
        after(app, cache) {
          const tags = (req: express.Request): string[] => [`tool:${req.query.id}`]
          app.get('/tools', cache.middleware({ type: 'tools', scope: 'public', tags }), (_, res) => void res.json([1]))
        },
      })
      const get = async (id: number): Promise<string> =>
        String((await request(it.listening, { path: `/tools?id=${id}` })).headers['x-cache'])
      const explain = async (id: number): Promise<string> =>
        (await it.post('/api/explain', { url: `/tools?id=${id}` })).json<Explained>().explanation.outcome
      await get(1)
      await get(2)
      const { epochs } = it.cache.describe()
      expect([await explain(1), await explain(7), await explain(8)]).to.deep.equal(['hit', 'miss', 'miss'])
      expect(it.cache.describe().epochs).to.deep.equal(epochs)
      await get(3)
      expect([await get(2), await get(1)], 'the one that was explained is the oldest still').to.deep.equal([
        'HIT',
        'MISS',
      ])
    })
  })

  describe('a type that is called as a member of every object', () => {
    const mount = dashboards()

    for (const type of ['__proto__', 'constructor', 'hits', 'toString']) {
      it(`is one like others: ${type}`, async () => {
        const it = await mount({
          framework,
          after(app, cache) {
            app.get('/a', cache.middleware({ type, scope: 'public' }), (_req, res) => void res.json([1]))
          },
        })
        await request(it.listening, { path: '/a' })
        await request(it.listening, { path: '/a' })
        expect(Object.keys(it.cache.stats().types)).to.deep.equal([type])
        const row = (await snapshotOf(it)).types.find((each) => each.type === type)
        expect(row).to.include({ hits: 1, misses: 1, entries: 1 })
        expect(Object.hasOwn(Object.prototype, 'hits')).to.equal(false)
      })
    }
  })
})
