/*
 * What travels on the channel: `epoch EPOCH SPACE WORKER CAUSE TAG`, then the bare `TAG`, both from one script. The bare
 * one is the wire format of the system that this package grew out of. A bare one that follows no epoch message comes
 * from a foreign publisher, who raises nothing.
 */

export interface EpochMessage {
  readonly epoch: number
  /** 8 hex over database number and key prefix, which pub/sub knows nothing of. */
  readonly space: string
  readonly worker: string
  readonly cause: string
  readonly tag: string
}

const EPOCH_MESSAGE = /^epoch (\d{1,16}) ([0-9a-f]{8}) (\S+) (\S+) (.+)$/s

export function parseEpochMessage(message: string): EpochMessage | undefined {
  const parts = EPOCH_MESSAGE.exec(message)
  if (!parts) return undefined
  const [, epoch = '', space = '', worker = '', cause = '', tag = ''] = parts
  // What is not exact can not be compared, nor raised above.
  if (!Number.isSafeInteger(Number(epoch))) return undefined
  return { epoch: Number(epoch), space, worker, cause: decode(cause), tag }
}

/** `api`, `foreign`, `repair` or `METHOD:route`, without blanks. */
export function encodeCause(cause: string): string {
  return cause.slice(0, 200).replace(/[^A-Za-z0-9:/_.*()-]/gu, (character) => percent(character)) || 'api'
}

function percent(character: string): string {
  return [...Buffer.from(character)].map((byte) => `%${byte.toString(16).padStart(2, '0').toUpperCase()}`).join('')
}

function decode(cause: string): string {
  try {
    return decodeURIComponent(cause)
  } catch {
    return cause
  }
}

/** How long a bare message is waited for; they come in one breath. */
const PAIR_WITHIN_MS = 1000
const MAX_PAIRS = 1000

/**
 * Tells bare messages of ours from foreign ones. Counts one per tag at most, and for a second: a foreign message taken
 * for ours would be a stale answer, one of ours taken for foreign is only one raise too many.
 */
export class Pairing {
  readonly #expected = new Map<string, number>()

  epochMessage(tag: string, nowMs: number): void {
    this.#expected.delete(tag)
    this.#expected.set(tag, nowMs + PAIR_WITHIN_MS)
    if (this.#expected.size <= MAX_PAIRS) return
    for (const oldest of this.#expected.keys()) {
      this.#expected.delete(oldest)
      break
    }
  }

  /** True when the bare message of this tag is ours. */
  bareMessage(tag: string, nowMs: number): boolean {
    const untilMs = this.#expected.get(tag)
    this.#expected.delete(tag)
    return untilMs !== undefined && nowMs < untilMs
  }

  reset(): void {
    this.#expected.clear()
  }
}
