/*
 * Spans after the fact. An event comes when its work is done, in the async context of the request that it belongs to, so a span
 * is made then with the times that it had, as a child of the span that is active then. No convention of OpenTelemetry's covers
 * caches; attributes are its own where it has them (http, url, error) and `registry_cache.…` elsewhere.
 */
import { type Attributes, type Tracer, trace } from '@opentelemetry/api'
import type { TierError } from '../errors.ts'
import type { BypassEvent, HitEvent, InvalidateEvent, MissEvent, StoreEvent } from '../events.ts'
import type { MeteredCache } from '../metrics/series.ts'

const OUTCOME = 'registry_cache.outcome'

export function exportSpans(cache: MeteredCache, tracer: Tracer, name: string): () => void {
  const own = { 'registry_cache.name': name }

  /** A span that ends now and took so long. */
  function span(title: string, milliseconds: number, attributes: Attributes): void {
    const endTime = performance.timeOrigin + performance.now()
    tracer.startSpan(title, { startTime: endTime - milliseconds, attributes: { ...own, ...attributes } }).end(endTime)
  }

  /** Told of the span that is active, so that requests can be found by how the cache answered them. */
  function outcome(value: string, attributes: Attributes): void {
    const active = trace.getActiveSpan()
    active?.setAttribute(OUTCOME, value)
    active?.addEvent('registry_cache.lookup', { ...own, [OUTCOME]: value, ...attributes })
  }

  const lookedUp = (event: HitEvent, value: 'hit' | 'stale'): void => {
    const attributes = {
      ...entryOf(event),
      'registry_cache.tier': event.tier,
      'registry_cache.age': event.ageMs / 1000,
    }
    if (event.durationMs === undefined) {
      trace.getActiveSpan()?.addEvent('registry_cache.lookup', { ...own, [OUTCOME]: value, ...attributes })
      return
    }
    trace.getActiveSpan()?.setAttribute(OUTCOME, value)
    span('registry_cache.lookup', event.durationMs, { [OUTCOME]: value, ...attributes, ...requestOf(event) })
  }
  const onHit = (event: HitEvent): void => lookedUp(event, 'hit')
  const onStale = (event: HitEvent): void => lookedUp(event, 'stale')
  const onMiss = (event: MissEvent): void => outcome(event.collapsed ? 'collapsed' : 'miss', entryOf(event))
  const onBypass = ({ type, reason }: BypassEvent): void =>
    outcome('bypass', { 'registry_cache.type': type, 'registry_cache.bypass.reason': reason })
  const onStore = (event: StoreEvent): void => {
    if (event.by === 'set') return
    span('registry_cache.fill', event.handlerMs, {
      ...entryOf(event),
      'registry_cache.filled_by': event.by,
      'registry_cache.stored': event.tiers,
      ...(event.reason === undefined ? {} : { 'registry_cache.not_stored.reason': event.reason }),
      'registry_cache.body.size': event.bytes,
    })
  }
  // The moment at which the tag was raised here: how long it took to tell Redis no event says.
  const onInvalidate = ({ tag, cause, worker, own: isOwn }: InvalidateEvent): void =>
    span('registry_cache.invalidate', 0, {
      'registry_cache.tag': tag,
      'registry_cache.cause': cause,
      'registry_cache.worker': worker,
      'registry_cache.own': isOwn,
    })
  const onError = ({ code, operation }: TierError): void =>
    void trace.getActiveSpan()?.addEvent('registry_cache.error', {
      ...own,
      'error.type': code,
      'registry_cache.operation': operation,
    })

  cache.on('hit', onHit).on('stale', onStale).on('miss', onMiss).on('bypass', onBypass)
  cache.on('store', onStore).on('invalidate', onInvalidate).on('error', onError)
  return () => {
    cache.off('hit', onHit).off('stale', onStale).off('miss', onMiss).off('bypass', onBypass)
    cache.off('store', onStore).off('invalidate', onInvalidate).off('error', onError)
  }
}

function entryOf({ type, key }: { readonly type: string; readonly key: string }): Attributes {
  return { 'registry_cache.type': type, 'registry_cache.key': key }
}

/** The path alone: a query may hold what traces should not. */
function requestOf({ method, url, status, bytes }: HitEvent): Attributes {
  const path = url?.split('?', 1)[0]
  return {
    ...(method === undefined ? {} : { 'http.request.method': method }),
    ...(path === undefined || path === '' ? {} : { 'url.path': path }),
    ...(status === undefined ? {} : { 'http.response.status_code': status }),
    ...(bytes === undefined ? {} : { 'http.response.body.size': bytes }),
  }
}
