/*
 * How things are called in Redis: docs/redis-schema.md in code. The prefix is taken literally.
 */
import { hash as digest } from 'node:crypto'
import { isType } from '../cache/names.ts'

export function entryKey(prefix: string, type: string, hash: string): string {
  return `${prefix}registry:${type}:${hash}`
}

/** Type and hash of an entry's key, with the prefix or without it, or of `TYPE:HASH` as in events; undefined for anything else. */
export function parseEntryKey(
  prefix: string,
  key: string,
): { readonly type: string; readonly hash: string } | undefined {
  const entries = `${prefix}registry:`
  const bare = key.startsWith(entries) ? key.slice(entries.length) : key.replace(/^registry:(?=.*:)/, '')
  const [type, hash, ...rest] = bare.split(':')
  const isKey = isType(type) && hash !== undefined && /^[0-9a-f]{32}$/.test(hash) && rest.length === 0
  return isKey ? { type, hash } : undefined
}

export function epochKey(prefix: string, tag: string): string {
  return `${prefix}${tag}:@epoch`
}

/** A hash: what a worker says of itself. */
export function workerKey(prefix: string, workerId: string): string {
  return `${prefix}@worker:${workerId}`
}

/** A sorted set: the ids of the workers. */
export function workersKey(prefix: string): string {
  return `${prefix}@workers`
}

export function channelOf(prefix: string): string {
  return `${prefix}cache:invalidate`
}

/** Tells apart those who share a server's channels but not its keys. Shape: 8 hex over database number and key prefix. */
export function spaceOf(client: { readonly options: object }): string {
  const { keyPrefix = '', db = 0 } = client.options as { keyPrefix?: string; db?: number }
  return digest('sha256', `${db}\0${keyPrefix}`, 'hex').slice(0, 8)
}
