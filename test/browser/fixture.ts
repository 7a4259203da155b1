/*
 * Dashboards of workers that share a Redis, each in a process of its own, and what tests do with their pages again and again.
 */
import type { Page } from 'playwright-core'
import { request } from '../helpers/http.ts'
import { type RedisServer, startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'
import { forkWorker, type Worker } from '../helpers/worker.ts'
import type { DashboardWorker, DashboardWorkerConfig } from './dashboard-worker.ts'

export interface DashboardServer {
  readonly process: Worker<DashboardWorker>
  readonly port: number
  /** Of the page. */
  readonly url: string
  get(path: string, headers?: Readonly<Record<string, string>>): Promise<void>
  post(path: string): Promise<void>
}

const running: (() => Promise<unknown>)[] = []

/** Ends what `startServer` and `startDashboards` have started; for `afterEach`, so that a test that fails leaves nothing. */
export async function stopAll(): Promise<void> {
  for (const stop of running.splice(0).reverse()) await stop()
}

/** `stopAll` ends it. */
export async function startServer(config: DashboardWorkerConfig): Promise<DashboardServer> {
  const process = await forkWorker<DashboardWorker>(new URL('./dashboard-worker.ts', import.meta.url))
  running.push(() => process.stop())
  const port = await process.call('open', config)
  return {
    process,
    port,
    url: `http://127.0.0.1:${port}/_cache/`,
    async get(path, headers = {}) {
      await request(port, { path, headers })
    },
    async post(path) {
      await request(port, { method: 'POST', path })
    },
  }
}

export interface Dashboards {
  readonly redis: RedisServer
  readonly servers: readonly DashboardServer[]
}

/** `stopAll` ends them. */
export async function startDashboards(count: number, config: DashboardWorkerConfig = {}): Promise<Dashboards> {
  const redis = await startRedis()
  running.push(() => redis.stop())
  const servers: DashboardServer[] = []
  for (let i = 0; i < count; i++) servers.push(await startServer({ redisPort: redis.port, ...config }))
  return { redis, servers }
}

/** The first or the so-maniest; fails instead of giving undefined. */
export function nth<T>(items: readonly T[], index = 0): T {
  const item = items[index]
  if (item === undefined) throw new Error(`there is no item ${index} among ${items.length}`)
  return item
}

export async function live(page: Page): Promise<void> {
  await page.locator('#state[data-state=live]').waitFor()
}

/** Waits until the text of an element is as wanted, and says what it was if it never is. */
export async function text(page: Page, selector: string, wanted: RegExp, deadlineMs = 20_000): Promise<string> {
  let last = ''
  await until(
    async () => {
      last = (await page.locator(selector).first().innerText()).replaceAll('\u00a0', ' ')
      return wanted.test(last)
    },
    { deadlineMs, everyMs: 50, describe: () => `${selector} to be ${wanted}, which is ${JSON.stringify(last)}` },
  )
  return last
}

/** Presses Tab until what has the focus is called so. Fails after a round through the page. */
export async function tabTo(page: Page, name: RegExp): Promise<void> {
  const seen: string[] = []
  for (let i = 0; i < 150; i++) {
    await page.keyboard.press('Tab')
    const focused = String(await page.evaluate(NAME_OF_FOCUSED))
    if (name.test(focused)) return
    seen.push(focused)
  }
  throw new Error(`Tab never came to ${name}; it came to: ${seen.join(' | ')}`)
}

const NAME_OF_FOCUSED = `(() => {
  const node = document.activeElement
  if (!node || node === document.body) return ''
  const label = node.labels && node.labels[0] ? node.labels[0].innerText : ''
  return node.getAttribute('aria-label') || label || node.innerText || node.id
})()`

/** Whether the focus can be seen where it is: an outline on it, or beside a control that is drawn by its neighbour. */
export const HAS_VISIBLE_FOCUS = `(() => {
  const node = document.activeElement
  return [node, node.nextElementSibling].some((each) => {
    if (!each) return false
    const { outlineStyle, outlineWidth } = getComputedStyle(each)
    return outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2
  })
})()`

/** Pixels of a chart that are painted in a colour of the style sheet, by columns of the canvas that hold some. */
export async function paintedColumns(page: Page, chart: string): Promise<number> {
  return Number(
    await page.evaluate(`(() => {
      const canvas = document.querySelector('${chart} canvas')
      const { width, height } = canvas
      const copy = Object.assign(document.createElement('canvas'), { width, height })
      const probe = copy.getContext('2d', { willReadFrequently: true })
      probe.drawImage(canvas, 0, 0)
      const { data } = probe.getImageData(0, 0, width, height)
      probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue('--hits').trim()
      probe.fillRect(0, 0, 1, 1)
      const wanted = probe.getImageData(0, 0, 1, 1).data
      let columns = 0
      for (let x = 0; x < width; x++) {
        for (let y = 0; y < height; y++) {
          const at = 4 * (y * width + x)
          if ([0, 1, 2].every((i) => Math.abs(data[at + i] - wanted[i]) < 24) && data[at + 3] > 200) {
            columns++
            break
          }
        }
      }
      return columns
    })()`),
  )
}
