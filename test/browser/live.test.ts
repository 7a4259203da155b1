/*
 * What moves on the page: charts, figures, the connection that goes and comes back.
 */
import { expect } from 'chai'
import { startBrowser, type TestBrowser } from '../helpers/browser.ts'
import { until } from '../helpers/until.ts'
import { live, nth, paintedColumns, startDashboards, startServer, stopAll, text } from './fixture.ts'

/** What the browser itself says on its console when a server is gone. */
const GONE = /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_EMPTY_RESPONSE/

/** Counts the ticks in a stream of its own, and holds back frames when told to, as a browser does for a tab behind others. */
const COUNT_TICKS = `
  window.ticks = 0
  window.addEventListener('load', () => {
    new EventSource('api/events').addEventListener('tick', () => window.ticks++)
  })
  const frame = window.requestAnimationFrame.bind(window)
  window.held = undefined
  window.requestAnimationFrame = (run) => (window.held ? window.held.push(run) : frame(run))
`

describe('The dashboard while it is open', function () {
  this.timeout(90_000)
  let browser: TestBrowser

  before(async () => {
    browser = await startBrowser()
  })
  after(() => browser.close())
  afterEach(stopAll)

  it('draws what comes in, second by second', async () => {
    const { servers } = await startDashboards(1)
    const server = nth(servers)
    const { page, close } = await browser.open(server.url)
    await live(page)
    await page.getByText('No requests yet: ask for a cached route, and it draws here.').waitFor()
    const before = await paintedColumns(page, '#chart-requests')
    await page.getByLabel('1 min').check()
    const busy = { on: true }
    const load = (async () => {
      while (busy.on) await server.get('/tools')
    })()
    const first = await until(async () => (await paintedColumns(page, '#chart-requests')) > before + 4, {
      deadlineMs: 30_000,
    }).then(() => paintedColumns(page, '#chart-requests'))
    await until(async () => (await paintedColumns(page, '#chart-requests')) > first + 8, { deadlineMs: 30_000 })
    await until(async () => (await paintedColumns(page, '#chart-rate')) > 8, { deadlineMs: 30_000 })
    await text(page, '#now-hits', /^[1-9]/)
    await text(page, '#kpi-hit-rate', /%$/)
    await text(page, '#kpi-saved', /^\d/)
    await text(page, '#hit-p50', /µs|ms/)
    await text(page, '#handler-p99', /ms|s/)
    expect(await page.locator('#charts-empty').isVisible()).to.equal(false)
    busy.on = false
    await load
    await close()
  })

  it('says what to do where there is nothing to show yet', async () => {
    const server = await startServer({})
    const { page, close } = await browser.open(server.url)
    await live(page)
    await text(page, '#charts-empty', /ask for a cached route/)
    await text(page, '#types-empty', /cache\.middleware/)
    await text(page, '#feed-empty', /Nothing has been invalidated yet/)
    await text(page, '#redis-none', /Memory only.*Give the cache a Redis/s)
    await text(page, '#fleet-none', /This worker is alone/)
    await page.locator('#entries').scrollIntoViewIfNeeded()
    await text(page, '#entries-empty', /Ask for a cached route/)
    await text(page, '#why-empty', /No request was left out/)
    await close()
  })

  it('says that the server is gone, comes back by itself and shows the new one', async () => {
    const { redis, servers } = await startDashboards(2)
    const [first, second] = [nth(servers), nth(servers, 1)]
    for (let i = 0; i < 5; i++) await first.get('/tools')
    const { page, close } = await browser.open(first.url)
    await live(page)
    await text(page, '#kpi-requests-note', /5 requests/)
    const worker = await page.locator('#about-worker').innerText()

    await first.process.kill()
    await page.locator('#state[data-state=away]').waitFor()
    await text(page, '#away', /connection is lost.*figures are those of/s)
    await text(page, '#kpi-requests-note', /5 requests/)

    // While the page was away: it hears of this from the snapshot alone.
    await second.post('/prompts')
    const again = await startServer({ redisPort: redis.port, port: first.port })
    await again.get('/tools')
    await live(page)
    await text(page, '#kpi-requests-note', /1 request since/)
    expect(await page.locator('#about-worker').innerText()).to.not.equal(worker)
    expect(await page.locator('#away-bar').isVisible()).to.equal(false)
    await page.getByRole('button', { name: 'Invalidate tools' }).click()
    await page.getByRole('button', { name: 'Invalidate tools' }).last().click()
    await text(page, '#notice-text', /^Invalidated tools, and with it servers/)
    await close(GONE)
  })

  it('notices a server that keeps the connection and says nothing', async () => {
    const { servers } = await startDashboards(1)
    const server = nth(servers)
    const { page, close } = await browser.open(server.url)
    await live(page)
    server.process.freeze()
    await page.locator('#state[data-state=away]').waitFor()
    server.process.thaw()
    await live(page)
    await close(GONE)
  })

  it('says why when the server refuses it, and goes on once it is admitted again', async () => {
    const { servers } = await startDashboards(1, { session: 'open-sesame' })
    const server = nth(servers)
    const cookies = [{ name: 'session', value: 'open-sesame', url: server.url }]
    const { page, close } = await browser.open(server.url, { cookies })
    await live(page)
    await page.context().clearCookies({ name: 'session' })
    await server.process.call('hangUp')
    await page.locator('#state[data-state=refused]').waitFor()
    await text(page, '#away', /refuses this page: You may not see the dashboard/)
    await page.context().addCookies(cookies)
    await live(page)
    await close(/403|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE/)
  })

  it('stays as large as it is, however long it is open', async () => {
    const { servers } = await startDashboards(1, { speed: 60, handlerMs: 0 })
    const server = nth(servers)
    await server.process.call('invalidateMany', 250)
    const { page, close } = await browser.open(server.url, { before: COUNT_TICKS })
    await live(page)
    const ticks = async (): Promise<number> => Number(await page.evaluate('window.ticks'))
    const size = async (): Promise<number> => Number(await page.evaluate("document.getElementsByTagName('*').length"))
    const traffic = async (until: number): Promise<void> => {
      while ((await ticks()) < until) {
        await server.get('/tools')
        await server.get('/mine', { authorization: 'Bearer x' })
        await server.process.call('invalidateMany', 3)
      }
    }
    await traffic(100)
    const early = await size()
    await traffic(700)
    // An invalidation's line has a word more or less.
    expect(await size()).to.be.within(early - 40, early + 40)
    expect(await page.locator('#feed-list > li').count()).to.be.at.most(200)
    await close()
  })

  it('does no work in the background, and draws once when it is looked at again', async () => {
    const { servers } = await startDashboards(1, { speed: 40, handlerMs: 0 })
    const server = nth(servers)
    const { page, close } = await browser.open(server.url, { before: COUNT_TICKS })
    await live(page)
    await page.evaluate('window.held = []')
    const shown = await page.locator('#kpi-requests-note').innerText()
    for (let i = 0; i < 20; i++) await server.get('/tools')
    const from = Number(await page.evaluate('window.ticks'))
    await until(async () => Number(await page.evaluate('window.ticks')) > from + 200, { deadlineMs: 30_000 })
    expect(await page.evaluate('window.held.length')).to.equal(1)
    expect(await page.locator('#kpi-requests-note').innerText()).to.equal(shown)
    await page.evaluate('{ const held = window.held; window.held = undefined; for (const run of held) run(0) }')
    await text(page, '#kpi-requests-note', /20 requests/)
    await close()
  })
})
