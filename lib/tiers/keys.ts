/*
 * How things are called in Redis: docs/redis-schema.md in code. The prefix is taken literally.
 */
import { hash as digest } from 'node:crypto'

export function entryKey(prefix: string, type: string, hash: string): string {
  return `${prefix}registry:${type}:${hash}`
}

export function epochKey(prefix: string, tag: string): string {
  return `${prefix}${tag}:@epoch`
}

export function channelOf(prefix: string): string {
  return `${prefix}cache:invalidate`
}

/** Tells apart those who share a server's channels but not its keys. Shape: 8 hex over database number and key prefix. */
export function spaceOf(client: { readonly options: object }): string {
  const { keyPrefix = '', db = 0 } = client.options as { keyPrefix?: string; db?: number }
  return digest('sha256', `${db}\0${keyPrefix}`, 'hex').slice(0, 8)
}
