/*
 * What is in this worker's memory, for dashboards and operators. Looks without touching: nothing counts as used because
 * somebody looked at it. Each call does a bounded amount of work, however much is kept.
 */
import { createHmac, randomBytes } from 'node:crypto'
import type { Cache } from './cache/cache.ts'
import { ageMs, type Entry } from './cache/entry.ts'
import { isType } from './cache/names.ts'
import { checkNames, checkNumber, isString } from './check.ts'
import { OptionError } from './errors.ts'
import { TYPE_NAME } from './options.ts'
import { entryKey, parseEntryKey } from './tiers/keys.ts'
import type { Memory } from './tiers/memory.ts'
import type { RedisTier } from './tiers/redis.ts'

export interface EntryQuery {
  /** Entries of this type alone. */
  readonly type?: string | undefined
  /** Entries whose key or URL contains this, in whichever case. */
  readonly search?: string | undefined
  /** How many at most, 1 to 500. Default 50. */
  readonly limit?: number | undefined
  /** That of the page before. */
  readonly cursor?: string | undefined
}

/** One entry in this worker's memory. Times in seconds. */
export interface EntryInfo {
  /** As in Redis, with the prefix. */
  readonly key: string
  readonly type: string
  /** Path and query of the request that made it; undefined for a value of `set` or `wrap`. */
  readonly url?: string
  readonly kind: 'response' | 'value'
  /** Undefined for a value. */
  readonly status?: number
  readonly ageSeconds: number
  /** Freshness left; negative past it, while it may still be served stale. */
  readonly ttlSeconds: number
  /** What it counts against the memory bound. */
  readonly bytes: number
  /** Hits of this worker on it. */
  readonly hits: number
  /** `public`, `none`, or 8 hex that tell callers of this worker apart; never what the scope function gave. */
  readonly scope: string
  /** Whether every stamp is current: false means that an invalidation has overtaken it. */
  readonly valid: boolean
}

export interface EntryPage {
  /** By type and key, so that neither hits nor new entries move what the next page begins with. */
  readonly entries: readonly EntryInfo[]
  /** Everything that this worker keeps, of all types. */
  readonly total: number
  /** Of those looked at: how many the query asks for. */
  readonly matched: number
  /** False when there was more of it than one call looks at (10,000): of each type the most recently used were. */
  readonly complete: boolean
  /** For the next page; undefined on the last one. */
  readonly cursor?: string
}

export interface EntryPreview {
  /** As in Redis, with the prefix. */
  readonly key: string
  readonly contentType?: string
  /** Text of the body, cut to so many bytes. */
  readonly body: string
  /** Of the whole body. */
  readonly bytes: number
  readonly cut: boolean
  /** What the route set; several lines of one name are joined with commas. */
  readonly headers: Readonly<Record<string, string>>
}

export interface EntryEvicted {
  /** As in Redis, with the prefix. */
  readonly key: string
  /** Whether this worker had it in memory. Other workers keep theirs. */
  readonly memory: boolean
  /** Whether Redis had it; undefined without Redis, and where it did not answer. */
  readonly redis?: boolean
}

export interface InspectionParts {
  readonly prefix: string
  readonly cache: Cache
  readonly memory: Memory
  readonly redis: RedisTier | undefined
}

const MAX_EXAMINED = 10_000
const DEFAULT_LIMIT = 50
const PREVIEW_BYTES = 64 * 1024

type Listed = readonly [id: string, type: string, hash: string, entry: Entry]

export class Inspection {
  readonly #parts: InspectionParts
  /** Fingerprints are for telling apart: without this nobody can try out whose they are. */
  readonly #secret = randomBytes(16)

  constructor(parts: InspectionParts) {
    this.#parts = parts
  }

  entries(query: EntryQuery = {}): EntryPage {
    const { type, search, limit, after } = checkQuery(query)
    const { memory } = this.#parts
    const wanted = search?.toLowerCase()
    const page: Listed[] = []
    let matched = 0
    let isComplete = true
    for (const [of, { entries }] of memory.usage()) {
      if (type !== undefined && of !== type) continue
      const share = type === undefined ? shareOf(entries, memory.entries) : MAX_EXAMINED
      let examined = 0
      for (const [, hash, entry] of memory.list(of)) {
        if (examined++ >= share) {
          isComplete = false
          break
        }
        const id = `${of}:${hash}`
        // A record of the headers that answers vary by is no answer.
        if (entry.kind === 'vary' || (wanted !== undefined && !isFound(id, entry, wanted))) continue
        matched++
        if (after === undefined || id > after) insert(page, [id, of, hash, entry], limit + 1)
      }
    }
    const next = page.length > limit ? page[limit - 1]?.[0] : undefined
    return {
      entries: page.slice(0, limit).map(([, of, hash, entry]) => this.#row(of, hash, entry)),
      total: memory.entries,
      matched,
      complete: isComplete,
      ...(next === undefined ? {} : { cursor: next }),
    }
  }

  preview(key: string, maxBytes?: number): EntryPreview | undefined {
    const { type, hash } = this.#parse(key)
    const most = checkNumber('maxBytes', maxBytes, { min: 0, integer: true, unit: 'bytes' }, PREVIEW_BYTES)
    const entry = this.#parts.memory.peek(type, hash)
    if (!entry || entry.kind === 'vary') return undefined
    const { body } = entry
    const headers: Record<string, string> = {}
    for (const [name, value] of entry.headers) headers[name] = String(value)
    const contentType = entry.headers.find(([name]) => name.toLowerCase() === 'content-type')?.[1]
    return {
      key: this.#keyOf(type, hash),
      ...(entry.kind === 'value' ? { contentType: 'application/json' } : {}),
      ...(contentType === undefined ? {} : { contentType: String(contentType) }),
      // As the beginning of a stream: a character that the cut has halved is left out, and not replaced.
      body: new TextDecoder().decode(body.subarray(0, most), { stream: true }),
      bytes: body.byteLength,
      cut: body.byteLength > most,
      headers,
    }
  }

  async evict(key: string): Promise<EntryEvicted> {
    const { type, hash } = this.#parse(key)
    const { memory, redis, cache } = this.#parts
    const evicted = { key: this.#keyOf(type, hash), memory: memory.delete(type, hash) }
    if (!redis) return evicted
    const removed = await redis.remove(type, hash, cache.deadline()).catch(() => undefined)
    return removed === undefined ? evicted : { ...evicted, redis: removed }
  }

  #row(type: string, hash: string, entry: Entry): EntryInfo {
    const { clock, epochs } = this.#parts.cache.options
    const nowMs = clock.monotonic()
    const { kind, origin } = entry
    return {
      key: this.#keyOf(type, hash),
      type,
      ...(origin ? { url: origin.url } : {}),
      kind: kind === 'value' ? kind : 'response',
      ...(kind === 'response' ? { status: entry.status } : {}),
      ageSeconds: ageMs(entry, nowMs) / 1000,
      ttlSeconds: (entry.staleAtMs - nowMs) / 1000,
      bytes: entry.bytes,
      hits: entry.hits,
      scope: this.#scopeOf(entry),
      valid: entry.tags.every((tag, i) => epochs.peek(tag)?.epoch === entry.epochs[i]),
    }
  }

  #scopeOf({ origin }: Entry): string {
    if (!origin) return 'none'
    if (typeof origin.scope === 'string') return origin.scope
    return createHmac('sha256', this.#secret).update(origin.scope.of).digest('hex').slice(0, 8)
  }

  #keyOf(type: string, hash: string): string {
    return entryKey(this.#parts.prefix, type, hash)
  }

  #parse(key: unknown): { readonly type: string; readonly hash: string } {
    const { prefix } = this.#parts
    const parsed = isString(key) ? parseEntryKey(prefix, key) : undefined
    if (parsed) return parsed
    const example = `${JSON.stringify(`${prefix}registry:TYPE:HASH`)} or TYPE:HASH, where HASH is 32 hex digits`
    throw new OptionError('ERR_ENTRY_KEY', 'key', key, example)
  }
}

function checkQuery(query: EntryQuery): {
  type: string | undefined
  search: string | undefined
  limit: number
  after: string | undefined
} {
  checkNames('', query, ['type', 'search', 'limit', 'cursor'])
  const { type, search, cursor } = query
  if (type !== undefined && !isType(type)) throw new OptionError('ERR_TYPE_NAME', 'type', type, TYPE_NAME)
  if (search !== undefined && !isString(search)) throw new OptionError('ERR_OPTION_TYPE', 'search', search, 'a string')
  if (cursor !== undefined && !(isString(cursor) && parseEntryKey('', `registry:${cursor}`))) {
    throw new OptionError('ERR_OPTION_RANGE', 'cursor', cursor, 'the cursor of the page before')
  }
  const limit = checkNumber('limit', query.limit, { min: 1, max: 500, integer: true }, DEFAULT_LIMIT)
  return { type, search: search === '' ? undefined : search, limit, after: cursor }
}

/** How many of a type are looked at: all, where there is room for all. */
function shareOf(entries: number, total: number): number {
  return total <= MAX_EXAMINED ? entries : Math.ceil((MAX_EXAMINED * entries) / total)
}

function isFound(id: string, entry: Entry, wanted: string): boolean {
  return id.toLowerCase().includes(wanted) || (entry.origin?.url.toLowerCase().includes(wanted) ?? false)
}

/** Keeps the first so many, in order. Most of a long list never gets in, so this costs a comparison each. */
function insert(page: Listed[], listed: Listed, most: number): void {
  const [id] = listed
  if (page.length === most && id > (page[most - 1]?.[0] ?? '')) return
  let low = 0
  let high = page.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((page[middle]?.[0] ?? '') < id) low = middle + 1
    else high = middle
  }
  page.splice(low, 0, listed)
  if (page.length > most) page.pop()
}
