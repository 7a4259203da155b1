/*
 * A real browser for tests of the dashboard's page: headless Chromium, driven by playwright-core, each with a new profile in the
 * temporary folder that is removed afterwards.
 *
 * It is looked for when this file is imported, before any test's time limit runs: CHROMIUM_PATH, then PATH, then where macOS has
 * Chrome, then, as root on Debian, it is installed. What is not there throws one line that says how to get it.
 */
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { fail, inPath, installFromDebian, isExecutable } from './programs.ts'
import { track } from './tracked.ts'

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
const ON_MACOS = '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** What runs in the page is text: these tests are compiled without the browser's types. */
const REPORT_VIOLATIONS = `document.addEventListener('securitypolicyviolation', (event) => {
  reportViolation(event.violatedDirective + ' forbids ' + event.blockedURI + ' (' + event.sourceFile + ':' + event.lineNumber + ')')
})`

const executablePath = locateBrowser()

function locateBrowser(): string {
  const given = process.env.CHROMIUM_PATH
  if (given !== undefined && given !== '') {
    return isExecutable(given) ? given : fail(`CHROMIUM_PATH is ${given}, which is no executable file`)
  }
  return (
    named() ??
    (isExecutable(ON_MACOS) ? ON_MACOS : undefined) ??
    installBrowser() ??
    fail('no Chromium found: `apt-get install chromium`, or set CHROMIUM_PATH to that of Chromium or Chrome')
  )
}

function installBrowser(): string | undefined {
  return installFromDebian('chromium', 'no Chromium found') ? named() : undefined
}

function named(): string | undefined {
  return NAMES.map(inPath).find((path) => path !== undefined)
}

export interface TestPage {
  readonly page: Page
  /** What the browser complained about: errors on the console, violations of the policy, exceptions, answers that never came. */
  readonly complaints: readonly string[]
  /** Closes it. Rejects with the complaints that `expected` does not match. */
  close(expected?: RegExp): Promise<void>
}

export interface OpenOptions {
  /** JavaScript that runs in the page before its own. */
  readonly before?: string
  readonly cookies?: readonly { name: string; value: string; url: string }[]
}

export interface TestBrowser {
  readonly browser: Browser
  /** A page with a profile of its own: no cookie and no cache of another. */
  open(url: string, options?: BrowserContextOptions & OpenOptions): Promise<TestPage>
  close(): Promise<void>
}

/** Takes a second or two, and more on a busy machine: once for a file, in `before` with a time limit of its own. */
export async function startBrowser(): Promise<TestBrowser> {
  const server = await chromium.launchServer({ executablePath, args: FLAGS, headless: true, timeout: 60_000 })
  const gone = track(`browser ${server.process().pid}`, () => server.process().kill('SIGKILL'))
  const browser = await chromium.connect(server.wsEndpoint())
  return {
    browser,
    async open(url, { before, cookies = [], ...options } = {}) {
      const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options })
      await context.addCookies([...cookies])
      context.setDefaultTimeout(20_000)
      const page = await context.newPage()
      const complaints: string[] = []
      page.on('console', (message) => {
        if (message.type() === 'error' || message.type() === 'warning') {
          complaints.push(`${message.type()}: ${message.text()} (${message.location().url})`)
        }
      })
      page.on('pageerror', (error) => complaints.push(`exception: ${error.stack ?? error.message}`))
      await page.exposeFunction('reportViolation', (what: string) => void complaints.push(`policy: ${what}`))
      await page.addInitScript({ content: REPORT_VIOLATIONS })
      if (before !== undefined) await page.addInitScript({ content: before })
      await page.goto(url)
      return {
        page,
        complaints,
        async close(expected) {
          await context.close()
          const left = complaints.filter((complaint) => expected === undefined || !expected.test(complaint))
          if (left.length > 0) throw new Error(`the browser complained:\n  ${left.join('\n  ')}`)
        },
      }
    },
    async close() {
      await browser.close()
      await server.close()
      gone()
    },
  }
}
