/*
 * Who may see the page and who can use it: strangers and other sites are kept out; keyboards, small screens, screen readers and
 * either colour scheme are not.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { expect } from 'chai'
import type { Page } from 'playwright-core'
import { startBrowser, type TestBrowser } from '../helpers/browser.ts'
import { type Listening, listen } from '../helpers/http.ts'
import { type DashboardServer, HAS_VISIBLE_FOCUS, live, nth, startDashboards, stopAll, tabTo, text } from './fixture.ts'

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

interface Finding {
  readonly id: string
  readonly help: string
  readonly where: readonly string[]
}

async function findings(page: Page): Promise<Finding[]> {
  await page.evaluate(AXE)
  const found = await page.evaluate(
    `axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }).then(({ violations }) =>
      violations.map(({ id, help, nodes }) => ({ id, help, where: nodes.map((node) => node.target.join(' ') + ': ' + node.failureSummary) })))`,
  )
  return found as Finding[]
}

describe('Who may see the dashboard, and who can', function () {
  this.timeout(90_000)
  let browser: TestBrowser

  before(async () => {
    browser = await startBrowser()
  })
  after(() => browser.close())
  afterEach(stopAll)

  /** With something in every list. */
  async function busyServer(): Promise<DashboardServer> {
    const { servers } = await startDashboards(2)
    const [server, other] = [nth(servers), nth(servers, 1)]
    for (const path of ['/tools', '/tools?page=2', '/prompts', '/servers', '/tools']) await server.get(path)
    await server.get('/mine', { authorization: 'Bearer x' })
    await other.post('/resources')
    return server
  }

  it('is shown to nobody whom authorize does not admit', async () => {
    const { servers } = await startDashboards(1, { session: 'open-sesame' })
    const { page, close } = await browser.open(nth(servers).url)
    const shown = await page.locator('body').innerText()
    expect(shown).to.contain('ERR_DASHBOARD_FORBIDDEN')
    expect(shown).to.not.contain('Registry cache')
    await close(/403|favicon/)
  })

  it('can not be used, read or framed by a page of another site', async () => {
    const { servers } = await startDashboards(1)
    const server = nth(servers)
    const stranger: Listening = await listen((_req, res) => {
      res.setHeader('Content-Type', 'text/html')
      res.end(`<title>Stranger</title><iframe src="${server.url}"></iframe>`)
    })
    const visitor = await browser.open(server.url)
    await live(visitor.page)
    // The same browser, with the cookie that the dashboard has set.
    const page = await visitor.page.context().newPage()
    await page.goto(`http://localhost:${stranger.port}/`)
    const outcome = (init: string): Promise<unknown> =>
      page.evaluate(`fetch('${server.url}api/invalidate', ${init}).then((res) => res.status, () => 'refused')`)
    const body = `body: '{"all":true}'`
    expect(await outcome(`{ method: 'POST', credentials: 'include', ${body} }`)).to.equal('refused')
    expect(await outcome(`{ method: 'POST', mode: 'no-cors', credentials: 'include', ${body} }`)).to.be.oneOf([
      'refused',
      0,
    ])
    const withToken = `{ method: 'POST', credentials: 'include', headers: { 'X-CSRF-Token': 'x', 'Content-Type': 'application/json' }, ${body} }`
    expect(await outcome(withToken)).to.equal('refused')
    const read = `fetch('${server.url}api/snapshot', { credentials: 'include' }).then((res) => res.text(), () => 'refused')`
    expect(await page.evaluate(read)).to.equal('refused')
    const framed = page.frames().find((frame) => frame !== page.mainFrame())
    expect(await framed?.content()).to.not.contain('Registry cache')
    expect((await server.process.call('stats')).invalidations).to.equal(0)

    // From its own page a request without the token is refused as well.
    const own = `fetch('api/invalidate', { method: 'POST', headers: { 'Content-Type': 'application/json' }, ${body} }).then((res) => res.status)`
    expect(await visitor.page.evaluate(own)).to.equal(403)
    expect((await server.process.call('stats')).invalidations).to.equal(0)
    await visitor.close(/403/)
    await stranger.close()
  })

  it('can be used with the keyboard alone, and shows where the focus is', async () => {
    const server = await busyServer()
    const { page, close } = await browser.open(server.url)
    await live(page)
    const seen = async (): Promise<void> => {
      expect(await page.evaluate(HAS_VISIBLE_FOCUS), 'the focus can be seen').to.equal(true)
    }
    await tabTo(page, /^Skip to the figures/)
    await seen()
    await page.keyboard.press('Enter')
    await tabTo(page, /^5 min/)
    await seen()
    await page.keyboard.press('ArrowRight')
    expect(await page.getByLabel('15 min').isChecked()).to.equal(true)
    await tabTo(page, /^Hits/)
    await seen()
    await page.keyboard.press('Enter')
    await text(page, '#types-body tr', /^(tools|prompts|servers)/)
    expect(await page.locator('#types-table th[aria-sort=descending]').innerText()).to.match(/^Hits/)

    await tabTo(page, /^Invalidate tools/)
    await seen()
    await page.keyboard.press('Enter')
    await tabTo(page, /^Invalidate tools/)
    await page.keyboard.press('Enter')
    await text(page, '#notice-text', /^Invalidated tools/)
    expect(await page.evaluate('document.activeElement.getAttribute("aria-label")')).to.equal('Invalidate tools')

    await tabTo(page, /^Filter/)
    await seen()
    await page.keyboard.type('POST /resources')
    await text(page, '#feed-count', /^1 of the last 2/)

    await tabTo(page, /^Search/)
    await page.keyboard.type('prompts')
    await text(page, '#entries-note', /1 that match/)
    await tabTo(page, /^Preview .*prompts/)
    await seen()
    await page.keyboard.press('Enter')
    await text(page, '#preview-body', /prompt-1/)
    await page.keyboard.press('Escape')
    await tabTo(page, /^Evict .*prompts/)
    await page.keyboard.press('Enter')
    await text(page, '#notice-text', /^Evicted/)
    expect(await page.evaluate('document.activeElement.id'), 'the focus did not fall out of the page').to.equal(
      'entries-search',
    )

    await tabTo(page, /^URL/)
    await page.keyboard.type('/prompts')
    await page.keyboard.press('Enter')
    await text(page, '#explain-result', /MISS/)
    await close()
  })

  for (const colorScheme of ['light', 'dark'] as const) {
    for (const width of [1280, 360]) {
      it(`has nothing for axe to complain of, ${colorScheme} at ${width} px`, async () => {
        const server = await busyServer()
        const { page, close } = await browser.open(server.url, { colorScheme, viewport: { width, height: 800 } })
        await live(page)
        await page.locator('#entries').scrollIntoViewIfNeeded()
        await page.locator('#entries-body > tr').first().waitFor()
        await page.locator('#explain-url').fill('/tools?page=2')
        await page.getByRole('button', { name: 'Explain', exact: true }).click()
        await text(page, '#explain-result', /Stamps/)
        expect(await findings(page)).to.deep.equal([])
        await page.evaluate('scrollTo(0, 0)')
        await page.getByRole('button', { name: 'Invalidate…' }).click()
        expect(await findings(page)).to.deep.equal([])
        await close()
      })
    }
  }

  it('is dark where the system is, and changes with it', async () => {
    const server = await busyServer()
    const { page, close } = await browser.open(server.url, { colorScheme: 'light' })
    await live(page)
    const background = (): Promise<unknown> => page.evaluate('getComputedStyle(document.body).backgroundColor')
    const light = await background()
    await page.emulateMedia({ colorScheme: 'dark' })
    expect(await background()).to.not.equal(light)
    // Drawn anew in the colours of the dark, or axes could not be read.
    await page.locator('#chart-requests canvas').waitFor()
    expect(await page.locator('#chart-requests canvas').count()).to.equal(1)
    await close()
  })

  for (const width of [360, 768]) {
    it(`is not scrolled sideways at ${width} px`, async () => {
      const server = await busyServer()
      const { page, close } = await browser.open(server.url, { viewport: { width, height: 780 } })
      await live(page)
      await page.locator('#entries').scrollIntoViewIfNeeded()
      await page.locator('#entries-body > tr').first().waitFor()
      await page.getByRole('button', { name: /^Explain .*page=2/ }).click()
      await text(page, '#explain-result', /Stamps/)
      expect(await page.evaluate('document.documentElement.scrollWidth')).to.equal(width)
      await page.getByRole('button', { name: 'Invalidate tools' }).click()
      const box = await page.getByRole('dialog').boundingBox()
      expect(box?.x).to.be.at.least(0)
      expect((box?.x ?? 0) + (box?.width ?? 0)).to.be.at.most(width)
      await close()
    })
  }

  it('moves nothing about while the figures change', async () => {
    const server = await busyServer()
    const { page, close } = await browser.open(server.url)
    await live(page)
    await text(page, '#kpi-requests-note', /requests since/)
    await page.evaluate(`
      window.shifts = 0
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts += entry.value
      }).observe({ type: 'layout-shift' })
    `)
    for (let i = 0; i < 150; i++) await server.get(`/tools?page=${i % 5}`)
    await text(page, '#kpi-requests-note', /15\d requests/)
    expect(await page.evaluate('window.shifts')).to.be.below(0.01)
    await close()
  })
})
