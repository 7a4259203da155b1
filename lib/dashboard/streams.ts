/*
 * Server-sent events to the pages that are open. A page that reads slowly misses ticks, and is closed when it does not read at
 * all; no stream outlives the server that it came through or the sign-in that it was admitted by for long. Knows no cache.
 */
import type { ServerResponse } from 'node:http'
import type { Clock } from '../cache/tiers.ts'

/** A snapshot has some 200 KB at most; what is more than this is not being read. */
export const MAX_BUFFERED_BYTES: number = 512 * 1024
const MAX_STALLED_MS = 30_000
/** Then the browser comes again, and whoever signs people in sees it again. */
const MAX_AGE_MS = 15 * 60_000
/** What a browser does of itself; the page's own script has a rhythm of its own. */
const RETRY_MS = 2000
const HEARTBEAT_MS = 15_000

interface Stream {
  readonly res: ServerResponse
  readonly openedAtMs: number
  readonly drained: () => void
  stalledAtMs: number | undefined
  wroteAtMs: number
}

/** `compression()` has this. */
type Flushing = ServerResponse & { readonly flush?: () => void }

export class Streams {
  readonly #clock: Clock
  readonly #onCount: (count: number) => void
  readonly #streams = new Set<Stream>()

  constructor(clock: Clock, onCount: (count: number) => void) {
    this.#clock = clock
    this.#onCount = onCount
  }

  get size(): number {
    return this.#streams.size
  }

  /** Turns a response into a stream that begins with these events. */
  open(res: ServerResponse, first: string): void {
    res.statusCode = 200
    res.setHeader('Content-Type', 'text/event-stream; charset=utf-8')
    // no-transform keeps compression() from waiting for more; the other is for nginx.
    res.setHeader('Cache-Control', 'no-store, no-transform')
    res.setHeader('X-Accel-Buffering', 'no')
    // A connection that outlives its stream holds a server open that closes, and the page would come back on it again and again.
    res.setHeader('Connection', 'close')
    const nowMs = this.#clock.monotonic()
    const drained = (): void => {
      stream.stalledAtMs = undefined
    }
    const stream: Stream = { res, openedAtMs: nowMs, drained, stalledAtMs: undefined, wroteAtMs: nowMs }
    this.#streams.add(stream)
    res.on('drain', drained)
    res.once('close', () => this.#remove(stream))
    // A client that resets its connection is no error of ours.
    res.on('error', () => this.#remove(stream))
    this.#write(stream, `retry: ${RETRY_MS}\n\n${first}`)
    this.#onCount(this.#streams.size)
  }

  /** To every page that keeps up; `isDroppable` leaves out those that have not read what came before. */
  send(text: string, isDroppable: boolean): void {
    for (const stream of this.#streams) {
      if (!isDroppable || stream.stalledAtMs === undefined) this.#write(stream, text)
    }
  }

  /** Once a second: ends what should not stay, and says to the others that it is there. */
  turn(): void {
    const nowMs = this.#clock.monotonic()
    for (const stream of this.#streams) {
      const { res, openedAtMs, stalledAtMs, wroteAtMs } = stream
      if (stalledAtMs !== undefined && nowMs - stalledAtMs > MAX_STALLED_MS) this.#destroy(stream)
      else if (nowMs - openedAtMs > MAX_AGE_MS || isClosing(res)) this.#end(stream)
      else if (nowMs - wroteAtMs >= HEARTBEAT_MS) this.#write(stream, ': still here\n\n')
    }
  }

  close(): void {
    for (const stream of this.#streams) this.#end(stream)
  }

  #write(stream: Stream, text: string): void {
    const res: Flushing = stream.res
    if (res.writableLength + text.length > MAX_BUFFERED_BYTES) {
      this.#destroy(stream)
      return
    }
    stream.wroteAtMs = this.#clock.monotonic()
    if (!res.write(text)) stream.stalledAtMs ??= stream.wroteAtMs
    res.flush?.()
  }

  #end(stream: Stream): void {
    // What was not read by now is not waited for: a server that closes would wait for it.
    if (stream.stalledAtMs !== undefined) this.#destroy(stream)
    else {
      this.#remove(stream)
      stream.res.end()
    }
  }

  #destroy(stream: Stream): void {
    this.#remove(stream)
    stream.res.destroy()
  }

  #remove(stream: Stream): void {
    stream.res.off('drain', stream.drained)
    if (this.#streams.delete(stream)) this.#onCount(this.#streams.size)
  }
}

export function frame(event: string, value: unknown): string {
  return `event: ${event}\ndata: ${JSON.stringify(value)}\n\n`
}

/** A server that listens no more waits for its connections to end. */
function isClosing(res: ServerResponse): boolean {
  const { server } = (res.socket ?? {}) as { readonly server?: { readonly listening?: boolean } }
  return server?.listening === false
}
