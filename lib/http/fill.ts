/*
 * The fill of one miss: watches what the handler sends, decides whether it may be stored and shared, stores it, tells
 * those who wait. Whatever happens, the flight ends.
 */
import { type Entry, makeEntry } from '../cache/entry.ts'
import type { Done } from '../cache/fleet.ts'
import type { Flight, Landing } from '../cache/flights.ts'
import type { Missed, Stored, Wanted } from '../cache/reading.ts'
import { adviceFor, UNSTORED_BEFORE_ADVICE } from './advice.ts'
import { type CaptureHooks, capture, type Ending } from './capture.ts'
import { identityOf } from './decision.ts'
import type { Draft } from './draft.ts'
import { countHit } from './hit.ts'
import { addVary, identityOf as formOf, label, type Outcome, respond, STALE } from './respond.ts'
import type { Exchange, RouteContext } from './route-context.ts'
import { judge, type Verdict } from './verdict.ts'

export class Fill implements CaptureHooks {
  readonly onServerError: CaptureHooks['onServerError']
  readonly #context: RouteContext
  readonly #exchange: Exchange
  readonly #missed: Missed
  readonly #flight: Flight | undefined
  /** Gives up the turn among the workers. */
  readonly #done: Done | undefined
  /** The last one, for when it is asked for again in the same circumstances. */
  #judged: { readonly draft: Draft; readonly setsCookie: boolean; readonly verdict: Verdict } | undefined

  constructor(
    context: RouteContext,
    exchange: Exchange,
    missed: Missed,
    flight: Flight | undefined,
    done: Done | undefined,
  ) {
    this.#context = context
    this.#exchange = exchange
    this.#missed = missed
    this.#flight = flight
    this.#done = done
    const { stale } = missed
    this.onServerError = stale && stale.staleIfErrorMs > 0 ? (restore) => this.#mayStandIn(stale, restore) : undefined
  }

  /** Watches the response from now on. */
  watch(): void {
    const { req, res } = this.#exchange
    capture(req, res, this)
  }

  onHead(draft: Draft | undefined): void {
    this.#guard(() => {
      const { headers, compressor } = this.#context
      const { res } = this.#exchange
      if (compressor) addVary(res, ['Accept-Encoding'])
      if (headers) label(res, this.#forwarded(draft))
    })
  }

  onEnd(ending: Ending): void {
    this.#guard(() => this.#conclude(ending))
  }

  /** We run in the middle of a handler's answer: nothing of ours may break it, and nobody waits for ever. */
  #guard(step: () => void): void {
    try {
      step()
    } catch (cause) {
      this.#context.onDefect(cause)
      this.#flight?.land({ kind: 'unshareable' })
      this.#done?.()
    }
  }

  /** Somebody's hook may throw in the middle of it: then the error goes out after all, where it still can. */
  #mayStandIn(stale: Entry, restore: () => void): boolean {
    try {
      return this.#standIn(stale, restore)
    } catch (cause) {
      this.#context.onDefect(cause)
      return this.#exchange.res.headersSent
    }
  }

  /** The stale entry in place of an error: unless its window has closed, or it was invalidated, while the handler ran. */
  #standIn(stale: Entry, restore: () => void): boolean {
    const { cache, headers, clock, counters, route, compressor } = this.#context
    const { req, res, decision, startedAtMs } = this.#exchange
    const nowMs = clock.monotonic()
    if (nowMs >= stale.staleAtMs + stale.staleIfErrorMs || !cache.isCurrent(stale)) return false
    restore()
    this.#flight?.land(answered(stale, decision.wanted))
    this.#done?.()
    if (compressor) addVary(res, ['Accept-Encoding'])
    const sent = respond(req, res, stale, STALE_IF_ERROR, nowMs, headers)
    // It was counted when the handler was called: as a bypass, or as a miss, and a stale answer is a hit.
    if (decision.credential !== undefined) return true
    const counted = counters.of(route.type)
    counted.misses--
    counted.staleIfError++
    const { hash } = decision.wanted
    countHit(this.#context, {
      req,
      hash,
      entry: stale,
      tier: 'memory',
      outcome: STALE,
      sent,
      startedAtMs,
      via: 'route',
    })
    return true
  }

  #conclude(ending: Ending): void {
    const { cache, marks, counters, route, clock, front } = this.#context
    const missed = this.#missed
    const flight = this.#flight
    const { req, res, decision } = this.#exchange
    const { wanted } = decision
    const key = `${route.type}:${missed.hash}`
    if (ending.kind !== 'draft') {
      const isAborted = ending.kind === 'aborted'
      flight?.land({ kind: isAborted ? 'abandoned' : 'unshareable' })
      if (!isAborted && flight) marks.set(key)
      const reason = isAborted ? 'aborted' : 'not-captured'
      counters.notStoredFor(reason)
      this.#note('none', reason, 0, 0)
      this.#done?.()
      return
    }
    const verdict = this.#judge(ending.draft, ending.setsCookie, ending.encodedBehindUs)
    const { content } = verdict
    const stored: Stored =
      verdict.reason === undefined
        ? cache.store(wanted, missed, content)
        : { tiers: 'none', reason: verdict.reason, entry: makeEntry(content, missed.stamps, clock.monotonic()) }
    if (front && stored.tiers !== 'none' && res.statusCode === content.status) {
      front.door.record(req, res, stored.entry, front, formOf(stored.entry))
    }
    flight?.land(verdict.mayShare ? answered(stored.entry, wanted) : { kind: 'unshareable' })
    if (stored.tiers !== 'none') marks.delete(key)
    else if (!verdict.mayShare && flight) marks.set(key)
    if (stored.tiers === 'none') counters.notStoredFor(stored.reason)
    this.#done?.(stored.tiers === 'both' ? stored.written : undefined)
    const reason = stored.tiers === 'none' ? stored.reason : undefined
    this.#note(stored.tiers, reason, content.body.byteLength, content.ttlMs)
  }

  #judge(draft: Draft, setsCookie: boolean, encodedBehindUs: boolean): Verdict {
    const { route, name, clock, warn } = this.#context
    const before = this.#judged
    if (!encodedBehindUs && before?.draft === draft && before.setsCookie === setsCookie) return before.verdict
    const { req, decision } = this.#exchange
    const hasLateUser = route.scope === undefined && decision.credential === undefined && identityOf(req) !== undefined
    if (hasLateUser) {
      warn(
        'ERR_CACHE_BEFORE_AUTH',
        `the cache of ${route.type} is mounted before authentication: it can not tell callers apart. Mount it after`,
        name,
      )
    }
    if (encodedBehindUs) {
      warn(
        'ERR_COMPRESSION_BEHIND',
        `compression runs between the cache of ${route.type} and its handler: nothing is stored. Mount it before the cache`,
        name,
      )
    }
    const verdict = judge(draft, route, {
      credential: decision.credential,
      hasLateUser,
      setsCookie,
      encodedBehindUs,
      requestNoStore: decision.noStore,
      nowMs: clock.now(),
      random: route.jitter === 0 ? 0 : Math.random(),
    })
    if (!encodedBehindUs) this.#judged = { draft, setsCookie, verdict }
    return verdict
  }

  /** What Cache-Status says of an answer that the handler made. The last moment: what comes after the head it can not know. */
  #forwarded(draft: Draft | undefined): Outcome {
    const { decision } = this.#exchange
    const reason = this.#whyNotStored(draft)
    if (decision.credential !== undefined && reason !== undefined) {
      return { xCache: 'BYPASS', status: `fwd=bypass; detail=${decision.credential}` }
    }
    const how = decision.refresh ? 'fwd=request' : 'fwd=uri-miss'
    return { xCache: 'MISS', status: reason === undefined ? `${how}; stored` : `${how}; detail=${reason}` }
  }

  #whyNotStored(draft: Draft | undefined): string | undefined {
    if (draft === undefined) return 'not-captured'
    const { res } = this.#exchange
    // Hooks mounted after us have run by now.
    const isEncoded =
      res.getHeader('Content-Encoding') !== undefined && draft.head.get('content-encoding') === undefined
    const verdict = this.#judge(draft, res.getHeader('Set-Cookie') !== undefined, isEncoded)
    return verdict.reason ?? this.#context.cache.refusal(this.#missed, draft.body.byteLength)
  }

  #note(tiers: 'both' | 'memory' | 'none', reason: string | undefined, bytes: number, ttlMs: number): void {
    const { events, route, clock } = this.#context
    if (tiers !== 'none') this.#context.counters.of(route.type).stores++
    else if (reason !== undefined) this.#advise(reason)
    if (!events.has('store')) return
    events.emit('store', {
      type: route.type,
      key: `${route.type}:${this.#exchange.decision.wanted.hash}`,
      tiers,
      ...(reason === undefined ? {} : { reason }),
      bytes,
      ttlMs,
      by: 'handler',
      handlerMs: clock.monotonic() - this.#missed.began.atMs,
    })
  }

  /** Whoever mounts a cache wants it to keep something. */
  #advise(reason: string): void {
    const { counters, route, name, warn } = this.#context
    const isIntended = route.status.has(this.#exchange.res.statusCode) && counters.of(route.type).stores === 0
    if (!isIntended || (counters.notStored.get(reason) ?? 0) < UNSTORED_BEFORE_ADVICE) return
    const advice = adviceFor(route.type, reason)
    if (advice) warn('ERR_NOTHING_STORED', advice, `${name} ${reason}`)
  }
}

const STALE_IF_ERROR: Outcome = { xCache: 'STALE', status: 'hit; detail=stale-if-error' }

export function answered(entry: Entry, wanted: Wanted): Landing {
  return { kind: 'answered', entry, variant: entry.vary.length > 0 ? wanted.variant?.(entry.vary) : undefined }
}
