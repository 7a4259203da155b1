/*
 * `watch`: prints what is published on the channel. It is no worker: it raises nothing, and answers no foreign publisher.
 */
import { isTag } from '../cache/names.ts'
import { channelOf, spaceOf } from '../tiers/keys.ts'
import { Pairing, parseEpochMessage } from '../tiers/messages.ts'
import type { Settings } from './arguments.ts'
import { type Client, connect, messageOf, nameOf, open, within } from './connection.ts'
import { json, type Output, printable } from './output.ts'

/** One line of output. A foreign publisher sends a bare tag; what is no tag either, workers ignore. */
interface Seen {
  readonly at: string
  readonly kind: 'invalidation' | 'foreign' | 'ignored'
  readonly tag: string
  readonly epoch?: number
  readonly cause?: string
  readonly worker?: string
  /** Raised in another database, or under another key prefix, of this server: it is not about our entries. */
  readonly elsewhere?: boolean
}

const BEAT_MS = 5000

/** Resolves with 0 when `stopped` does. Connections that break are replaced; only the first one must succeed. */
export async function watch(settings: Settings, output: Output, stopped: Promise<void>): Promise<number> {
  const channel = channelOf(settings.prefix)
  const first = await connect(settings)
  const space = spaceOf(first)
  const pairing = new Pairing()
  const client = first.duplicate({
    retryStrategy: (attempt: number) => Math.min(50 * 2 ** Math.min(attempt, 6), 1000),
  })
  first.disconnect()
  let isOver = false
  client.on('message', (_channel, message) => {
    const seen = understand(String(message), pairing, space)
    if (seen) output.out(settings.json ? json(seen) : lineOf(seen))
  })
  await open(client, settings)
  let beat: NodeJS.Timeout | undefined
  try {
    await within(settings.timeoutMs, client.subscribe(channel))
    output.err(`watching ${printable(channel)} of ${nameOf(settings.redisUrl)}; interrupt to end`)
    client.on('close', () => {
      pairing.reset()
      if (!isOver) output.err('connection lost: what is sent until it is back is not seen')
    })
    client.on('ready', () => {
      if (!isOver) output.err('connected again')
    })
    beat = setInterval(() => checkAlive(client, settings.timeoutMs), BEAT_MS)
    await stopped
    return 0
  } catch (error) {
    output.err(`${printable(channel)} can not be watched: ${messageOf(error)}`)
    return 1
  } finally {
    isOver = true
    clearInterval(beat)
    client.disconnect()
  }
}

/** A half-open connection says nothing for ever: one that does not answer is replaced. */
function checkAlive(client: Client, timeoutMs: number): void {
  if (client.status !== 'ready') return
  within(timeoutMs, client.ping()).catch((error) => {
    if (!/^NOPERM/.test(messageOf(error))) client.disconnect(true)
  })
}

function understand(message: string, pairing: Pairing, space: string): Seen | undefined {
  const at = new Date().toISOString()
  const nowMs = performance.now()
  const told = parseEpochMessage(message)
  if (told) {
    pairing.epochMessage(told.tag, nowMs)
    const { tag, epoch, cause, worker } = told
    const elsewhere = told.space === space ? {} : { elsewhere: true }
    return { at, kind: 'invalidation', tag, epoch, cause, worker, ...elsewhere }
  }
  if (pairing.bareMessage(message, nowMs)) return undefined
  return { at, kind: message.includes(':') && isTag(message) ? 'foreign' : 'ignored', tag: message }
}

function lineOf({ at, kind, tag, epoch, cause, worker, elsewhere }: Seen): string {
  const text = printable(tag)
  if (kind === 'foreign') return `${at}  ${text}  cause=foreign`
  if (kind === 'ignored') return `${at}  ${JSON.stringify(text)} is no tag: ignored`
  const where = elsewhere === true ? '  (another database or key prefix)' : ''
  return `${at}  ${text}  cause=${printable(cause ?? '')} epoch=${epoch} worker=${printable(worker ?? '')}${where}`
}
