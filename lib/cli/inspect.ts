/*
 * `inspect`: an entry in Redis as the cache would judge it: its stamps against the epochs as they are now. Reads only.
 */
import { isUtf8 } from 'node:buffer'
import { type Content, decodeEntry, type Stamps } from '../cache/entry.ts'
import { isType } from '../cache/names.ts'
import { entryKey, epochKey } from '../tiers/keys.ts'
import { type Settings, UsageError } from './arguments.ts'
import { type Client, connect, messageOf, within } from './connection.ts'
import { json, type Output, printable, seconds, table } from './output.ts'

interface Stamp {
  readonly tag: string
  readonly epoch: number
  /** Null: there is none, since it was never raised, expired, or was lost; the cache opens it anew, and the entry is worthless. */
  readonly current: number | null
}

/** 0 when there is an entry, valid or not; 1 when there is none or it can not be read. */
export async function inspect(settings: Settings, output: Output): Promise<number> {
  const key = keyOf(settings.targets[0] ?? '', settings.prefix)
  const client = await connect(settings)
  const ask = (command: string, ...args: string[]): Promise<unknown> =>
    within(settings.timeoutMs, client.callBuffer(command, ...args))
  try {
    const ttlMs = Number(await ask('PTTL', key))
    const envelope = await ask('GET', key)
    const entry = Buffer.isBuffer(envelope) ? decodeEntry(envelope) : undefined
    if (!Buffer.isBuffer(envelope) || !entry) {
      const reason = Buffer.isBuffer(envelope) ? 'is no entry of this version of the cache' : 'is not in Redis'
      if (settings.json) output.out(json({ key, found: false, reason }))
      output.err(`${printable(key)} ${reason}`)
      return 1
    }
    const stamps = await stampsOf(entry.stamps, settings, client)
    report({ key, ttlMs, envelopeBytes: envelope.byteLength, content: entry.content, stamps }, settings, output)
    return 0
  } catch (error) {
    output.err(`${printable(key)} can not be read: ${printable(messageOf(error))}`)
    return 1
  } finally {
    client.disconnect()
  }
}

/** The whole key of what a user writes: itself, the key without its prefix, or TYPE:HASH. */
function keyOf(target: string, prefix: string): string {
  const entries = `${prefix}registry:`
  if (target.startsWith(entries)) return target
  const [type, hash, ...rest] = target.replace(/^registry:/, '').split(':')
  if (isType(type) && hash !== undefined && /^[0-9a-f]{32}$/.test(hash) && rest.length === 0) {
    return entryKey(prefix, type, hash)
  }
  throw new UsageError(
    `inspect: expected a key that begins with ${printable(JSON.stringify(entries))}, or TYPE:HASH with 32 hex digits (another --prefix?)`,
  )
}

async function stampsOf({ tags, epochs }: Stamps, settings: Settings, client: Client): Promise<Stamp[]> {
  const keys = tags.map((tag) => epochKey(settings.prefix, tag))
  const current = (await within(settings.timeoutMs, client.call('MGET', ...keys))) as (string | null)[]
  return tags.map((tag, i) => {
    const text = current[i] ?? ''
    return { tag, epoch: epochs[i] ?? 0, current: /^\d{1,16}$/.test(text) ? Number(text) : null }
  })
}

interface Found {
  readonly key: string
  readonly ttlMs: number
  readonly envelopeBytes: number
  readonly content: Content
  readonly stamps: readonly Stamp[]
}

function report({ key, ttlMs, envelopeBytes, content, stamps }: Found, settings: Settings, output: Output): void {
  const { kind, status, headers, removed, vary, shareable, body } = content
  const isValid = stamps.every(({ epoch, current }) => epoch === current)
  const staleMs = Math.max(content.staleWhileRevalidateMs, content.staleIfErrorMs)
  // Without an expiry (-1) it was not the cache that wrote it; the cache gives it no time.
  const freshMs = Math.max(0, ttlMs - staleMs)
  if (settings.json) {
    const lives = {
      ttlSeconds: seconds(content.ttlMs),
      freshLeftSeconds: seconds(freshMs),
      leftSeconds: seconds(ttlMs),
    }
    const bytes = { body: body.byteLength, envelope: envelopeBytes }
    const isText = isUtf8(body)
    const printed = isText ? { body: body.toString() } : { bodyBase64: body.toString('base64') }
    const judged = { key, found: true, kind, valid: isValid, fresh: isValid && freshMs > 0, ...lives, bytes, stamps }
    output.out(json({ ...judged, status, headers, removed, vary, shareable, ...(settings.body ? printed : {}) }))
    return
  }
  const verdict = isValid ? (freshMs > 0 ? 'valid, fresh' : 'valid, stale') : 'invalidated: it is never served'
  const rows: string[][] = [
    ['key', printable(key)],
    ['kind', kind],
    ['state', verdict],
    [
      'left',
      `${seconds(freshMs)} s fresh${staleMs > 0 ? `, ${seconds(ttlMs)} s in all` : ''}, of ${seconds(content.ttlMs)} s`,
    ],
    ['size', `${body.byteLength} bytes of body, ${envelopeBytes} in Redis`],
  ]
  if (kind === 'response') {
    rows.push(['status', String(status)])
    for (const [name, value] of headers) rows.push(['header', printable(`${name}: ${[value].flat().join(', ')}`)])
    for (const name of removed) rows.push(['removed', printable(name)])
    if (shareable) rows.push(['shareable', 'yes: may answer requests with credentials'])
  }
  if (vary.length > 0) rows.push(['vary', printable(vary.join(', '))])
  for (const stamp of stamps) rows.push(['stamp', `${printable(stamp.tag)} ${stamp.epoch}: ${standing(stamp)}`])
  for (const line of table(rows)) output.out(line)
  if (settings.body)
    output.out(`\n${isUtf8(body) ? printable(body.toString(), { lines: true }) : body.toString('base64')}`)
}

function standing({ epoch, current }: Stamp): string {
  if (current === null) return 'Redis has no epoch of it (lost or expired)'
  if (current === epoch) return 'current'
  return current > epoch ? `raised to ${current}` : `Redis has a lower one, ${current}: it lost raises`
}
