/*
 * The words of epochs.ts: what is kept of a tag, what is asked of the shared tier, and what a reply comes to.
 */
import type { Deadline } from './tiers.ts'

export interface EpochRecord {
  readonly tag: string
  /** The greatest heard of; `x.5` when this worker raised it and the shared tier has not said its number yet. */
  epoch: number
  /** The greatest number that came from the shared tier; 0 when none did. */
  heard: number
  /** The greatest number of this worker's own making. */
  own: number
  /** When the question whose reply confirmed `epoch` was sent, and the subscription that was live then (0: none). */
  verifiedAtMs: number
  session: number
  /** Raises by this worker, and how many of them the shared tier has acknowledged (the later ones are pending). */
  raises: number
  settled: number
  /** This worker's count at the record's making and when its number last changed: for tags that only an answer reveals. */
  readonly madeAt: number
  raisedAt: number
  /** What raised it here last: the other workers are told. */
  cause: string
  /** A raise on the wire; readers of this tag wait for it. */
  telling: Promise<void> | undefined
  /** A question on the wire in the background. */
  asking: boolean
}

/** What was true when a question was sent. Its reply counts only while all of it still is. */
export interface Question {
  readonly records: readonly EpochRecord[]
  readonly epochs: readonly number[]
  readonly raises: readonly number[]
  readonly session: number
  readonly link: number
  readonly sentAtMs: number
  readonly deadline: Deadline
}

/**
 * `verified`: all numbers hold as of when the question was sent. `void`: something changed since; ask again.
 * `unverifiable`: the tier answered, but not with a number. `lost`: the shared tier has forgotten raises; being repaired.
 */
export type Verdict = 'verified' | 'void' | 'unverifiable' | 'lost'

/** A point in this worker's history; `atMs` is monotonic. */
export interface Moment {
  readonly atMs: number
  readonly count: number
  readonly fellOut: number
  readonly link: number
}

/** Numbers below are this worker's own; the shared tier's are microseconds since 1970. */
export const FIRST_SHARED = 1e12

/** Whether the shared tier may have given this number: others must see no other. */
export function isSharedNumber(epoch: number): boolean {
  return Number.isInteger(epoch) && epoch >= FIRST_SHARED
}

/** What the verdicts come to for somebody who needs all of them. */
export function worst(verdicts: readonly Verdict[]): Verdict {
  for (const bad of ['lost', 'unverifiable', 'void'] as const) if (verdicts.includes(bad)) return bad
  return 'verified'
}
