/*
 * What a route sent, taken down as it leaves `end`: the bytes, the status, and the headers that are the route's own, which are
 * those that differ from when the cache was entered.
 */
import type { HeaderValue } from '../cache/entry.ts'
import type { CacheResponse } from './exchange.ts'
import { notReplayed, type ResponseHead, varyNames } from './storable.ts'

/** What was sent. */
export interface Draft {
  readonly status: number
  readonly body: Buffer
  readonly headers: readonly (readonly [string, HeaderValue])[]
  readonly removed: readonly string[]
  /** What the route added to Vary; `*` when that is anywhere in it. */
  readonly vary: readonly string[] | '*'
  readonly head: ResponseHead
}

/** By lower-case name, in the order in which they were set. */
type Headers = ReadonlyMap<string, string | number | readonly string[]>

const NO_NAMES: readonly string[] = Object.freeze([])

/** Lists are copied: `appendHeader` adds to the very list that the response has. */
export function snapshot(res: CacheResponse): Headers {
  const headers = new Map<string, string | number | readonly string[]>()
  for (const name of res.getHeaderNames()) {
    const value = res.getHeader(name)
    if (value !== undefined) headers.set(name, Array.isArray(value) ? [...value] : value)
  }
  return headers
}

class SentHead implements ResponseHead {
  readonly status: number
  readonly #headers: Headers

  constructor(status: number, headers: Headers) {
    this.status = status
    this.#headers = headers
  }

  get(name: string): string | readonly string[] | undefined {
    const value = this.#headers.get(name)
    return typeof value === 'number' ? String(value) : value
  }
}

export function takeDown(res: CacheResponse, before: Headers, body: Buffer): Draft {
  const now = snapshot(res)
  const head = new SentHead(res.statusCode, now)
  const isDropped = notReplayed(head)
  const headers: [string, HeaderValue][] = []
  for (const name of rawNames(res)) {
    const key = name.toLowerCase()
    const value = key === 'vary' ? addedVary(now.get(key), before.get(key)) : now.get(key)
    if (value === undefined || (isDropped(key) && key !== 'vary') || isSame(value, before.get(key))) continue
    // Node takes numbers and booleans for values; what is kept is what goes out.
    headers.push([name, Array.isArray(value) ? value.map(String) : String(value)])
  }
  // Node makes a Date for each answer; a hit replays that of the storing.
  if (!now.has('date') && res.sendDate) {
    const date = dateLine()
    res.setHeader('Date', date)
    headers.push(['Date', date])
  }
  const removed: string[] = []
  for (const name of before.keys()) if (!now.has(name) && !isDropped(name)) removed.push(name)
  // An entry may keep this for long: a list without room to grow in, and one that is empty for all.
  return {
    status: head.status,
    body,
    headers: headers.slice(),
    removed: removed.length === 0 ? NO_NAMES : removed,
    vary: now.has('vary') ? addedNames(now.get('vary'), before.get('vary')) : NO_NAMES,
    head,
  }
}

let dateOfSecond = { second: Number.NaN, text: '' }

/** Now, as a Date header says it: the same text for all answers of one second. */
function dateLine(): string {
  const now = Date.now()
  const second = Math.floor(now / 1000)
  if (dateOfSecond.second !== second) dateOfSecond = { second, text: new Date(now).toUTCString() }
  return dateOfSecond.text
}

function addedNames(now: Value, before: Value): readonly string[] | '*' {
  const earlier = varyNames(before)
  const names = varyNames(now)
  return names === '*' ? '*' : names.filter((name) => earlier === '*' || !earlier.includes(name))
}

type Value = string | number | readonly string[] | undefined

/** What the route added to Vary, as it spelled it: a hit adds it to what this request's own middlewares have set. */
function addedVary(now: Value, before: Value): HeaderValue | undefined {
  if (now === undefined || before === undefined) return typeof now === 'number' ? String(now) : now
  const earlier = varyNames(before)
  const added = String(now)
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '' && !earlier.includes(name.toLowerCase()))
  return added.length > 0 ? added.join(', ') : undefined
}

/** In the route's spelling. On every outgoing message since Node 15.4, though its types tell of requests only. */
export function rawNames(res: CacheResponse): string[] {
  return (res as CacheResponse & { getRawHeaderNames(): string[] }).getRawHeaderNames()
}

function isSame(a: number | string | readonly string[], b: number | string | readonly string[] | undefined): boolean {
  return (
    a === b || (Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((item, i) => item === b[i]))
  )
}

/**
 * The handler may go on to use its buffer, and a slice of Node's pool would keep all of that: a copy, but of what Express
 * itself has just made of a string, in memory of its own, and that nobody else gets to see (`isOurs`).
 */
export function toBuffer(chunk: unknown, encoding: unknown, isOurs: boolean): Buffer {
  const bytes =
    typeof chunk === 'string' ? Buffer.from(chunk, typeof encoding === 'string' ? (encoding as 'utf8') : 'utf8') : chunk
  if (!(bytes instanceof Uint8Array)) return Buffer.alloc(0)
  if (isOurs && Buffer.isBuffer(bytes) && bytes.buffer.byteLength === bytes.byteLength) return bytes
  const copy = Buffer.allocUnsafeSlow(bytes.byteLength)
  copy.set(bytes)
  return copy
}
