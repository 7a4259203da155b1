/*
 * One dashboard: decides who may ask, sends each address to its answer, and keeps the second that samples are taken in. At rest
 * (the cache was stopped, and nobody has asked since) it has no timer, no stream and no listener.
 */
import type { ServerResponse } from 'node:http'
import { type OptionError, TierError } from '../errors.ts'
import { type CacheRequest, isOver } from '../http/exchange.ts'
import { type Admission, admission } from './admission.ts'
import { Refusal, secure, sendJson, sendRefusal } from './answers.ts'
import { evict, explainRequest, invalidate, listEntries, parametersOf, previewEntry } from './api.ts'
import { readJson } from './body.ts'
import { Feed } from './feed.ts'
import { FleetWatch } from './fleet-watch.ts'
import { checkOrigin, checkToken, tokenFor } from './forgery.ts'
import type { DashboardCache, ResolvedDashboardOptions } from './options.ts'
import { type PageFile, sendFile } from './page-files.ts'
import { Sampler } from './sampler.ts'
import { frame, Streams } from './streams.ts'
import { makeSnapshot, makeTick, type TickParts } from './ticks.ts'
import type { Snapshot } from './wire.ts'

const SECOND_MS = 1000
/** How long a first page waits to be told who else is there. */
const FLEET_WAIT_MS = 500

interface Route {
  readonly method: 'GET' | 'POST'
  readonly answer: (req: CacheRequest, res: ServerResponse) => Promise<void>
}

export class Dashboard {
  readonly #cache: DashboardCache
  readonly #options: ResolvedDashboardOptions
  readonly #page: ReadonlyMap<string, PageFile>
  readonly #authorize: Admission
  readonly #mayInvalidate: Admission
  readonly #mayPreview: Admission
  readonly #streams: Streams
  readonly #parts: TickParts
  readonly #worker: string
  readonly #routes: ReadonlyMap<string, Route>
  #timer: unknown
  #dueAtMs = 0

  constructor(cache: DashboardCache, options: ResolvedDashboardOptions, page: ReadonlyMap<string, PageFile>) {
    const { clock } = options
    this.#cache = cache
    this.#options = options
    this.#page = page
    this.#authorize = admission('authorize', options.authorize, cache)
    this.#mayInvalidate = admission('mayInvalidate', options.mayInvalidate, cache)
    this.#mayPreview = admission('mayPreview', options.mayPreview, cache)
    const sampler = new Sampler(cache, clock)
    this.#streams = new Streams(clock, (count) => sampler.watch(count > 0))
    const feed = new Feed(cache, clock, (told) => this.#streams.send(frame('invalidation', told), false))
    this.#parts = { cache, clock, sampler, feed, fleet: new FleetWatch(cache, clock) }
    this.#worker = cache.describe().worker
    const get = (answer: Route['answer']): Route => ({ method: 'GET', answer })
    const post = (act: (body: object) => unknown, isChange: boolean): Route => ({
      method: 'POST',
      answer: async (req, res) => {
        checkToken(req)
        if (isChange) await this.#require(this.#mayInvalidate, req, 'invalidate or evict')
        sendJson(res, 200, await act(await readJson(req)))
      },
    })
    this.#routes = new Map([
      ['/api/snapshot', get(async (req, res) => sendJson(res, 200, await this.#snapshot(req, res)))],
      ['/api/events', get((req, res) => this.#stream(req, res))],
      ['/api/entries', get(async (req, res) => sendJson(res, 200, listEntries(cache, req)))],
      ['/api/entries/preview', get((req, res) => this.#preview(req, res))],
      ['/api/explain', post((body) => explainRequest(cache, body), false)],
      ['/api/invalidate', post((body) => invalidate(cache, body), true)],
      ['/api/evict', post((body) => evict(cache, body), true)],
    ])
    this.#wake()
  }

  /** Answers every request; never rejects. */
  async handle(req: CacheRequest, res: ServerResponse): Promise<void> {
    try {
      secure(res)
      await this.#answer(req, res)
    } catch (error) {
      if (isOver(res)) return
      sendRefusal(res, this.#refusalOf(error))
    }
  }

  async #answer(req: CacheRequest, res: ServerResponse): Promise<void> {
    const path = (req.url ?? '/').replace(/\?.*$/s, '')
    const route = this.#routes.get(path)
    const isRead = req.method === 'GET' || req.method === 'HEAD'
    // The page itself may be come to from a link; nobody else's page loads what it is made of, or asks for data.
    if (path !== '/' || !isRead) checkOrigin(req)
    await this.#require(this.#authorize, req, 'see the dashboard')
    if (isOver(res)) return
    this.#wake()
    if (path.startsWith('/api/')) res.setHeader('X-Cache-Worker', this.#worker)
    const file = this.#page.get(path)
    if (!route && !file) throw new Refusal(404, 'ERR_DASHBOARD_NOT_FOUND', 'There is nothing at this address.')
    const isAllowed = route?.method === 'POST' ? req.method === 'POST' : isRead
    if (!isAllowed) {
      const allowed = route?.method ?? 'GET'
      throw new Refusal(405, 'ERR_DASHBOARD_REQUEST', `Only ${allowed} is meant here.`, {
        Allow: allowed === 'GET' ? 'GET, HEAD' : allowed,
      })
    }
    if (route) return await route.answer(req, res)
    if (path === '/') {
      if (redirect(req, res)) return
      tokenFor(req, res)
    }
    if (file) sendFile(req, res, file)
  }

  async #require(may: Admission, req: CacheRequest, what: string): Promise<void> {
    if (!(await may(req))) throw new Refusal(403, 'ERR_DASHBOARD_FORBIDDEN', `You may not ${what}.`)
  }

  #refusalOf(error: unknown): Refusal {
    if (error instanceof Refusal) return error
    if (isOptionError(error)) return new Refusal(400, error.code, error.message)
    const why = error instanceof Error ? error.message : String(error)
    this.#cache.report(new TierError('ERR_DASHBOARD_FAILED', 'dashboard', why, error))
    return new Refusal(500, 'ERR_DASHBOARD_FAILED', 'The dashboard failed; an error event of the cache says why.')
  }

  // --- answers ----------------------------------------------------------------------------------------------------

  async #snapshot(req: CacheRequest, res: ServerResponse): Promise<Snapshot> {
    parametersOf(req, [])
    const [invalidates, previews] = await Promise.all([this.#mayInvalidate(req), this.#mayPreview(req)])
    await this.#fleetSoon()
    return makeSnapshot(this.#parts, {
      token: tokenFor(req, res),
      may: { invalidate: invalidates, preview: previews },
    })
  }

  async #stream(req: CacheRequest, res: ServerResponse): Promise<void> {
    const snapshot = await this.#snapshot(req, res)
    if (isOver(res)) return
    const { maxStreams } = this.#options
    // Counted when nothing more is waited for: of many that come at once, no more than these get in.
    if (this.#streams.size >= maxStreams) {
      const message = `${maxStreams} pages are open already; close one, or raise maxStreams.`
      throw new Refusal(503, 'ERR_DASHBOARD_STREAMS', message, { 'Retry-After': '10' })
    }
    if (req.method === 'HEAD') res.end()
    else this.#streams.open(res, frame('snapshot', snapshot))
  }

  async #preview(req: CacheRequest, res: ServerResponse): Promise<void> {
    await this.#require(this.#mayPreview, req, 'read bodies of entries')
    sendJson(res, 200, previewEntry(this.#cache, req))
  }

  // --- time -------------------------------------------------------------------------------------------------------

  #wake(): void {
    if (this.#timer !== undefined) return
    const { clock, sampler, feed } = this.#parts
    sampler.start()
    feed.start()
    this.#cache.on('stop', this.#stopped)
    this.#dueAtMs = clock.monotonic() + SECOND_MS
    this.#timer = clock.setTimeout(this.#second, SECOND_MS)
  }

  readonly #stopped = (): void => this.rest()

  /** Ends every stream, and lets go of the cache and the clock. */
  rest(): void {
    const { clock, sampler, feed } = this.#parts
    if (this.#timer !== undefined) clock.clearTimeout(this.#timer)
    this.#timer = undefined
    this.#cache.off('stop', this.#stopped)
    feed.stop()
    this.#streams.close()
    sampler.stop()
  }

  readonly #second = (): void => {
    const { clock, sampler, feed, fleet } = this.#parts
    // From when it was due, so that seconds do not drift; but a process that was suspended makes up for none.
    const nowMs = clock.monotonic()
    this.#dueAtMs = Math.max(this.#dueAtMs + SECOND_MS, nowMs + SECOND_MS / 2)
    this.#timer = clock.setTimeout(this.#second, this.#dueAtMs - nowMs)
    sampler.sample()
    const leftOut = feed.turn()
    this.#streams.turn()
    if (this.#streams.size === 0) return
    void fleet.refresh()
    this.#streams.send(frame('tick', makeTick(this.#parts, leftOut)), true)
  }

  /** The fleet, if it answers soon. */
  async #fleetSoon(): Promise<void> {
    const { clock, fleet } = this.#parts
    let timer: unknown
    const patience = new Promise<void>((resolve) => {
      timer = clock.setTimeout(resolve, FLEET_WAIT_MS)
    })
    await Promise.race([fleet.refresh(), patience])
    clock.clearTimeout(timer)
  }
}

/** By name: the cache may be of another copy of the package, and its classes are not ours. */
function isOptionError(error: unknown): error is OptionError {
  return error instanceof Error && error.name === 'OptionError' && 'code' in error
}

/**
 * To the same address with a slash, without which the page's relative URLs would miss it. Relative itself: what a proxy has put
 * in front is not known here.
 */
function redirect(req: CacheRequest, res: ServerResponse): boolean {
  const { originalUrl } = req
  if (originalUrl === undefined) return false
  const path = originalUrl.replace(/\?.*$/s, '')
  if (path.endsWith('/')) return false
  res.statusCode = 308
  // The dot keeps a name with a colon from being taken for a scheme.
  res.setHeader('Location', `./${path.slice(path.lastIndexOf('/') + 1)}/${originalUrl.slice(path.length)}`)
  res.end()
  return true
}
