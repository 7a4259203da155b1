/*
 * Answers from an entry: status, headers, 304 and HEAD, with one writeHead and one end. What was prepared for an entry is
 * kept on it, and the head of one second is used again within that second.
 */
import type { OutgoingHttpHeaders } from 'node:http'
import { ageMs, type Entry, type HeaderValue } from '../cache/entry.ts'
import { type CacheRequest, type CacheResponse, isNodesEnd } from './exchange.ts'
import { isNotModified, toTime, varyNames } from './storable.ts'

/** How an answer came about, as Cache-Status says it (RFC 9211) and as X-Cache does. */
export interface Outcome {
  readonly xCache: 'HIT' | 'MISS' | 'STALE' | 'BYPASS'
  /** Parameters after the cache's name: `hit`, `fwd=uri-miss; stored`. `ttl` is added for hits. */
  readonly status: string
}

export const HIT: Outcome = { xCache: 'HIT', status: 'hit' }
export const STALE: Outcome = { xCache: 'STALE', status: 'hit' }
export const COLLAPSED: Outcome = { xCache: 'MISS', status: 'fwd=uri-miss; collapsed' }

export const FORWARDED: Outcome = { xCache: 'MISS', status: 'fwd=uri-miss' }

const CACHE_NAME = 'registry-cache'

/** The bytes that an entry is sent as, and what goes with them: the entry's own, or a compressed variant of them. */
export interface Form {
  readonly coding: string | undefined
  readonly body: Buffer
  readonly headers: Entry['headers']
  readonly etag: string | undefined
  /** The head for one outcome within one second. */
  head: OutgoingHttpHeaders
  /** The same of a 304, once one was asked for. */
  bare: OutgoingHttpHeaders | undefined
  /** The same as it is written; null once it could have been used. */
  ready: ReadyHead | null | undefined
  second: number
  outcome: Outcome | undefined
}

/** A whole head of a server that keeps connections for so long, where nobody else has set headers (ready-head.ts). */
export interface ReadyHead {
  readonly text: string
  readonly keepAliveMs: number
  /** Of its headers, in lower case, each between spaces. */
  readonly names: string
}

export function makeForm(
  body: Buffer,
  headers: Entry['headers'],
  etag: string | undefined,
  coding: string | undefined,
): Form {
  return {
    coding,
    body,
    headers,
    etag,
    head: {},
    bare: undefined,
    ready: undefined,
    second: -1,
    outcome: undefined,
  }
}

/** What is kept on an entry for its replay. */
interface Prepared {
  readonly identity: Form
  /** Undefined until a condition asks for it, null where there is none. */
  modifiedAt: number | null | undefined
}

/** What an answer depends on beside the entry: of the request, or read from it already. */
export type Asked = Pick<CacheRequest, 'method' | 'headers'>

/** The status that went out, and the bytes of its body. */
export interface Sent {
  readonly status: number
  readonly bytes: number
}

/** Writes the whole answer. */
export function respond(
  req: Asked,
  res: CacheResponse,
  entry: Entry,
  outcome: Outcome,
  nowMs: number,
  headers: boolean,
  form: Form = identityOf(entry),
): Sent {
  for (const name of entry.removed) res.removeHeader(name)
  const isOk = entry.status >= 200 && entry.status < 300
  const { 'if-none-match': inm, 'if-modified-since': ims } = req.headers
  const isConditional = isOk && (inm !== undefined || ims !== undefined)
  const head = headOf(entry, form, outcome, nowMs, headers)
  const before = headers ? res.getHeader('Cache-Status') : undefined
  if (before !== undefined) res.setHeader('Cache-Status', `${String(before)}, ${String(head['Cache-Status'])}`)
  // These two are lists that others take part in; the rest of the head replaces what is there.
  let merged: readonly string[] = before === undefined ? NONE : ['cache-status']
  if (entry.vary.length > 0 && res.hasHeader('Vary')) {
    addVary(res, spelledVary(form.headers))
    merged = [...merged, 'vary']
  }
  if (isConditional && isNotModified(inm, ims, form.etag, modifiedAt(entry))) {
    for (const name of OF_A_BODY) res.removeHeader(name)
    form.bare ??= without(head, OF_A_BODY)
    res.writeHead(304, merged.length === 0 ? form.bare : without(form.bare, merged))
    res.end()
    return { status: 304, bytes: 0 }
  }
  res.writeHead(entry.status, merged.length === 0 ? head : without(head, merged))
  if (req.method === 'HEAD') {
    res.end()
    return { status: entry.status, bytes: 0 }
  }
  const end: (chunk: Buffer) => unknown = res.end
  end.call(res, isNodesEnd(end) ? form.body : Buffer.from(form.body))
  return { status: entry.status, bytes: form.body.byteLength }
}

export function identityOf(entry: Entry): Form {
  return preparedOf(entry).identity
}

function preparedOf(entry: Entry): Prepared {
  if (entry.prepared !== undefined) return entry.prepared as Prepared
  const etag = headerOf(entry, 'etag')
  const identity = makeForm(entry.body, entry.headers, typeof etag === 'string' ? etag : undefined, undefined)
  const prepared: Prepared = { identity, modifiedAt: undefined }
  entry.prepared = prepared
  return prepared
}

/** RFC 9111 section 4.3.2: without Last-Modified the Date of the stored response counts. */
function modifiedAt(entry: Entry): number | undefined {
  const prepared = preparedOf(entry)
  if (prepared.modifiedAt === undefined) {
    prepared.modifiedAt = toTime(headerOf(entry, 'last-modified')) ?? toTime(headerOf(entry, 'date')) ?? null
  }
  return prepared.modifiedAt ?? undefined
}

function headerOf(entry: Entry, wanted: string): HeaderValue | undefined {
  for (const [name, value] of entry.headers) {
    if (name.length === wanted.length && name.toLowerCase() === wanted) return value
  }
  return undefined
}

/** The head of an answer from this entry, in this form; the same object again within one second. */
export function headOf(
  entry: Entry,
  form: Form,
  outcome: Outcome,
  nowMs: number,
  headers: boolean,
): OutgoingHttpHeaders {
  const age = Math.floor(ageMs(entry, nowMs) / 1000)
  const ttl = Math.ceil((entry.staleAtMs - nowMs) / 1000)
  const second = age * 4096 + (ttl & 4095)
  if (form.second === second && form.outcome === outcome) return form.head
  const head: OutgoingHttpHeaders = {}
  for (const [name, value] of form.headers) {
    const etag = name.toLowerCase() === 'etag' ? form.etag : undefined
    head[name] = etag ?? (value as string | string[])
  }
  if (form.coding !== undefined) head['Content-Encoding'] = form.coding
  // RFC 9110 section 8.6: no length goes with a 204.
  if (entry.status !== 204) head['Content-Length'] = form.body.byteLength
  head.Age = age
  if (headers) {
    const status = outcome.status === 'hit' ? `hit; ttl=${ttl}` : outcome.status
    head['Cache-Status'] = `${CACHE_NAME}; ${status}`
    head['X-Cache'] = outcome.xCache
  }
  form.head = head
  form.bare = undefined
  form.ready = undefined
  form.second = second
  form.outcome = outcome
  return head
}

/** What describes a body, so that a 304 has none of it. */
const NONE: readonly string[] = []
const OF_A_BODY = ['content-type', 'content-length', 'content-encoding', 'transfer-encoding']

function without(head: OutgoingHttpHeaders, names: readonly string[]): OutgoingHttpHeaders {
  return Object.fromEntries(Object.entries(head).filter(([name]) => !names.includes(name.toLowerCase())))
}

function spelledVary(headers: Entry['headers']): readonly string[] {
  const [, value] = headers.find(([name]) => name.toLowerCase() === 'vary') ?? []
  return String(value ?? '')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
}

/** Adds names to Vary, beside those that this request's own middlewares have set. */
export function addVary(res: CacheResponse, names: readonly string[]): void {
  const before = res.getHeader('Vary')
  const present = varyNames(before as string | string[] | undefined)
  if (present === '*') return
  const missing = names.filter((name) => !present.includes(name.toLowerCase()))
  if (missing.length === 0) return
  const all = before === undefined ? missing : [before, ...missing]
  res.setHeader('Vary', all.map(String).join(', '))
}

/** `Cache-Status` and `X-Cache` on an answer that is not ours. Earlier caches' lines stay before ours. */
export function label(res: CacheResponse, outcome: Outcome): void {
  if (res.headersSent) return
  const before = res.getHeader('Cache-Status')
  const own = `${CACHE_NAME}; ${outcome.status}`
  res.setHeader('Cache-Status', before === undefined ? own : `${String(before)}, ${own}`)
  res.setHeader('X-Cache', outcome.xCache)
}
