/*
 * The clients that users bring, by the name that a test shows: ioredis 5 and 6, iovalkey. Options are those that they share.
 */
import { Redis as IoRedis6 } from 'ioredis'
import { Redis as IoRedis5 } from 'ioredis5'
import { Redis as IoValkey } from 'iovalkey'

/** What tests use of a client beside what the cache uses; the same in all of them. */
export type AnyClient = Pick<IoRedis6, 'on' | 'disconnect' | 'status' | 'ping' | 'incr' | 'set' | 'stream'>

export type ClientMaker = (options: Readonly<Record<string, unknown>>) => AnyClient

export const CLIENTS: Readonly<Record<string, ClientMaker>> = {
  'ioredis 5': (options) => new IoRedis5(options) as unknown as AnyClient,
  'ioredis 6 with RESP2': (options) => new IoRedis6({ protocol: 2, ...options }),
  'ioredis 6 with RESP3': (options) => new IoRedis6({ protocol: 3, ...options }),
  iovalkey: (options) => new IoValkey(options) as unknown as AnyClient,
}
