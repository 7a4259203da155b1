/*
 * What others can put on the page: markup in addresses, headers, bodies and tags, in what a stranger writes into the same Redis;
 * and names that every object has. All of it is shown as the text that it is, in a real browser, behind helmet() and compression().
 */
import { expect } from 'chai'
import compression from 'compression'
import helmet from 'helmet'
import { cacheDashboard } from '../../lib/dashboard/index.ts'
import { createRegistryCache, type RegistryCache } from '../../lib/index.ts'
import { channelOf, spaceOf, workerKey, workersKey } from '../../lib/tiers/keys.ts'
import { startBrowser, type TestBrowser } from '../helpers/browser.ts'
import { express5, type Listening, listen, request } from '../helpers/http.ts'
import { type RedisServer, startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'
import { collecting } from '../http/fixture.ts'
import { live, text } from './fixture.ts'

const MARKUP = '"><img/src=x/onerror=window.hacked=1><script>window.hacked=1</script>'
const MEMBERS = ['__proto__', 'constructor', 'toString', 'hasOwnProperty']

describe('The dashboard of a cache that others put markup into', function () {
  this.timeout(90_000)
  let browser: TestBrowser
  let redis: RedisServer
  let cache: RegistryCache
  let listening: Listening

  before(async () => {
    browser = await startBrowser()
  })
  after(() => browser.close())

  beforeEach(async () => {
    redis = await startRedis()
    cache = createRegistryCache({ redis: redis.client(), logger: collecting([]) })
    await cache.start()
    const app = express5()
    app.use(helmet(), compression())
    app.use('/orgs/:org/_cache', cacheDashboard(cache, { authorize: 'local', mayPreview: true }))
    const tags = (req: { readonly query?: unknown }): string[] => [`tag:${JSON.stringify(req.query)}`, ...MEMBERS]
    for (const type of ['tools', ...MEMBERS]) {
      const cached = cache.middleware({ type, scope: 'public', ttl: 600, tags })
      app.get(`/${type}`, cached, (_req, res) => {
        res.setHeader('X-Note', MARKUP)
        res.json({ note: MARKUP, __proto__: { hacked: 1 }, 'a\u202e': '\u0000\u2028</pre>' })
      })
    }
    const cached = cache.middleware({ type: 'tools', scope: 'public', ttl: 600 })
    const deep = `${'['.repeat(30_000)}${']'.repeat(30_000)}`
    app.get('/deep', cached, (_req, res) => void res.type('json').send(deep))
    listening = await listen(app)
  })

  afterEach(async () => {
    await listening.close()
    await cache.stop()
    await redis.stop()
  })

  async function infest(): Promise<void> {
    const stranger = redis.client()
    await stranger.hset(workerKey('mcpgw:', 'stranger'), { host: MARKUP, version: MARKUP, node: MARKUP, pid: '1e300' })
    await stranger.zadd(workersKey('mcpgw:'), Date.now() * 1000, 'stranger')
    await stranger.expire(workerKey('mcpgw:', 'stranger'), 600)
    for (const [i, cause] of [MARKUP, `GET:${MARKUP}`, ...MEMBERS].entries()) {
      const said = `${MARKUP} ${encodeURIComponent(cause)} tag:${i}${MARKUP}`
      await stranger.publish(channelOf('mcpgw:'), `epoch ${i + 1} ${spaceOf(stranger)} ${said}`)
    }
    for (const type of ['tools', ...MEMBERS]) {
      for (const path of [`/${type}`, `/${type}`, `/${type}?q=${MARKUP}`]) await request(listening, { path })
    }
  }

  it('shows it as text, runs none of it, and goes on', async () => {
    await until(() => cache.stats().subscribed, { deadlineMs: 20_000 })
    const { page, close } = await browser.open(`http://localhost:${listening.port}/orgs/7/_cache`)
    await live(page)
    await infest()

    await text(page, '#fleet-body', /<script>window\.hacked=1<\/script>/)
    await text(page, '#feed-list', /GET "><img\/src=x/)
    const causes = await page.locator('#feed-list .cause').allInnerTexts()
    expect(causes).to.include.members([MARKUP, ...MEMBERS])
    for (const name of MEMBERS) await page.locator('#types-body th').getByText(name, { exact: true }).waitFor()
    await text(page, '#epochs-body', /<script>/)

    await page.locator('#entries').scrollIntoViewIfNeeded()
    const search = page.locator('#entries-search')
    await search.fill(MARKUP.slice(0, 20))
    await text(page, '#entries-body', /\/tools\?q="><img/)
    const row = page.locator('#entries-body tr', { hasText: '/tools?q=' })
    await row.getByRole('button', { name: /^Preview/ }).click()
    await text(page, '#preview-body', /<\/script>/)
    await text(page, '#preview-headers', /"><img\/src=x/)
    await page.locator('#preview-close').click()
    await row.getByRole('button', { name: /^Explain/ }).click()
    await text(page, '#explain-result', /HIT/)
    await page.locator('#explain-url').fill('nonsense<b>')
    await page.locator('#explain-form').getByRole('button').first().click()
    await text(page, '#explain-result', /nonsense<b>|path/)
    await row.getByRole('button', { name: /^Evict/ }).click()
    await text(page, '#notice-text', /Evicted/)

    await page.locator('#invalidate-open').click()
    await page.locator('#what-tag').check()
    await page.locator('#invalidate-tag').fill(`x${MARKUP}`)
    await page.locator('#invalidate-submit').click()
    await text(page, '#notice-text', /Invalidated the tag x"><img/)

    expect(await page.evaluate('window.hacked')).to.equal(undefined)
    expect(await page.evaluate('({}).hacked')).to.equal(undefined)
    const made = `document.querySelectorAll('[src=x], [onerror], iframe, script:not([src])').length`
    expect(await page.evaluate(made)).to.equal(0)
    await close(/\b400\b/)
  })

  it('shows a body of brackets alone without being busy with it', async () => {
    await request(listening, { path: '/deep' })
    const { page, close } = await browser.open(`http://localhost:${listening.port}/orgs/7/_cache`)
    await live(page)
    await page.locator('#entries').scrollIntoViewIfNeeded()
    await page.getByRole('button', { name: /^Preview/ }).click()
    await text(page, '#preview-note', /58\.6 KiB/)
    const shown = Number(await page.evaluate("document.querySelector('#preview-body').textContent.length"))
    expect(shown).to.be.within(60_000, 10_000_000)
    await close()
  })
})
