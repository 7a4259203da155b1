/*
 * What a response says of the cache, read from its Cache-Status and X-Cache headers, and assertions on it that need no library.
 * Takes responses of fetch, supertest, axios and node:http.
 */
import { AssertionError } from 'node:assert'

/** Anything with headers: a `Headers` object or a plain one with names in lower case. */
export interface ResponseLike {
  readonly headers: object
}

export interface CacheOutcome {
  readonly outcome: 'hit' | 'stale' | 'miss' | 'collapsed' | 'bypass'
  /** Whether the handler's answer was to be stored. */
  readonly stored: boolean
  /** Why it was not stored, or the cache left out; absent where there is nothing to say. */
  readonly reason?: string
  /** Seconds that a hit stays fresh, as far as the response tells. */
  readonly ttl?: number
}

/**
 * What the cache did for this response.
 * @throws AssertionError when the response does not come through a cache middleware, or its headers are turned off
 */
export function cacheOutcome(response: ResponseLike): CacheOutcome {
  const status = ownStatus(read(response, 'cache-status'))
  const word = read(response, 'x-cache')
  if (status === undefined || word === undefined) {
    throw failure(
      'the response to come through a cache middleware with `headers` on: it has no Cache-Status of registry-cache',
      { status: read(response, 'cache-status'), word },
    )
  }
  const parameters = status.split(';').map((part) => part.trim())
  const parameter = (name: string): string | undefined =>
    parameters.find((part) => part.startsWith(`${name}=`))?.slice(name.length + 1)
  const [reason, ttl] = [parameter('detail'), parameter('ttl')]
  const answered = word === 'HIT' ? 'hit' : word === 'STALE' ? 'stale' : word === 'BYPASS' ? 'bypass' : 'miss'
  return {
    outcome: parameters.includes('collapsed') ? 'collapsed' : answered,
    stored: parameters.includes('stored'),
    ...(reason === undefined ? {} : { reason }),
    ...(ttl === undefined ? {} : { ttl: Number(ttl) }),
  }
}

/** The response came out of the cache, fresh. @throws AssertionError */
export function expectCached(response: ResponseLike): CacheOutcome {
  return expectOutcome(response, ['hit'], 'a hit')
}

/** The response came out of the cache past its TTL. @throws AssertionError */
export function expectStale(response: ResponseLike): CacheOutcome {
  return expectOutcome(response, ['stale'], 'a stale hit')
}

/** A handler ran for this response, or another request's run of it was waited for. @throws AssertionError */
export function expectNotCached(response: ResponseLike): CacheOutcome {
  return expectOutcome(response, ['miss', 'collapsed'], 'a miss')
}

/** A handler ran, and its answer was stored: the next one is a hit. @throws AssertionError */
export function expectStored(response: ResponseLike): CacheOutcome {
  const seen = expectNotCached(response)
  if (!seen.stored && seen.outcome !== 'collapsed') throw failure('a miss whose answer is stored', seen)
  return seen
}

/** The cache was left out, for this reason if one is given. @throws AssertionError */
export function expectBypass(response: ResponseLike, reason?: string): CacheOutcome {
  const seen = expectOutcome(response, ['bypass'], 'a bypass')
  if (reason !== undefined && seen.reason !== reason) throw failure(`a bypass for ${reason}`, seen)
  return seen
}

function expectOutcome(response: ResponseLike, wanted: readonly string[], what: string): CacheOutcome {
  const seen = cacheOutcome(response)
  if (!wanted.includes(seen.outcome)) throw failure(what, seen)
  return seen
}

function failure(expected: string, seen: object): AssertionError {
  const message = `expected ${expected}, saw ${JSON.stringify(seen)}`
  return new AssertionError({ message, actual: seen, expected, operator: 'cache outcome', stackStartFn: failure })
}

/** Other caches on the way add members of their own (RFC 9211 section 2). */
function ownStatus(header: string | undefined): string | undefined {
  const member = header?.split(',').find((one) => /^\s*registry-cache\s*(;|$)/.test(one))
  return member?.slice(member.indexOf(';') + 1)
}

function read({ headers }: ResponseLike, name: string): string | undefined {
  const got = headers as { get?: unknown } & Record<string, unknown>
  const value = typeof got.get === 'function' ? got.get(name) : got[name]
  return value === null || value === undefined ? undefined : String(value)
}
