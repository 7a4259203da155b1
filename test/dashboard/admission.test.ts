/*
 * Who gets in, what they may, and what each answer says to the browser.
 */
import { expect } from 'chai'
import { isLocal } from '../../lib/dashboard/admission.ts'
import { cacheDashboard, type DashboardOptions, type Snapshot } from '../../lib/dashboard/index.ts'
import type { CacheRequest } from '../../lib/http/exchange.ts'
import { createRegistryCache, type OptionError, type TierError } from '../../lib/index.ts'
import { forEachExpress } from '../helpers/http.ts'
import { dashboards, errorOf } from './fixture.ts'

function refusedWith(options: unknown): string {
  try {
    cacheDashboard(createRegistryCache(), options as DashboardOptions).close()
  } catch (error) {
    const { code, option } = error as OptionError
    return `${code} ${option}`
  }
  return 'nothing'
}

describe('cacheDashboard', () => {
  it('is not made without authorize', () => {
    expect(refusedWith(undefined)).to.equal('ERR_OPTION_MISSING authorize')
    expect(refusedWith({ mayPreview: true })).to.equal('ERR_OPTION_MISSING authorize')
  })

  it('is not made with a bad option', () => {
    const authorize = 'local'
    expect(refusedWith({ authorize: true })).to.equal('ERR_OPTION_TYPE authorize')
    expect(refusedWith({ authorize: 'everyone' })).to.equal('ERR_OPTION_TYPE authorize')
    expect(refusedWith({ authorise: authorize })).to.equal('ERR_OPTION_UNKNOWN authorise')
    expect(refusedWith({ authorize, mayPreview: 'yes' })).to.equal('ERR_OPTION_TYPE mayPreview')
    expect(refusedWith({ authorize, mayInvalidate: null })).to.equal('ERR_OPTION_TYPE mayInvalidate')
    expect(refusedWith({ authorize, maxStreams: 0 })).to.equal('ERR_OPTION_RANGE maxStreams')
    expect(refusedWith({ authorize, clock: {} })).to.equal('ERR_OPTION_TYPE clock')
    expect(refusedWith(7)).to.equal('ERR_OPTION_TYPE ')
  })

  it('is not made for something that is no cache', () => {
    for (const cache of [undefined, {}, new Map()]) {
      expect(() => cacheDashboard(cache as never, { authorize: 'local' })).to.throw('expected a cache')
    }
  })
})

forEachExpress((_name, framework) => {
  describe('the dashboard', () => {
    const mount = dashboards()
    const paths = ['/', '/api/snapshot', '/api/events', '/api/entries', '/nowhere']

    it('shows nothing to whom authorize refuses, at no address', async () => {
      const { ask } = await mount({ framework, dashboard: { authorize: () => false } })
      for (const path of paths) expect(errorOf(await ask(path)), path).to.equal('403 ERR_DASHBOARD_FORBIDDEN')
      const post = await ask('/api/invalidate', { method: 'POST', body: { all: true } })
      expect(errorOf(post)).to.equal('403 ERR_DASHBOARD_FORBIDDEN')
    })

    it('asks authorize of each request, waits for it, and lets it see the request', async () => {
      const { ask } = await mount({
        framework,
        dashboard: { authorize: async (req) => req.headers['x-admin'] === 'yes' },
      })
      expect((await ask('/api/snapshot', { headers: { 'x-admin': 'yes' } })).status).to.equal(200)
      expect((await ask('/api/snapshot')).status).to.equal(403)
    })

    it('refuses, warns and emits an error when authorize throws, rejects or gives no boolean', async () => {
      const bad: DashboardOptions['authorize'][] = [
        () => {
          throw new Error('no session store')
        },
        () => Promise.reject(new Error('no session store')),
        () => ({ id: 7 }) as unknown as boolean,
        () => undefined as unknown as boolean,
      ]
      for (const authorize of bad) {
        const { ask, cache, warnings } = await mount({ framework, dashboard: { authorize } })
        const errors: TierError[] = []
        cache.on('error', (error) => errors.push(error))
        expect(errorOf(await ask('/api/snapshot'))).to.equal('403 ERR_DASHBOARD_FORBIDDEN')
        expect(errors.map(({ code, operation }) => `${code} ${operation}`)).to.deep.equal([
          'ERR_CALLBACK_THREW authorize',
        ])
        expect(warnings).to.deep.equal(['ERR_CALLBACK_THREW'])
      }
    })

    it('keeps bodies from everybody unless mayPreview admits them', async () => {
      const closed = await mount({ framework })
      expect((await closed.ask('/api/snapshot')).json<Snapshot>().may).to.deep.equal({
        invalidate: true,
        preview: false,
      })
      expect(errorOf(await closed.ask('/api/entries/preview?key=tools:1'))).to.equal('403 ERR_DASHBOARD_FORBIDDEN')
      const open = await mount({ framework, dashboard: { mayPreview: async () => true } })
      expect((await open.ask('/api/snapshot')).json<Snapshot>().may.preview).to.equal(true)
      expect((await open.ask('/api/entries/preview?key=tools:1')).status).not.to.equal(403)
    })

    it('lets nobody invalidate or evict whom mayInvalidate refuses, though they may look', async () => {
      const { post, ask, cache } = await mount({ framework, dashboard: { mayInvalidate: () => false } })
      const raised: string[] = []
      cache.on('invalidate', ({ tag }) => raised.push(tag))
      expect(errorOf(await post('/api/invalidate', { all: true }))).to.equal('403 ERR_DASHBOARD_FORBIDDEN')
      expect(errorOf(await post('/api/evict', { key: `tools:${'0'.repeat(32)}` }))).to.equal(
        '403 ERR_DASHBOARD_FORBIDDEN',
      )
      expect((await ask('/api/snapshot')).json<Snapshot>().may.invalidate).to.equal(false)
      expect((await ask('/api/entries')).status).to.equal(200)
      expect(raised).to.deep.equal([])
    })

    it('says to browsers to load nothing from elsewhere, to frame it nowhere, to keep and to tell nothing', async () => {
      const { ask } = await mount({ framework })
      for (const path of ['/', '/api/snapshot', '/nowhere']) {
        const { headers } = await ask(path)
        expect(headers['content-security-policy'], path).to.equal(
          "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
            "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        )
        expect(headers['x-content-type-options']).to.equal('nosniff')
        expect(headers['x-frame-options']).to.equal('DENY')
        expect(headers['referrer-policy']).to.equal('no-referrer')
        expect(headers['cross-origin-resource-policy']).to.equal('same-origin')
        expect(headers['cache-control']).to.equal(path === '/' ? 'private, no-cache' : 'no-store')
      }
    })

    it('takes back what a cors() before it has said to all origins', async () => {
      const { ask } = await mount({
        framework,
        before: (app) =>
          app.use((_req, res, next) => {
            res.setHeader('Access-Control-Allow-Origin', '*')
            next()
          }),
      })
      expect((await ask('/api/snapshot')).headers).not.to.have.property('access-control-allow-origin')
    })

    it('leads from its path to the same with a slash, wherever it is mounted, and keeps the query', async () => {
      const { ask, listening } = await mount({ framework })
      const to = async (path: string): Promise<string | undefined> => {
        const { status, headers } = await ask(path)
        return status === 308 ? String(headers.location) : undefined
      }
      expect(await to('')).to.equal('./_cache/')
      expect(await to('?a=1')).to.equal('./_cache/?a=1')
      expect(await to('/')).to.equal(undefined)
      expect(new URL('./_cache/', `${listening.url}/behind/a/proxy/_cache`).pathname).to.equal(
        '/behind/a/proxy/_cache/',
      )
    })

    it('serves the page with an ETag, and 304 to who has it', async () => {
      const { ask } = await mount({ framework })
      const first = await ask('/')
      const etag = String(first.headers.etag)
      expect(first.status).to.equal(200)
      expect(first.headers['content-type']).to.equal('text/html; charset=utf-8')
      for (const value of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
        const again = await ask('/', { headers: { 'if-none-match': value } })
        expect([again.status, again.text], value).to.deep.equal([304, ''])
      }
      expect((await ask('/', { headers: { 'if-none-match': '"other"' } })).status).to.equal(200)
      const head = await ask('/', { method: 'HEAD' })
      expect([head.status, head.headers.etag, head.text]).to.deep.equal([200, etag, ''])
    })

    it('serves the files of the page and none beside them', async () => {
      const { ask } = await mount({ framework })
      expect((await ask('/vendor/uplot.js')).headers['content-type']).to.equal('text/javascript; charset=utf-8')
      expect((await ask('/vendor/uplot-license.txt')).text).to.contain('MIT')
      const beside = ['/../wire.ts', '/..%2fwire.ts', '/%2e%2e/wire.ts', '/vendor/../../wire.ts', '/index.html/..']
      for (const path of [...beside, '/vendor', '/constructor', '/package.json', '/index%00.html']) {
        const { status } = await ask(path)
        expect(status, path).to.be.oneOf([400, 404])
      }
    })

    it('says which method an address takes', async () => {
      const { ask, post } = await mount({ framework })
      const wrong = await ask('/api/invalidate')
      expect([errorOf(wrong), wrong.headers.allow]).to.deep.equal(['405 ERR_DASHBOARD_REQUEST', 'POST'])
      for (const path of ['/api/snapshot', '/']) {
        const posted = await post(path, {})
        expect([errorOf(posted), posted.headers.allow]).to.deep.equal(['405 ERR_DASHBOARD_REQUEST', 'GET, HEAD'])
      }
    })
  })
})

describe("authorize: 'local'", () => {
  const mount = dashboards()
  const given = (remoteAddress: string | undefined, headers: Record<string, string>): boolean =>
    isLocal({ socket: { remoteAddress }, headers } as unknown as CacheRequest)

  it('admits a browser on this machine that asks for localhost', async () => {
    const { ask } = await mount({ dashboard: { authorize: 'local' } })
    expect((await ask('/')).status).to.equal(200)
    for (const host of [
      'localhost',
      'localhost:3000',
      'app.localhost:3000',
      '127.0.0.1:80',
      '127.4.5.6',
      '[::1]:3000',
    ]) {
      for (const address of ['127.0.0.1', '::1', '::ffff:127.0.0.1'])
        expect(given(address, { host }), host).to.equal(true)
    }
  })

  it('refuses another machine, whatever it says of itself', () => {
    for (const address of ['10.0.0.7', '::ffff:10.0.0.7', 'fe80::1', '128.0.0.1', undefined, '']) {
      expect(given(address, { host: 'localhost' }), String(address)).to.equal(false)
    }
  })

  it('refuses what a proxy on this machine passes on', async () => {
    const { ask } = await mount({ dashboard: { authorize: 'local' } })
    for (const name of ['x-forwarded-for', 'forwarded', 'via', 'x-real-ip', 'x-forwarded-host', 'x-forwarded-proto']) {
      expect(errorOf(await ask('/', { headers: { [name]: '127.0.0.1' } })), name).to.equal(
        '403 ERR_DASHBOARD_FORBIDDEN',
      )
    }
  })

  it('refuses a page of another name that was made to lead here', async () => {
    const { ask } = await mount({ dashboard: { authorize: 'local' } })
    for (const host of ['evil.example', 'localhost.evil.example', '127.0.0.1.evil.example', 'evil.example:3000']) {
      const { status } = await ask('/api/snapshot', { headers: { host } })
      expect(status, host).to.be.oneOf([400, 403])
    }
    expect(given('127.0.0.1', {})).to.equal(false)
  })
})
