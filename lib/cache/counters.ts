/*
 * Counters in words. hits: answered from the cache, stale ones included. misses: the handler ran or another request's
 * run was waited for. bypasses: the cache was left out. hits + misses + bypasses = requests.
 */

export interface TypeCounters {
  hits: number
  misses: number
  bypasses: number
  /** Hits answered past their TTL. */
  stale: number
  /** Those of the stale ones whose handler had run and failed. They were misses until then. */
  staleIfError: number
  /** Misses that waited for another one's answer. */
  coalesced: number
  stores: number
  invalidations: number
  evictions: number
}

/**
 * What raised a tag: a call of this worker's API, a mutation that passed `invalidateOn` here, a publisher of the older
 * system, numbers that Redis had lost, or another worker.
 */
export type InvalidationOrigin = 'api' | 'route' | 'foreign' | 'repair' | 'worker'

export class Counters {
  readonly types: Map<string, TypeCounters> = new Map()
  /** By reason. */
  readonly bypasses: Map<string, number> = new Map()
  readonly notStored: Map<string, number> = new Map()
  /** Tags raised, dependent ones included, by what raised them. */
  readonly invalidationsBy: Map<InvalidationOrigin, number> = new Map()
  redisHits = 0
  redisMisses = 0
  invalidations = 0
  errors = 0

  of(type: string): TypeCounters {
    let counters = this.types.get(type)
    if (!counters) {
      const asked = { hits: 0, misses: 0, bypasses: 0, stale: 0, staleIfError: 0, coalesced: 0 }
      counters = { ...asked, stores: 0, invalidations: 0, evictions: 0 }
      this.types.set(type, counters)
    }
    return counters
  }

  bypass(type: string, reason: string): void {
    this.of(type).bypasses++
    increment(this.bypasses, reason)
  }

  notStoredFor(reason: string): void {
    increment(this.notStored, reason)
  }

  /** A tag was raised here (`own`) or by another worker. */
  raised(cause: string, own: boolean): void {
    increment(this.invalidationsBy, originOf(cause, own))
  }

  /** Zeroes everything in place: the objects that hot paths hold stay the ones that count. */
  reset(): void {
    for (const counters of this.types.values()) {
      for (const name of Object.keys(counters) as (keyof TypeCounters)[]) counters[name] = 0
    }
    this.bypasses.clear()
    this.notStored.clear()
    this.invalidationsBy.clear()
    this.redisHits = 0
    this.redisMisses = 0
    this.invalidations = 0
    this.errors = 0
  }
}

function originOf(cause: string, own: boolean): InvalidationOrigin {
  if (!own) return 'worker'
  return cause === 'api' || cause === 'foreign' || cause === 'repair' ? cause : 'route'
}

function increment<N extends string>(counts: Map<N, number>, name: N): void {
  counts.set(name, (counts.get(name) ?? 0) + 1)
}
