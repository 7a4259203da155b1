/*
 * The stream of events: opens it, notices when it is gone or only seems to be there, and opens it again. EventSource would
 * retry by itself, but gives up for good on an answer that is no stream (a proxy's 502, a login that ran out), says nothing of
 * a connection that is half open, and does not tell why. Every connection begins with a whole snapshot, so nothing that was
 * missed has to be made up for.
 */
import { ApiError, get } from './api.js'

/** @typedef {import('../wire.ts').Snapshot} Snapshot */
/** @typedef {import('../wire.ts').Tick} Tick */
/** @typedef {import('../wire.ts').Invalidation} Invalidation */

/** A tick comes each second; so long without one, and nobody is there. */
const SILENCE_MS = 6_000
const FIRST_RETRY_MS = 500
const LONGEST_RETRY_MS = 10_000

/**
 * @typedef {{
 *   onSnapshot: (snapshot: Snapshot) => void,
 *   onTick: (tick: Tick) => void,
 *   onInvalidation: (invalidation: Invalidation) => void,
 *   onState: (state: 'live' | 'away' | 'refused', reason?: string) => void,
 * }} LiveListener
 */

export class Live {
  /** @type {LiveListener} */
  #listener
  /** @type {EventSource | undefined} */
  #source
  #retryMs = FIRST_RETRY_MS
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer

  /** @param {LiveListener} listener */
  constructor(listener) {
    this.#listener = listener
    const hurry = () => {
      if (this.#source === undefined && !document.hidden) this.open()
    }
    window.addEventListener('online', hurry)
    document.addEventListener('visibilitychange', hurry)
    // A page that goes into the back/forward cache must not hold a connection; one that comes out of it needs a new one.
    window.addEventListener('pagehide', () => this.#close())
    window.addEventListener('pageshow', (event) => {
      if (event.persisted) this.open()
    })
  }

  open() {
    this.#close()
    const source = new EventSource('api/events')
    this.#source = source
    this.#watch()
    source.addEventListener('snapshot', (event) => {
      this.#watch()
      this.#retryMs = FIRST_RETRY_MS
      this.#listener.onSnapshot(JSON.parse(event.data))
      this.#listener.onState('live')
    })
    source.addEventListener('tick', (event) => {
      this.#watch()
      this.#listener.onTick(JSON.parse(event.data))
    })
    source.addEventListener('invalidation', (event) => {
      this.#watch()
      this.#listener.onInvalidation(JSON.parse(event.data))
    })
    source.addEventListener('error', () => {
      if (this.#source !== source) return
      const wasAnswered = source.readyState === EventSource.CLOSED
      this.#lost()
      if (wasAnswered) void this.#askWhy()
    })
  }

  #watch() {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#lost(), SILENCE_MS)
  }

  #lost() {
    this.#close()
    this.#listener.onState('away')
    // Several pages that lost one server shall not all come back in the same instant.
    this.#timer = setTimeout(() => this.open(), this.#retryMs * (0.75 + Math.random() / 2))
    this.#retryMs = Math.min(LONGEST_RETRY_MS, this.#retryMs * 2)
  }

  #close() {
    clearTimeout(this.#timer)
    this.#source?.close()
    this.#source = undefined
  }

  /** EventSource does not say what it was answered. */
  async #askWhy() {
    try {
      await get('snapshot')
    } catch (error) {
      if (error instanceof ApiError && error.status !== 0) this.#listener.onState('refused', error.message)
    }
  }
}
