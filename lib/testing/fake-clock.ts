/*
 * A clock that stands still until a test moves it. It has the four members that `createRegistryCache({ clock })` takes; nothing
 * in it runs by itself, so a test that forgets to advance it waits for ever rather than passing by luck.
 */

/** What `setTimeout` returns; like Node's, it can be (un)referenced, which changes nothing here. */
export interface FakeTimer {
  readonly dueAtMs: number
  ref(): FakeTimer
  unref(): FakeTimer
}

export interface FakeClock {
  /** Wall time in milliseconds since 1970. */
  now(): number
  /** Milliseconds that never go back; begins at 0. */
  monotonic(): number
  /** Waits at least 1 ms, as Node does. Throws a RangeError for NaN and for more than Node can wait. */
  setTimeout(callback: () => void, ms?: number): FakeTimer
  clearTimeout(timer: unknown): void
  /** Moves both clocks on by `ms` and runs the timers that fall due, in order, each at its own instant. */
  advance(ms: number): void
  /** As `advance`, but lets promises settle before the first timer, after each, and at the end. */
  advanceAsync(ms: number): Promise<void>
  /** Sets the wall clock alone, forwards or back, as an administrator or NTP would; timers do not notice. */
  setNow(nowMs: number): void
  /** How many timers are waiting. */
  readonly pending: number
}

interface Waiting extends FakeTimer {
  readonly callback: () => void
}

const longestTimeoutMs = 2 ** 31 - 1

/** A new clock whose wall time begins at `startMs`, by default 2026-01-01T00:00:00Z. */
export function createFakeClock(startMs: number = Date.UTC(2026, 0, 1)): FakeClock {
  const timers = new Set<Waiting>()
  let nowMs = startMs
  let monotonicMs = 0

  function move(toMs: number): void {
    nowMs += toMs - monotonicMs
    monotonicMs = toMs
  }

  function takeDue(untilMs: number): Waiting | undefined {
    let first: Waiting | undefined
    for (const timer of timers) {
      if (timer.dueAtMs > untilMs) continue
      if (first === undefined || timer.dueAtMs < first.dueAtMs) first = timer
    }
    if (first !== undefined) timers.delete(first)
    return first
  }

  function refuse(ms: number): void {
    if (!(ms >= 0 && Number.isFinite(ms))) throw new RangeError(`a clock advances by 0 ms or more, not by ${ms}`)
  }

  return {
    now: () => nowMs,
    monotonic: () => monotonicMs,
    setTimeout(callback, ms = 0) {
      // Node turns these into 1 ms and says so at most once; nobody means that.
      if (!(ms <= longestTimeoutMs)) throw new RangeError(`no timer of Node's waits ${ms} ms`)
      const timer: Waiting = {
        dueAtMs: monotonicMs + Math.max(ms, 1),
        callback,
        ref: () => timer,
        unref: () => timer,
      }
      timers.add(timer)
      return timer
    },
    clearTimeout(timer) {
      timers.delete(timer as Waiting)
    },
    advance(ms) {
      refuse(ms)
      const endMs = monotonicMs + ms
      for (let timer = takeDue(endMs); timer !== undefined; timer = takeDue(endMs)) {
        move(timer.dueAtMs)
        timer.callback()
      }
      move(endMs)
    },
    async advanceAsync(ms) {
      refuse(ms)
      const endMs = monotonicMs + ms
      await settle()
      for (let timer = takeDue(endMs); timer !== undefined; timer = takeDue(endMs)) {
        move(timer.dueAtMs)
        timer.callback()
        await settle()
      }
      move(endMs)
      await settle()
    },
    setNow(ms) {
      nowMs = ms
    },
    get pending() {
      return timers.size
    },
  }
}

/** Lets every promise that can settle without input, output or time do so. */
export async function settle(): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(resolve))
}
