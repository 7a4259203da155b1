/*
 * Requests that another site makes in the name of somebody who may: refused, before anything is looked at or changed.
 */
import type { OutgoingHttpHeaders } from 'node:http'
import { expect } from 'chai'
import express from 'express'
import { MAX_BODY_BYTES } from '../../lib/dashboard/body.ts'
import type { Snapshot } from '../../lib/dashboard/index.ts'
import { type Answer, forEachExpress, type RequestOptions } from '../helpers/http.ts'
import { dashboards, errorOf, pass } from './fixture.ts'

describe('the dashboard refuses what another site asks for:', () => {
  const mount = dashboards()

  const verdicts: [string, (host: string) => OutgoingHttpHeaders, number][] = [
    ['a request of the page itself', () => ({ 'sec-fetch-site': 'same-origin' }), 200],
    [
      'one that says so behind a proxy which changes Host',
      () => ({ 'sec-fetch-site': 'same-origin', origin: 'https://ops.example' }),
      200,
    ],
    ['one of another site', () => ({ 'sec-fetch-site': 'cross-site' }), 403],
    ['one of a sibling domain', () => ({ 'sec-fetch-site': 'same-site' }), 403],
    [
      'one with our Origin and another site',
      (host) => ({ 'sec-fetch-site': 'cross-site', origin: `http://${host}` }),
      403,
    ],
    ['an older browser on our page', (host) => ({ origin: `http://${host}` }), 200],
    ['an older browser on another page', () => ({ origin: 'http://evil.example' }), 403],
    ['an older browser in a sandbox', () => ({ origin: 'null' }), 403],
    ['a script without a browser', () => ({}), 200],
  ]

  for (const [what, headers, status] of verdicts) {
    it(`${what}: ${status}, to look and to change`, async () => {
      const { ask, post, listening, cache } = await mount()
      const raised: string[] = []
      cache.on('invalidate', ({ tag }) => raised.push(tag))
      const sent = headers(`127.0.0.1:${listening.port}`)
      const answers = [
        await ask('/api/snapshot', { headers: sent }),
        await post('/api/invalidate', { type: 'tools' }, { headers: sent }),
      ]
      for (const answer of answers) expect(answer.status, answer.text).to.equal(status)
      if (status === 403) expect(answers.map(errorOf)).to.deep.equal(Array(2).fill('403 ERR_DASHBOARD_CROSS_SITE'))
      expect(raised.includes('registry:tools')).to.equal(status === 200)
    })
  }

  it('a link to the page is followed, an address that was typed too; a change is neither', async () => {
    const { ask, post } = await mount()
    expect((await ask('/', { headers: { 'sec-fetch-site': 'cross-site' } })).status).to.equal(200)
    expect((await ask('/api/snapshot', { headers: { 'sec-fetch-site': 'none' } })).status).to.equal(200)
    const typed = await post('/api/invalidate', { all: true }, { headers: { 'sec-fetch-site': 'none' } })
    expect(errorOf(typed)).to.equal('403 ERR_DASHBOARD_CROSS_SITE')
  })

  it('none of it reaches authorize', async () => {
    let asked = 0
    const authorize = (): boolean => ++asked > 0
    const { ask } = await mount({ dashboard: { authorize } })
    await ask('/api/snapshot', { headers: { 'sec-fetch-site': 'cross-site' } })
    expect(asked).to.equal(0)
  })
})

describe('the token', () => {
  const mount = dashboards()
  const body = { type: 'tools' }

  it('is needed for each POST, together with its cookie, and only the right pair will do', async () => {
    const { ask } = await mount()
    const mine = pass(await ask('/api/snapshot'))
    const another = pass(await ask('/api/snapshot'))
    expect(mine['x-csrf-token']).not.to.equal(another['x-csrf-token'])
    const sent: [OutgoingHttpHeaders, number][] = [
      [mine, 200],
      [{ cookie: mine.cookie }, 403],
      [{ 'x-csrf-token': mine['x-csrf-token'] }, 403],
      [{ ...mine, 'x-csrf-token': another['x-csrf-token'] }, 403],
      [{ cookie: 'registry_cache_token=', 'x-csrf-token': '' }, 403],
      [{ cookie: 'registry_cache_token=short', 'x-csrf-token': 'short' }, 403],
      [{ ...mine, cookie: `a=b; ${another.cookie}; ${mine.cookie}` }, 200],
    ]
    for (const path of ['/api/invalidate', '/api/evict', '/api/explain']) {
      for (const [headers, status] of sent) {
        const answer = await ask(path, { method: 'POST', body, headers })
        if (status === 403) expect(errorOf(answer), path).to.equal('403 ERR_DASHBOARD_TOKEN')
        else expect(answer.status, path).not.to.equal(403)
      }
    }
  })

  it('stays the same for a browser that has one, on the page, in snapshots and in streams', async () => {
    const { ask, stream } = await mount()
    const page = await ask('/')
    const cookie = String(page.headers['set-cookie']?.[0]?.split(';')[0])
    const snapshot = await ask('/api/snapshot', { headers: { cookie } })
    const events = await stream({ cookie })
    expect(`registry_cache_token=${snapshot.json<Snapshot>().token}`).to.equal(cookie)
    expect(`registry_cache_token=${(await events.next<Snapshot>('snapshot')).token}`).to.equal(cookie)
    expect([snapshot.headers['set-cookie'], events.headers['set-cookie']]).to.deep.equal([undefined, undefined])
  })

  it('is in a cookie that no script reads, no other site sends, and that goes to the dashboard alone', async () => {
    const { ask } = await mount()
    const attributes = (answer: Answer): string[] => (answer.headers['set-cookie']?.[0] ?? '').split('; ').slice(1)
    expect(attributes(await ask('/'))).to.deep.equal(['HttpOnly', 'SameSite=Strict'])
    const overTls = await ask('/', { headers: { 'x-forwarded-proto': 'https' } })
    expect(attributes(overTls)).to.deep.equal(['HttpOnly', 'SameSite=Strict', 'Secure'])
  })

  it('leaves the cookies of a session alone', async () => {
    const { ask } = await mount({
      before: (app) =>
        app.use((_req, res, next) => {
          res.setHeader('Set-Cookie', 'session=1')
          next()
        }),
    })
    const cookies = (await ask('/')).headers['set-cookie'] ?? []
    expect(cookies.map((line) => line.split('=')[0])).to.deep.equal(['session', 'registry_cache_token'])
  })
})

forEachExpress((_name, framework) => {
  describe('the body of a POST', () => {
    const mount = dashboards()

    it('is JSON and nothing that a form could send', async () => {
      const { post } = await mount({ framework })
      for (const type of [
        'text/plain',
        'application/x-www-form-urlencoded',
        'multipart/form-data',
        'application/jsonp',
        '',
      ]) {
        const options: RequestOptions = { headers: { 'content-type': type } }
        expect(errorOf(await post('/api/invalidate', '{"all":true}', options)), type).to.equal(
          '415 ERR_DASHBOARD_REQUEST',
        )
      }
      const options = { headers: { 'content-type': 'application/json; charset=utf-8' } }
      expect((await post('/api/invalidate', '{"all":true}', options)).status).to.equal(200)
    })

    it('is refused with 400 when it is broken or no object', async () => {
      const { post } = await mount({ framework })
      const headers = { 'content-type': 'application/json' }
      for (const body of ['', '{', 'null', '[]', '"all"', '{"all":true}}']) {
        expect(errorOf(await post('/api/invalidate', body, { headers })), body).to.equal('400 ERR_DASHBOARD_REQUEST')
      }
    })

    it('is read no further than its bound, whether it says its length or not', async () => {
      const { post } = await mount({ framework })
      const body = JSON.stringify({ type: 'x'.repeat(MAX_BODY_BYTES) })
      const json = { 'content-type': 'application/json' }
      const told = await post('/api/invalidate', body, { headers: json })
      const untold = await post('/api/invalidate', body, { headers: { ...json, 'transfer-encoding': 'chunked' } })
      for (const answer of [told, untold]) {
        expect([errorOf(answer), answer.headers.connection]).to.deep.equal(['413 ERR_DASHBOARD_REQUEST', 'close'])
      }
    })

    it('may have been read by a parser of the application before', async () => {
      const parsers = [
        framework.json(),
        framework.raw({ type: '*/*' }),
        framework.text({ type: '*/*' }),
        express.urlencoded({ extended: true }),
      ]
      for (const parser of parsers) {
        const { post } = await mount({ framework, before: (app) => app.use(parser) })
        expect((await post('/api/invalidate', { type: 'tools' })).json()).to.deep.include({ target: 'tools' })
      }
    })

    it('is missed with a clear word when something before has swallowed it', async () => {
      const { post } = await mount({
        framework,
        before: (app) => app.use((req, _res, next) => void req.resume().once('end', next)),
      })
      expect(errorOf(await post('/api/invalidate', { type: 'tools' }))).to.equal('400 ERR_DASHBOARD_REQUEST')
    })
  })
})
