/*
 * What can be done on the page: filters, explanations, invalidations, evictions; and that each says what it did.
 */
import { expect } from 'chai'
import { startBrowser, type TestBrowser } from '../helpers/browser.ts'
import { until } from '../helpers/until.ts'
import { type DashboardServer, live, nth, startDashboards, startServer, stopAll, text } from './fixture.ts'

describe('What can be done on the dashboard', function () {
  this.timeout(90_000)
  let browser: TestBrowser

  before(async () => {
    browser = await startBrowser()
  })
  after(() => browser.close())
  afterEach(stopAll)

  async function two(): Promise<{ first: DashboardServer; second: DashboardServer }> {
    const { servers } = await startDashboards(2)
    return { first: nth(servers), second: nth(servers, 1) }
  }

  it('invalidates a type with those that depend on it, and the page of another worker tells who did', async () => {
    const { first, second } = await two()
    await first.get('/tools')
    await second.get('/tools')
    const here = await browser.open(first.url)
    const there = await browser.open(second.url)
    await Promise.all([live(here.page), live(there.page)])
    const worker = await here.page.locator('#about-worker').innerText()
    await text(there.page, '#types-body tr:has-text("tools") td:nth-child(6)', /^0$|^1$/)

    await here.page.getByRole('button', { name: 'Invalidate gateways' }).click()
    const dialog = here.page.getByRole('dialog', { name: 'Invalidate' })
    await dialog.waitFor()
    await text(
      here.page,
      '#invalidate-words',
      /of agents|of catalog, prompts, resources, servers and tools, which depend on it/,
    )
    expect(await first.process.call('stats').then(({ invalidations }) => invalidations)).to.equal(0)
    await dialog.getByRole('button', { name: 'Invalidate gateways' }).click()
    await text(
      here.page,
      '#notice-text',
      /^Invalidated gateways, and with it .*tools.*Redis and all workers were told\.$/,
    )
    await dialog.waitFor({ state: 'hidden' })

    const line = there.page.locator('#feed-list > li').first()
    await line.waitFor()
    await text(there.page, '#feed-list > li', /registry:gateways.*tools.*API call/s)
    await text(there.page, '#feed-list > li', new RegExp(worker))
    await text(here.page, '#feed-list > li', /this worker/)
    await here.close()
    await there.close()
  })

  it('does nothing when the question is answered with no', async () => {
    const { servers } = await startDashboards(1)
    const server = nth(servers)
    const { page, close } = await browser.open(server.url)
    await live(page)
    await page.getByRole('button', { name: 'Invalidate…' }).click()
    await page.getByLabel('Everything').check()
    await text(page, '#invalidate-words', /load of an empty cache/)
    await page.getByRole('button', { name: 'Cancel' }).click()
    await page.getByRole('button', { name: 'Invalidate…' }).click()
    await page.keyboard.press('Escape')
    expect((await server.process.call('stats')).invalidations).to.equal(0)

    await page.getByRole('button', { name: 'Invalidate…' }).click()
    await page.getByRole('button', { name: 'Invalidate everything' }).click()
    await text(page, '#notice-text', /^Invalidated everything\./)
    expect((await server.process.call('stats')).invalidations).to.be.above(0)
    await close()
  })

  it('invalidates a tag, and shows what is wrong with a malformed one', async () => {
    const { servers } = await startDashboards(1)
    const { page, close } = await browser.open(nth(servers).url)
    await live(page)
    await page.getByRole('button', { name: 'Invalidate…' }).click()
    await page.getByLabel('A tag').check()
    await page.getByLabel('Tag', { exact: true }).fill('tool:@epoch')
    await page.getByRole('button', { name: 'Invalidate the tag' }).click()
    await text(page, '#invalidate-failure', /tag/i)
    await page.getByLabel('Tag', { exact: true }).fill('tool_lookup:search issues')
    await page.getByRole('button', { name: 'Invalidate the tag' }).click()
    await text(
      page,
      '#notice-text',
      /^Invalidated the tag tool_lookup:search issues\. Redis and all workers were told\.$/,
    )
    // The refused tag was a 400, which browsers put on their console.
    await close(/400/)
  })

  it('says so when Redis could not be told', async () => {
    const { redis, servers } = await startDashboards(1)
    const { page, close } = await browser.open(nth(servers).url)
    await live(page)
    await redis.kill()
    await text(page, '#redis-up', /^Down$/)
    await page.getByRole('button', { name: 'Invalidate tools' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Invalidate tools' }).click()
    await text(page, '#notice-text', /Redis could not be told yet/)
    await text(page, '#redis-pending', /to be told/)
    await redis.restart()
    await text(page, '#redis-up', /^Up$/)
    await text(page, '#redis-pending', /^None$/)
    await close()
  })

  it('filters invalidations by words and by cause', async () => {
    const { first, second } = await two()
    const { page, close } = await browser.open(first.url)
    await live(page)
    await first.post('/tools')
    await second.post('/prompts')
    await first.process.call('invalidate', { tag: 'tool_lookup:search' })
    const lines = page.locator('#feed-list > li')
    await until(async () => (await lines.count()) === 3, { deadlineMs: 20_000, describe: 'three lines' })
    await page.getByLabel('Filter').fill('post /prompts')
    expect(await lines.count()).to.equal(1)
    await text(page, '#feed-list > li', /registry:prompts/)
    await text(page, '#feed-count', /1 of the last 3/)
    await page.getByLabel('Filter').fill('servers')
    expect(await lines.count(), 'those that servers fell with').to.equal(2)
    await page.getByLabel('Filter').fill('')
    await page.getByLabel('Cause').selectOption('api')
    await text(page, '#feed-list > li', /tool_lookup:search/)
    expect(await lines.count()).to.equal(1)
    await page.getByLabel('Filter').fill('nobody')
    await text(page, '#feed-empty', /No invalidation matches/)
    await close()
  })

  it('finds entries by path and type, shows a body, and evicts here and in Redis', async () => {
    const { first, second } = await two()
    for (const path of ['/tools?page=1', '/tools?page=2', '/prompts', '/teams'])
      await first.get(path, { 'x-team': 'red' })
    await second.get('/tools?page=2')
    const { page, close } = await browser.open(first.url)
    await live(page)
    const rows = page.locator('#entries-body > tr')
    await page.locator('#entries').scrollIntoViewIfNeeded()
    await until(async () => (await rows.count()) === 4, { deadlineMs: 20_000, describe: 'four entries' })
    await page.locator('#entries-search').fill('page=2')
    await until(async () => (await rows.count()) === 1, { deadlineMs: 20_000, describe: 'one entry' })
    await text(page, '#entries-note', /1 that match, among 4 entries/)
    await page.locator('#entries-search').fill('')
    await page.locator('#entries-type').selectOption('servers')
    await text(page, '#entries-body > tr', /\/teams/)
    const scope = await text(page, '#entries-body > tr td:nth-child(7)', /^[0-9a-f]{8}$/)
    expect(scope).to.not.contain('red')
    await page.locator('#entries-type').selectOption('tools')
    await text(page, '#entries-note', /2 that match/)

    await page.getByRole('button', { name: /^Preview .*page=2/ }).click()
    await text(page, '#preview-body', /"name": "tool-21"/)
    await page.keyboard.press('Escape')

    const before = (await first.process.call('stats')).entries
    await page.getByRole('button', { name: /^Evict .*page=2/ }).click()
    await text(
      page,
      '#notice-text',
      /^Evicted mcpgw:registry:tools:[0-9a-f]{32} from the memory of this worker and from Redis\. Other workers/,
    )
    await until(async () => (await rows.count()) === 1, { deadlineMs: 20_000, describe: 'the row to go' })
    expect((await first.process.call('stats')).entries).to.equal(before - 1)
    await close()
  })

  it('explains a request: what would become of it, why, and by which stamps', async () => {
    const { servers } = await startDashboards(1)
    const server = nth(servers)
    await server.get('/tools?page=3')
    const { page, close } = await browser.open(server.url)
    await live(page)
    await page.locator('#entries').scrollIntoViewIfNeeded()
    await page.getByRole('button', { name: /^Explain .*page=3/ }).click()
    await text(page, '#explain-result', /HIT.*answered from this worker’s memory.*registry:tools.*current/s)
    await server.get('/teams', { 'x-team': 'red' })
    await page.locator('#explain-url').fill('/teams')
    await page.getByLabel('Headers, one a line').fill('X-Team: red')
    await server.process.call('invalidate', { tag: 'team:list' })
    await page.getByRole('button', { name: 'Explain', exact: true }).click()
    await text(page, '#explain-result', /MISS.*invalidated.*overtaken/s)
    await page.locator('#explain-url').fill('/mine')
    await page.getByRole('button', { name: 'Explain', exact: true }).click()
    await text(page, '#explain-result', /can not be found by its URL: choose the route/)
    await server.get('/mine')
    await page.getByLabel('Headers, one a line').fill('Authorization: Bearer secret')
    await page.getByRole('button', { name: 'Explain', exact: true }).click()
    await text(page, '#explain-result', /BYPASS.*authorization.*no scope/s)
    await page.getByLabel('Headers, one a line').fill('no header at all')
    await page.getByRole('button', { name: 'Explain', exact: true }).click()
    await text(page, '#explain-result', /“no header at all” is no header/)
    // A path that no route has answered is a 400, which browsers put on their console.
    await close(/400/)
  })

  it('offers no more than is permitted', async () => {
    const server = await startServer({ mayInvalidate: false, mayPreview: false })
    await server.get('/tools')
    const { page, close } = await browser.open(server.url)
    await live(page)
    await page.getByText('Read only').waitFor()
    await page.locator('#entries').scrollIntoViewIfNeeded()
    await page.getByRole('button', { name: /^Explain \S* ?\/tools/ }).waitFor()
    expect(await page.getByRole('button', { name: /^Invalidate( |…|$)/ }).count()).to.equal(0)
    expect(await page.getByRole('button', { name: /Preview|Evict/ }).count()).to.equal(0)
    await close()
  })
})
