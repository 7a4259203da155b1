/*
 * What the middleware and the fill of a miss share: the parts that one route works with, and what one request carries.
 */
import type { IncomingHttpHeaders } from 'node:http'
import type { Cache } from '../cache/cache.ts'
import type { Counters } from '../cache/counters.ts'
import type { Fleet } from '../cache/fleet.ts'
import type { Marks } from '../cache/marks.ts'
import type { Clock } from '../cache/tiers.ts'
import type { ErrorCode } from '../errors.ts'
import type { Events } from '../events.ts'
import type { Compressor } from './compress.ts'
import type { Decider, Decision } from './decision.ts'
import type { CacheRequest, CacheResponse, Next } from './exchange.ts'
import type { FrontRoute } from './front-door.ts'
import type { Asked } from './respond.ts'
import type { RouteOptions } from './route-options.ts'
import type { Seen } from './seen.ts'

/** What the requests of one route have in common. */
export interface RouteContext {
  readonly route: RouteOptions
  /** Tells this route from others of its type, for warnings that are said once per route. */
  readonly name: string
  readonly decider: Decider
  /** The last request, for those who look on. */
  readonly seen: Seen
  readonly cache: Cache
  readonly fleet: Fleet
  readonly marks: Marks
  readonly counters: Counters
  readonly events: Events
  readonly clock: Clock
  readonly enabled: boolean
  /** Where hits may be answered before Express is entered. */
  readonly front: FrontRoute | undefined
  /** Where the route keeps br and gzip variants. */
  readonly compressor: Compressor | undefined
  /** Whether to write Cache-Status and X-Cache. */
  readonly headers: boolean
  /** Says it once when Redis was given and nobody listens to it. */
  readonly checkSubscriber: () => void
  readonly warn: (code: ErrorCode, message: string, key: string) => void
  /** Something of ours threw: the request goes on without the cache. */
  readonly onDefect: (cause: unknown) => void
}

/**
 * What one request carries through the functions below. A class, as all that holds a request while its handler runs: where V8
 * has seen the objects of a literal survive, it makes the next ones old, and all that hangs on those, a request with its
 * answer, stays in memory until the next full collection (`miss` in bench/). It does not do so with a class.
 */
export class Exchange implements Asked {
  readonly req: CacheRequest
  readonly res: CacheResponse
  readonly next: Next
  readonly decision: Decision
  readonly method: string | undefined
  readonly headers: IncomingHttpHeaders
  readonly startedAtMs: number
  /** Counted already: a request is one hit, one miss or one bypass, however often it has to look. */
  isCounted = false
  isPassed = false

  constructor(req: CacheRequest, res: CacheResponse, next: Next, decision: Decision, startedAtMs: number) {
    this.req = req
    this.res = res
    this.next = next
    this.decision = decision
    this.method = req.method
    this.headers = decision.headers
    this.startedAtMs = startedAtMs
  }
}
