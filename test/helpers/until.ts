/*
 * Waiting for a condition of the real world (a server, a subscriber, a process) without sleeping a guessed time.
 */
import { setTimeout as pause } from 'node:timers/promises'

export interface UntilOptions {
  /** How long to keep asking, in milliseconds; default 5,000 (half of what mocha gives a test). */
  deadlineMs?: number
  /** What is waited for, as it should stand in "timed out waiting for ...". A function is asked at the timeout, for figures. */
  describe?: string | (() => string)
  /** Pause between two questions, in milliseconds; default 10. */
  everyMs?: number
}

/**
 * Asks until the condition is truthy, and resolves to what it returned. One that throws or rejects counts as not yet true; the
 * last error is named when the deadline passes. A question that is never answered ends at the deadline too.
 */
export async function until<T>(condition: () => T | Promise<T>, options: UntilOptions = {}): Promise<NonNullable<T>> {
  const { deadlineMs = 5_000, describe = 'the condition', everyMs = 10 } = options
  const startedAt = performance.now()
  let asked = 0
  let last = 'it was never answered'
  while (true) {
    const leftMs = deadlineMs - (performance.now() - startedAt)
    if (leftMs <= 0) break
    asked += 1
    try {
      const answer = await withinMs(condition, leftMs)
      if (answer === tooLate) break
      if (answer) return answer
      last = `it was ${String(answer)}`
    } catch (error) {
      last = `it failed with ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}`
    }
    await pause(everyMs)
  }
  const what = typeof describe === 'string' ? describe : describe()
  throw new Error(`timed out after ${deadlineMs} ms waiting for ${what}; asked ${asked} times, at last ${last}`)
}

const tooLate = Symbol('too late')

async function withinMs<T>(condition: () => T | Promise<T>, ms: number): Promise<T | typeof tooLate> {
  const timeout = new AbortController()
  try {
    return await Promise.race([condition(), pause(ms, tooLate, { signal: timeout.signal })])
  } finally {
    timeout.abort()
  }
}
