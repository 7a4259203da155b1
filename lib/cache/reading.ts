/*
 * The words between the cache and its readers: what is wanted, what was found, what a fill needs, where an answer went.
 */
import type { Entry, Origin, Stamps } from './entry.ts'
import type { Moment } from './epoch-record.ts'

/** A tag of every entry of a registry type. */
export const ALL = 'registry:'
export const typeTag = (type: string): string => ALL + type

/** What a reader asks for. `hash` is that of the key without the values of the headers that the answer varies by. */
export interface Wanted {
  readonly type: string
  readonly hash: string
  /** The tags that the answer is known to depend on before it is computed. */
  readonly tags: readonly string[]
  readonly maxStalenessMs: number
  /** The hash of the variant for this reader, given the header names that answers of this key vary by. */
  variant?(names: readonly string[]): string
  /** Which entries this reader takes at all (default: every one). */
  readonly accepts: ((entry: Entry) => boolean) | undefined
  /** Who asks. Filled in where an entry may be made from here on, which a hit in memory never does. */
  origin?: Origin | undefined
}

/** No entry that may be served as fresh. Carries what a fill needs. */
export interface Missed {
  readonly hash: string
  readonly stamps: Stamps
  /** Where an answer may be stored. `none`: it could not be found out what is current. */
  readonly reach: 'both' | 'memory' | 'none'
  readonly began: Moment
  /** A valid entry past its TTL, for the stale windows. */
  readonly stale: Entry | undefined
  /** The shared tier did not answer in time, or is left alone. */
  readonly isDown: boolean
}

export interface Found {
  readonly entry: Entry
  readonly tier: 'memory' | 'redis'
}

export type Reading = Found | Missed

/** Where an answer went, or why nowhere. */
export type Stored = { readonly entry: Entry } & (
  | { readonly tiers: 'both'; readonly written: Promise<unknown> }
  | { readonly tiers: 'memory' }
  | { readonly tiers: 'none'; readonly reason: string }
)
