/*
 * Writes docs/images/dashboard-*.png: two workers on a real Redis, a minute of traffic with a write now and then, and the page
 * as it then is. `npm run screenshots`; it takes under two minutes. Fonts are those of the machine: Inter and JetBrains Mono
 * where they are installed (Debian: fonts-inter, fonts-jetbrains-mono).
 */
import { mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { startBrowser, type TestBrowser } from '../helpers/browser.ts'
import { type DashboardServer, live, nth, startDashboards, stopAll, text } from './fixture.ts'

const TRAFFIC_MS = 75_000
const CLIENTS = 6
const MAX_BYTES = 300_000
const folder = fileURLToPath(new URL('../../docs/images/', import.meta.url))

const READS = ['/tools', '/tools', '/tools', '/servers', '/prompts', '/resources', '/gateways', '/catalog', '/agents']

function one<T>(items: readonly T[]): T {
  return nth(items, Math.floor(Math.random() * items.length))
}

async function ask(server: DashboardServer): Promise<void> {
  const dice = Math.random()
  if (dice < 0.002) return await server.post(one(['/tools', '/prompts', '/gateways', '/agents']))
  if (dice < 0.03) return await server.get('/mine', { authorization: 'Bearer of-somebody' })
  if (dice < 0.09) return await server.get('/teams', { 'x-team': one(['red', 'blue', 'green']) })
  // Most ask for the first pages.
  await server.get(`${one(READS)}?page=${1 + Math.floor(Math.random() ** 4 * 12)}`)
}

async function client(servers: readonly DashboardServer[], untilMs: number): Promise<void> {
  while (performance.now() < untilMs) {
    await ask(Math.random() < 0.6 ? nth(servers) : nth(servers, 1))
    // A tide, so that the chart has something to show.
    const tide = 1.6 + Math.sin(performance.now() / 9_000)
    await pause((20 + Math.random() * 40) / tide)
  }
}

interface Shot {
  readonly name: string
  readonly colorScheme: 'dark' | 'light'
  readonly width: number
  readonly height: number
  readonly scale: number
}

const SHOTS: readonly Shot[] = [
  { name: 'dashboard-dark', colorScheme: 'dark', width: 1440, height: 1568, scale: 1 },
  { name: 'dashboard-light', colorScheme: 'light', width: 1440, height: 1568, scale: 1 },
  { name: 'dashboard-narrow', colorScheme: 'dark', width: 360, height: 900, scale: 2 },
]

async function take(
  browser: TestBrowser,
  url: string,
  { name, colorScheme, width, height, scale }: Shot,
): Promise<void> {
  const { page, close } = await browser.open(url, {
    colorScheme,
    viewport: { width, height },
    deviceScaleFactor: scale,
  })
  await live(page)
  await page.getByLabel('1 min').check()
  await text(page, '#kpi-hit-rate', /%/)
  await text(page, '#fleet-note', /2 workers/)
  const path = join(folder, `${name}.png`)
  await page.screenshot({ path })
  await close()
  const { size } = statSync(path)
  if (size > MAX_BYTES) throw new Error(`${path} has ${size} bytes, more than ${MAX_BYTES}`)
  console.log(`${path}: ${size} bytes`)
}

const browser = await startBrowser()
try {
  mkdirSync(folder, { recursive: true })
  const { servers } = await startDashboards(2, { handlerMs: 8 })
  const endMs = performance.now() + TRAFFIC_MS
  const traffic = Promise.all(Array.from({ length: CLIENTS }, () => client(servers, endMs)))
  await pause(TRAFFIC_MS - 14_000)
  for (const shot of SHOTS) await take(browser, nth(servers).url, shot)
  await traffic
} finally {
  await stopAll()
  await browser.close()
}
