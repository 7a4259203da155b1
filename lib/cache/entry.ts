/*
 * What the cache keeps: bytes, the stamps that say under which epochs they were computed, and their times.
 * The envelope is the form in L2: `ERC1`, the head's length, a small JSON head, the body's bytes. Decoding
 * distrusts what it reads (another version, a truncated value, a foreign writer): it returns undefined, never throws.
 */

/** Pairs of tag and epoch, as two arrays of equal length: what an answer was computed under. */
export interface Stamps {
  readonly tags: readonly string[]
  readonly epochs: readonly number[]
}

export type HeaderValue = string | readonly string[]

/** The part of an entry that does not depend on when or where it is kept. */
export interface Content {
  /** `vary` holds no answer: it names the request headers that tell the variants of its key apart. */
  readonly kind: 'response' | 'value' | 'vary'
  readonly body: Buffer
  readonly status: number
  /** What the route set, in its order and spelling; no Content-Length, hop-by-hop headers or Set-Cookie. */
  readonly headers: readonly (readonly [name: string, value: HeaderValue])[]
  /** Headers that were there when the cache was entered and that the route took away. */
  readonly removed: readonly string[]
  /** Names that the route added to Vary, lower case. */
  readonly vary: readonly string[]
  /** May answer requests with credentials though no scope was given (RFC 9111 section 3.5). */
  readonly shareable: boolean
  /** Lifetimes: how long it is fresh, and how long past that it may be served stale. */
  readonly ttlMs: number
  readonly staleWhileRevalidateMs: number
  readonly staleIfErrorMs: number
  /** Age that the answer had when it was stored (its own Age header). */
  readonly initialAgeMs: number
}

/** Who asked for an entry first, for those who look on. Said by the side that knows requests; not kept in L2. */
export interface Origin {
  /** Path and query, as they came. */
  readonly url: string
  /** `public`, `none`, or what the route's scope function gave. */
  readonly scope: 'public' | 'none' | { readonly of: string }
}

/** An entry in memory: content, stamps, and absolute times of this worker's monotonic clock. */
export interface Entry extends Content, Stamps {
  readonly storedAtMs: number
  readonly staleAtMs: number
  readonly deleteAtMs: number
  /** What it counts against the memory bound; more when variants of its body were made. */
  bytes: number
  /** Where the HTTP side keeps what it prepared for replay; dropped with the entry. */
  prepared: unknown
  /** Hits of this worker on it. */
  hits: number
  /** Undefined for a value. */
  readonly origin: Origin | undefined
}

/** How long an entry is of any use: until it is neither fresh nor may be served stale. */
export function lifetimeMs(content: Content): number {
  return content.ttlMs + Math.max(content.staleWhileRevalidateMs, content.staleIfErrorMs)
}

/** An entry of this content, `leftMs` before its end: all of its lifetime when it was just made, less when it comes from L2. */
export function makeEntry(
  content: Content,
  stamps: Stamps,
  nowMs: number,
  leftMs: number = lifetimeMs(content),
  origin?: Origin,
): Entry {
  const deleteAtMs = nowMs + leftMs
  const storedAtMs = deleteAtMs - lifetimeMs(content)
  return {
    kind: content.kind,
    body: content.body,
    status: content.status,
    headers: content.headers,
    removed: content.removed,
    vary: content.vary,
    shareable: content.shareable,
    ttlMs: content.ttlMs,
    staleWhileRevalidateMs: content.staleWhileRevalidateMs,
    staleIfErrorMs: content.staleIfErrorMs,
    initialAgeMs: content.initialAgeMs,
    tags: stamps.tags,
    epochs: stamps.epochs,
    storedAtMs,
    staleAtMs: storedAtMs + content.ttlMs,
    deleteAtMs,
    bytes: content.body.byteLength + headCost(content, stamps) + originBytes(origin),
    prepared: undefined,
    hits: 0,
    origin,
  }
}

export function ageMs(entry: Entry, nowMs: number): number {
  return entry.initialAgeMs + Math.max(0, nowMs - entry.storedAtMs)
}

/** Objects, arrays, the map's slot and the prepared head cost about this much beside the bytes that are counted. */
const OBJECT_BYTES = 640

function headCost(content: Content, stamps: Stamps): number {
  let bytes = OBJECT_BYTES
  for (const [name, value] of content.headers) bytes += 2 * (name.length + String(value).length) + 48
  for (const tag of stamps.tags) bytes += tag.length + 32
  for (const name of content.vary) bytes += name.length + 16
  return bytes
}

function originBytes(origin: Origin | undefined): number {
  if (!origin) return 0
  const { url, scope } = origin
  return 2 * (url.length + (typeof scope === 'object' ? scope.of.length : 0)) + 80
}

const MAGIC = Buffer.from('ERC1')
const PREFIX_BYTES = MAGIC.byteLength + 4

/**
 * The envelope of an entry, in two parts so that the body is not copied. Shape: `ERC1`, u32 big-endian length of the head,
 * head (JSON, UTF-8); body.
 */
export function encodeEntry(content: Content, stamps: Stamps): readonly [head: Buffer, body: Buffer] {
  const head = JSON.stringify([
    content.kind,
    stamps.tags,
    stamps.epochs,
    content.status,
    content.headers,
    content.removed,
    content.vary,
    content.shareable,
    content.ttlMs,
    content.staleWhileRevalidateMs,
    content.staleIfErrorMs,
    content.initialAgeMs,
    content.body.byteLength,
  ])
  const headBytes = Buffer.byteLength(head)
  const prefixed = Buffer.allocUnsafe(PREFIX_BYTES + headBytes)
  MAGIC.copy(prefixed)
  prefixed.writeUInt32BE(headBytes, MAGIC.byteLength)
  prefixed.write(head, PREFIX_BYTES)
  return [prefixed, content.body]
}

/**
 * Content and stamps of an envelope, or undefined when it is not one of this version. The body is a copy: the
 * client's buffers are slices of far larger blocks, which a slice kept here would keep alive.
 */
export function decodeEntry(envelope: Buffer): { content: Content; stamps: Stamps } | undefined {
  if (envelope.byteLength < PREFIX_BYTES || envelope.compare(MAGIC, 0, 4, 0, 4) !== 0) return undefined
  const headEnd = PREFIX_BYTES + envelope.readUInt32BE(MAGIC.byteLength)
  if (headEnd > envelope.byteLength) return undefined
  const head = parseArray(envelope.toString('utf8', PREFIX_BYTES, headEnd))
  if (head?.length !== 13) return undefined
  const [kind, tags, epochs, status, headers, removed, vary, shareable, ttlMs, swrMs, sieMs, initialAgeMs, length] =
    head
  if (kind !== 'response' && kind !== 'value' && kind !== 'vary') return undefined
  if (!isStrings(tags) || !isNumbers(epochs) || tags.length !== epochs.length || tags.length === 0) return undefined
  if (!isStrings(removed) || !isStrings(vary) || typeof shareable !== 'boolean' || !isHeaders(headers)) return undefined
  const numbers = [status, ttlMs, swrMs, sieMs, initialAgeMs, length]
  if (!isNumbers(numbers) || length !== envelope.byteLength - headEnd) return undefined
  if (kind === 'response' && !(numbers[0] !== undefined && numbers[0] >= 200 && numbers[0] <= 599)) return undefined
  if (!Number.isInteger(status)) return undefined
  const body = Buffer.allocUnsafeSlow(envelope.byteLength - headEnd)
  envelope.copy(body, 0, headEnd)
  return {
    stamps: { tags, epochs },
    content: {
      kind,
      body,
      status: status as number,
      headers,
      removed,
      vary,
      shareable,
      ttlMs: ttlMs as number,
      staleWhileRevalidateMs: swrMs as number,
      staleIfErrorMs: sieMs as number,
      initialAgeMs: initialAgeMs as number,
    },
  }
}

function parseArray(text: string): unknown[] | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return Array.isArray(value) ? value : undefined
  } catch {
    return undefined
  }
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}

function isNumbers(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isFinite(item) && item >= 0)
}

/** Names and values that writeHead would refuse must not get as far as a request. */
function isHeaders(value: unknown): value is [string, HeaderValue][] {
  return (
    Array.isArray(value) &&
    value.every(
      (pair) =>
        Array.isArray(pair) &&
        pair.length === 2 &&
        typeof pair[0] === 'string' &&
        /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(pair[0]) &&
        (isHeaderText(pair[1]) || (isStrings(pair[1]) && pair[1].every(isHeaderText))),
    )
  )
}

function isHeaderText(value: unknown): boolean {
  return typeof value === 'string' && !/[^\t\x20-\x7e\x80-\xff]/.test(value)
}
