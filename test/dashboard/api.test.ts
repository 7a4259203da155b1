/*
 * What the JSON under api/ takes and answers.
 */
import { expect } from 'chai'
import type { EntryPage, Evicted, Explained, Invalidated, Preview } from '../../lib/dashboard/index.ts'
import type { TierError } from '../../lib/index.ts'
import { forEachExpress, request } from '../helpers/http.ts'
import { dashboards, errorOf, type Mounted, type MountOptions } from './fixture.ts'

forEachExpress((_name, framework) => {
  const mount = dashboards()

  /** Two routes, one of them for callers apart. */
  async function filled(
    options: MountOptions = {},
  ): Promise<Mounted & { get(path: string, team?: string): Promise<string> }> {
    const it = await mount({
      framework,
      ...options,
      after(app, cache) {
        const scope = (req: { headers: Record<string, unknown> }): string | undefined => req.headers['x-team'] as string
        app.get(
          '/tools',
          cache.middleware({ type: 'tools', scope: 'public' }),
          (req, res) => void res.json({ q: req.query }),
        )
        app.get('/prompts', cache.middleware({ type: 'prompts', scope }), (_req, res) => void res.json(['secret']))
      },
    })
    const get = async (path: string, team?: string): Promise<string> =>
      String(
        (await request(it.listening, { path, headers: team === undefined ? {} : { 'x-team': team } })).headers[
          'x-cache'
        ],
      )
    await get('/tools?page=1')
    await get('/tools?page=2')
    await get('/prompts', 'blue')
    return { ...it, get }
  }

  const page = async ({ ask }: Mounted, query = ''): Promise<EntryPage> =>
    (await ask(`/api/entries${query}`)).json<EntryPage>()

  describe('api/entries', () => {
    it('lists what is in memory, a page at a time, by type and by what is in a path', async () => {
      const it = await filled()
      const all = await page(it)
      expect([all.total, all.matched, all.complete, all.cursor]).to.deep.equal([3, 3, true, undefined])
      expect(all.entries.map(({ url }) => url)).to.have.members(['/tools?page=1', '/tools?page=2', '/prompts'])
      expect((await page(it, '?type=tools&search=PAGE=2')).entries.map(({ url }) => url)).to.deep.equal([
        '/tools?page=2',
      ])
      const first = await page(it, '?limit=2')
      const second = await page(it, `?limit=2&cursor=${encodeURIComponent(first.cursor ?? '')}`)
      expect([first.entries.length, second.entries.length, second.cursor]).to.deep.equal([2, 1, undefined])
      expect([...first.entries, ...second.entries]).to.deep.equal(all.entries)
    })

    it('shows whom an entry is for only as a fingerprint', async () => {
      const it = await filled()
      const { text } = await it.ask('/api/entries?type=prompts')
      expect((JSON.parse(text) as EntryPage).entries[0]?.scope).to.match(/^[0-9a-f]{8}$/)
      expect(text).not.to.contain('blue')
    })

    it('refuses what it does not take, and says what', async () => {
      const it = await filled()
      const refused: [string, string][] = [
        ['?limit=0', '400 ERR_OPTION_RANGE'],
        ['?limit=501', '400 ERR_OPTION_RANGE'],
        ['?limit=-1', '400 ERR_DASHBOARD_REQUEST'],
        ['?limit=many', '400 ERR_DASHBOARD_REQUEST'],
        ['?type=no%20type', '400 ERR_TYPE_NAME'],
        ['?cursor=nowhere', '400 ERR_OPTION_RANGE'],
        [`?search=${'x'.repeat(501)}`, '400 ERR_DASHBOARD_REQUEST'],
        ['?serach=x', '400 ERR_DASHBOARD_REQUEST'],
        ['?type=tools&type=prompts', '400 ERR_DASHBOARD_REQUEST'],
      ]
      for (const [query, expected] of refused)
        expect(errorOf(await it.ask(`/api/entries${query}`)), query).to.equal(expected)
    })
  })

  describe('api/entries/preview', () => {
    it('gives headers and body of an entry to whom it may, and 404 for what is not there', async () => {
      const it = await filled({ dashboard: { mayPreview: true } })
      const [entry] = (await page(it, '?type=prompts')).entries
      const preview = (await it.ask(`/api/entries/preview?key=${encodeURIComponent(entry?.key ?? '')}`)).json<Preview>()
      expect(preview).to.deep.include({ key: entry?.key, body: '["secret"]', cut: false, bytes: 10 })
      const none = await it.ask(`/api/entries/preview?key=tools:${'0'.repeat(32)}`)
      expect(errorOf(none)).to.equal('404 ERR_DASHBOARD_NOT_FOUND')
      expect(errorOf(await it.ask('/api/entries/preview?key=nonsense'))).to.equal('400 ERR_ENTRY_KEY')
      expect(errorOf(await it.ask('/api/entries/preview'))).to.equal('400 ERR_DASHBOARD_REQUEST')
    })
  })

  describe('api/explain', () => {
    it('runs the decision of a route for a method, a URL and headers', async () => {
      const it = await filled()
      const explain = async (body: object): Promise<string> => {
        const { route, explanation } = (await it.post('/api/explain', body)).json<Explained>()
        return `${route}: ${explanation.outcome} ${explanation.reason ?? ''}`.trim()
      }
      expect(await explain({ method: 'GET', url: '/tools?page=1', headers: {} })).to.equal('tools 1: hit')
      expect(await explain({ method: 'GET', url: '/tools?page=3', headers: {} })).to.equal(
        'tools 1: miss not in memory',
      )
      expect(await explain({ method: 'POST', url: '/tools', headers: {} })).to.equal('tools 1: pass method')
      expect(await explain({ url: '/prompts', headers: { 'X-Team': 'blue' } })).to.equal('prompts 2: hit')
      expect(await explain({ url: '/prompts', route: 'prompts 2' })).to.equal('prompts 2: bypass scope')
    })

    it('refuses what is no request and no route', async () => {
      const it = await filled()
      const refused: [object, string][] = [
        [{}, '400 ERR_OPTION_TYPE'],
        [{ url: 'tools' }, '400 ERR_OPTION_TYPE'],
        [{ url: '/tools', method: 7 }, '400 ERR_OPTION_TYPE'],
        [{ url: '/tools', headers: ['a'] }, '400 ERR_OPTION_TYPE'],
        [{ url: '/tools', headers: { a: [{ toString: 1 }] } }, '400 ERR_OPTION_TYPE'],
        [{ url: '/tools', headers: { a: ['b', 7] } }, '400 ERR_OPTION_TYPE'],
        [{ url: '/tools', route: 'none' }, '400 ERR_ROUTE_ID'],
        [{ url: '/tools', route: 7 }, '400 ERR_ROUTE_ID'],
        [{ url: '/tools', mehtod: 'GET' }, '400 ERR_OPTION_UNKNOWN'],
      ]
      for (const [body, expected] of refused) {
        expect(errorOf(await it.post('/api/explain', body)), JSON.stringify(body)).to.equal(expected)
      }
    })
  })

  describe('api/invalidate', () => {
    it('invalidates a type with what depends on it, a tag, or all, and says what went along', async () => {
      const it = await filled()
      const type = (await it.post('/api/invalidate', { type: 'agents' })).json<Invalidated>()
      expect([type.target, type.dependents, type.shared]).to.deep.equal(['agents', ['tools', 'servers'], true])
      expect(await it.get('/tools?page=1')).to.equal('MISS')
      expect(await it.get('/prompts', 'blue')).to.equal('HIT')
      const tag = (await it.post('/api/invalidate', { tag: 'registry:prompts' })).json<Invalidated>()
      expect([tag.target, tag.dependents]).to.deep.equal(['registry:prompts', []])
      expect(await it.get('/prompts', 'blue')).to.equal('MISS')
      const all = (await it.post('/api/invalidate', { all: true })).json<Invalidated>()
      expect(all.target).to.equal('all')
      expect([await it.get('/tools?page=1'), await it.get('/prompts', 'blue')]).to.deep.equal(['MISS', 'MISS'])
    })

    it('refuses what does not say one thing', async () => {
      const it = await filled()
      const refused: [object, string][] = [
        [{}, '400 ERR_DASHBOARD_REQUEST'],
        [{ type: 'tools', tag: 'registry:tools' }, '400 ERR_DASHBOARD_REQUEST'],
        [{ all: false }, '400 ERR_DASHBOARD_REQUEST'],
        [{ all: 'yes' }, '400 ERR_DASHBOARD_REQUEST'],
        [{ type: 'no type' }, '400 ERR_TYPE_NAME'],
        [{ type: { tag: 'a' } }, '400 ERR_TYPE_NAME'],
        [{ tag: 'a:@b' }, '400 ERR_TAG_NAME'],
        [{ tag: 7 }, '400 ERR_TAG_NAME'],
        [{ types: ['tools'] }, '400 ERR_OPTION_UNKNOWN'],
      ]
      for (const [body, expected] of refused) {
        expect(errorOf(await it.post('/api/invalidate', body)), JSON.stringify(body)).to.equal(expected)
      }
      expect(await it.get('/tools?page=1')).to.equal('HIT')
    })
  })

  describe('api/evict', () => {
    it('removes one entry and no other', async () => {
      const it = await filled()
      const [entry] = (await page(it, '?search=page=1')).entries
      const evicted = (await it.post('/api/evict', { key: entry?.key })).json<Evicted>()
      expect(evicted).to.deep.equal({ key: entry?.key, memory: true })
      expect([await it.get('/tools?page=1'), await it.get('/tools?page=2')]).to.deep.equal(['MISS', 'HIT'])
      expect(errorOf(await it.post('/api/evict', { key: 'all' }))).to.equal('400 ERR_ENTRY_KEY')
      expect(errorOf(await it.post('/api/evict', {}))).to.equal('400 ERR_ENTRY_KEY')
    })
  })

  describe('every answer under api/', () => {
    it('names the worker that gave it', async () => {
      const it = await filled()
      const { worker } = it.cache.describe()
      for (const path of ['/api/snapshot', '/api/entries', '/api/entries?limit=0', '/api/nowhere']) {
        expect((await it.ask(path)).headers['x-cache-worker'], path).to.equal(worker)
      }
      expect((await it.stream()).headers['x-cache-worker']).to.equal(worker)
    })

    it('is a 500 with a code when the cache fails, which is told as an error', async () => {
      const it = await filled()
      const errors: TierError[] = []
      it.cache.on('error', (error) => errors.push(error))
      it.cache.entries = () => {
        throw new Error('broken')
      }
      const answer = await it.ask('/api/entries')
      expect(errorOf(answer)).to.equal('500 ERR_DASHBOARD_FAILED')
      expect(answer.text).not.to.contain('broken')
      expect(errors.map(({ code, cause }) => [code, (cause as Error).message])).to.deep.equal([
        ['ERR_DASHBOARD_FAILED', 'broken'],
      ])
    })

    it('is there for a cache that is turned off', async () => {
      const it = await filled({ cache: { enabled: false } })
      const snapshot = (await it.ask('/api/snapshot')).json<{
        stats: { enabled: boolean }
        redis?: object
        fleet?: object
      }>()
      expect([snapshot.stats.enabled, snapshot.redis, snapshot.fleet]).to.deep.equal([false, undefined, undefined])
      expect((await page(it)).entries).to.deep.equal([])
      expect((await it.post('/api/invalidate', { type: 'tools' })).status).to.equal(200)
    })
  })
})
