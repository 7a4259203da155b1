/*
 * Answers hits of routes marked `front` before Express is entered; hands everything else to the app, untouched.
 *
 * It knows a URL only after Express has routed it here once: the memo, by Host and raw URL, holds the canonical path and
 * query, never a decision. Whether the entry is valid, and whose it is, is decided anew for each request, by the same code
 * as in the route. What is replayed is the whole head as it last went out for the entry, of middlewares too, in variants
 * by that head's own Vary (so CORS with several origins stays right); the middlewares themselves do not run.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { LRUCache } from 'lru-cache'
import type { Cache } from '../cache/cache.ts'
import type { Entry, HeaderValue } from '../cache/entry.ts'
import { canonical } from '../cache/json.ts'
import type { Compressor } from './compress.ts'
import type { Decider, Decision } from './decision.ts'
import { rawNames } from './draft.ts'
import { type CacheRequest, type CacheResponse, isOver } from './exchange.ts'
import type { Hit } from './hit.ts'
import { respondReadily } from './ready-head.ts'
import type { Target } from './request-key.ts'
import { type Form, HIT, identityOf, makeForm, type Outcome, STALE } from './respond.ts'
import type { RouteOptions } from './route-options.ts'
import { originOf } from './seen.ts'
import { notReplayed, varyNames } from './storable.ts'

/** What the front door needs of a route. */
export interface FrontRoute {
  readonly door: FrontDoor
  readonly route: RouteOptions
  readonly decider: Decider
  readonly compressor: Compressor | undefined
  /** Counts it, and tells of it. */
  readonly onHit: (hit: Hit) => void
  /** Something of ours threw: Express answers. */
  readonly onDefect: (cause: unknown) => void
}

/** A URL that Express has routed here; `undefined` target: two routes claim it, so Express decides each time. */
interface Known {
  readonly front: FrontRoute
  readonly target: Target | undefined
}

/** The heads that went out for an entry, by the values of the request headers that they vary by. */
interface Heads {
  readonly names: readonly string[]
  readonly forms: Map<string, Form>
}

const MAX_HEADS = 16
/** The values that a client chooses a head by: longer ones are nobody's business twice. */
const MAX_VALUES_LENGTH = 512
const MAX_URL_LENGTH = 2048

export class FrontDoor {
  readonly #cache: Cache
  readonly #headers: boolean
  readonly #urls: LRUCache<string, Known>
  readonly #heads = new WeakMap<Entry, Heads>()

  readonly #account: (bytes: number) => void
  readonly #onGrown: (type: string, entry: Entry, bytes: number) => void

  /** What it keeps counts against L1's bound: its memo, a sixteenth of it at the most, and the heads with their entry. */
  constructor(options: {
    cache: Cache
    headers: boolean
    maxBytes: number
    account: (bytes: number) => void
    onGrown: (type: string, entry: Entry, bytes: number) => void
  }) {
    this.#cache = options.cache
    this.#headers = options.headers
    this.#account = options.account
    this.#onGrown = options.onGrown
    this.#urls = new LRUCache({
      maxSize: Math.max(1, Math.floor(options.maxBytes / 16)),
      sizeCalculation: (known, url) => bytesOf(url, known),
      dispose: (known, url) => this.#account(-bytesOf(url, known)),
    })
  }

  listener(app: (req: never, res: never) => unknown): RequestListener {
    const toApp = app as RequestListener
    return (req, res) => {
      const known = req.method === 'GET' || req.method === 'HEAD' ? this.#urls.get(urlOf(req)) : undefined
      if (known?.target === undefined || !this.#tryToServe(req, res, known.front, known.target, toApp)) toApp(req, res)
    }
  }

  /** What is thrown here would end the process: nobody is above us. */
  #tryToServe(
    req: IncomingMessage,
    res: ServerResponse,
    front: FrontRoute,
    target: Target,
    app: RequestListener,
  ): boolean {
    try {
      return this.#serve(req, res, front, target, app)
    } catch (cause) {
      front.onDefect(cause)
      return isOver(res)
    }
  }

  /** Express has routed this request here. `target` is its path and query in canonical form. */
  learn(req: CacheRequest, front: FrontRoute, target: () => Target | { readonly bypass: string }): void {
    const url = urlOf(req)
    if (url.length > MAX_URL_LENGTH) return
    const known = this.#urls.get(url)
    // What a middleware made of this URL it may make otherwise of the next request for it.
    if (!isAsItCame(req)) {
      if (known) this.#urls.delete(url)
      return
    }
    if (known?.front === front || (known && known.target === undefined)) return
    const learned = known ? undefined : target()
    if (learned && 'bypass' in learned) return
    const fresh: Known = { front, target: learned }
    if (bytesOf(url, fresh) > this.#urls.maxSize) return
    this.#urls.delete(url)
    this.#urls.set(url, fresh)
    this.#account(bytesOf(url, fresh))
  }

  /** The head of an answer from this entry has gone out, in this form. */
  record(req: CacheRequest, res: CacheResponse, entry: Entry, front: FrontRoute, form: Form): void {
    const all = wholeHead(res, form.headers)
    const get = (wanted: string): HeaderValue | undefined => all.find(([name]) => name.toLowerCase() === wanted)?.[1]
    const vary = varyNames(get('vary'))
    // Compressed by somebody else: its bytes are not ours.
    if (vary === '*' || (get('content-encoding') !== undefined && form.coding === undefined)) return
    // Our own variants are chosen at the door.
    const names = vary.filter((name) => !(front.compressor && name === 'accept-encoding')).sort()
    const isDropped = notReplayed({ status: entry.status, get })
    const headers = all.filter(([name]) => {
      const key = name.toLowerCase()
      return key === 'vary' || !(isDropped(key) || key === 'content-encoding' || front.route.front?.has(key))
    })
    let heads = this.#heads.get(entry)
    if (!heads || heads.names.join() !== names.join()) {
      heads = { names, forms: new Map() }
      this.#heads.set(entry, heads)
    }
    const values = valuesOf(req, names)
    if (heads.forms.has(values) || heads.forms.size >= MAX_HEADS || values.length > MAX_VALUES_LENGTH) return
    const headBytes = headers.reduce((sum, [name, value]) => sum + 3 * (name.length + String(value).length) + 40, 600)
    this.#onGrown(front.route.type, entry, headBytes + 2 * values.length)
    heads.forms.set(values, makeForm(entry.body, headers, identityOf(entry).etag, undefined))
  }

  /** True when it has answered, or will have answered or called the app. */
  #serve(req: IncomingMessage, res: ServerResponse, front: FrontRoute, target: Target, app: RequestListener): boolean {
    const decision = front.decider.decide(req, target)
    if (typeof decision === 'string' || decision.refresh || decision.onlyIfCached) return false
    const { wanted } = decision
    const { clock, shared } = this.#cache.options
    const startedAtMs = clock.monotonic()
    const entry = this.#cache.find(wanted, startedAtMs)
    if (entry) {
      if (startedAtMs < entry.staleAtMs) return this.#answer(req, res, entry, HIT, front, decision, startedAtMs)
      const isStaleAllowed = req.method === 'GET' && startedAtMs < entry.staleAtMs + entry.staleWhileRevalidateMs
      const isFlying = isStaleAllowed && this.#cache.isFlying(wanted)
      return isFlying && this.#answer(req, res, entry, STALE, front, decision, startedAtMs)
    }
    // Strong mode, or not verified lately: the entry may be there all the same, after a question for its epochs.
    if (!shared?.isUp() || !this.#cache.isInMemory(wanted)) return false
    wanted.origin = originOf(req, front.route, decision.scope)
    const served = this.#cache.read(wanted, this.#cache.deadline()).then((reading) => {
      if (isOver(res)) return
      const isAnswered = 'entry' in reading && this.#answer(req, res, reading.entry, HIT, front, decision, startedAtMs)
      if (!isAnswered) app(req, res)
    })
    served.catch((cause: unknown) => {
      front.onDefect(cause)
      if (!isOver(res)) app(req, res)
    })
    return true
  }

  #answer(
    req: IncomingMessage,
    res: ServerResponse,
    entry: Entry,
    outcome: Outcome,
    front: FrontRoute,
    decision: Decision,
    startedAtMs: number,
  ): boolean {
    const heads = this.#heads.get(entry)
    const form = heads?.forms.get(valuesOf(req, heads.names))
    if (!heads || !form) return false
    const coded = front.compressor?.choose(front.route.type, entry, req.headers['accept-encoding'])
    if (coded instanceof Promise) return false
    const chosen = coded ? this.#codedForm(heads, form, coded, valuesOf(req, heads.names)) : form
    const nowMs = this.#cache.options.clock.monotonic()
    const sent = respondReadily(req, res, entry, outcome, nowMs, this.#headers, chosen)
    const { hash } = decision.wanted
    front.onHit({ req, hash, entry, tier: 'memory', outcome, sent, startedAtMs, via: 'front' })
    return true
  }

  #codedForm(heads: Heads, form: Form, coded: Form, values: string): Form {
    const key = `${coded.coding}\n${values}`
    let made = heads.forms.get(key)
    if (made?.body !== coded.body) {
      made = makeForm(coded.body, form.headers, coded.etag, coded.coding)
      heads.forms.set(key, made)
    }
    return made
  }
}

/** The URL as it came, before any router took its part. A Host that is no single value is never known. */
function urlOf(req: CacheRequest): string {
  return `${req.headers.host ?? ''} ${req.originalUrl ?? req.url ?? ''}`
}

/** No middleware has rewritten the URL or the query on the way here. */
function isAsItCame(req: CacheRequest): boolean {
  const { originalUrl = req.url ?? '', baseUrl = '', url = '' } = req
  // A router that is mounted on the whole path gets '/' for what is left of it.
  const isSameUrl =
    originalUrl === baseUrl + url ||
    (originalUrl.startsWith(baseUrl) && url === `/${originalUrl.slice(baseUrl.length)}`)
  if (!isSameUrl || !Object.hasOwn(req, 'query')) return isSameUrl
  // Express 4 puts the query on the request, where anybody may change it.
  const app = req.app as { get?: (setting: string) => unknown } | undefined
  const parse = app?.get?.('query parser fn')
  if (typeof parse !== 'function') return false
  const at = url.indexOf('?')
  try {
    return canonical(parse(at === -1 ? '' : url.slice(at + 1))) === canonical(req.query)
  } catch {
    return false
  }
}

function valuesOf(req: IncomingMessage, names: readonly string[]): string {
  return names.length === 0 ? '' : JSON.stringify(names.map((name) => req.headers[name] ?? null))
}

/** Everything that went out: set before, or given to writeHead (a bare response keeps that nowhere). */
function wholeHead(res: CacheResponse, given: Entry['headers']): [string, HeaderValue][] {
  const head = new Map<string, [string, HeaderValue]>()
  for (const [name, value] of given) head.set(name.toLowerCase(), [name, value])
  for (const name of rawNames(res)) {
    const value = res.getHeader(name)
    if (value === undefined) continue
    // A list is the application's own, which may change it.
    head.set(name.toLowerCase(), [name, Array.isArray(value) ? [...value] : String(value)])
  }
  return [...head.values()]
}

function bytesOf(url: string, known: Known): number {
  return 2 * (url.length + (known.target?.text.length ?? 0)) + 200
}
