/*
 * Compiled, never run: the client types of the library accept the real clients. What must not be accepted is marked, and the
 * compiler complains when it is.
 */
import { Cluster, Redis } from 'ioredis'
import { Cluster as ClusterFive, Redis as RedisFive } from 'ioredis5'
import { Redis as Valkey, Cluster as ValkeyCluster } from 'iovalkey'
import { configureRegistryCache, createRegistryCache, type RedisClient } from '../../lib/index.ts'
import type { CommandClass, SettingClient } from '../../lib/tiers/set-in-parts.ts'

export const clients: readonly RedisClient[] = [
  new Redis(),
  new Redis({ protocol: 2 }),
  new Redis({ protocol: 3 }),
  new Redis({ keyPrefix: 'app:', db: 1, lazyConnect: true }),
  new Cluster([{ host: '127.0.0.1', port: 7000 }]),
  new RedisFive(),
  new RedisFive({ keyPrefix: 'app:' }),
  new ClusterFive([{ host: '127.0.0.1', port: 7000 }]),
  new Valkey(),
  new ValkeyCluster([{ host: '127.0.0.1', port: 7000 }]),
]

createRegistryCache({ redis: new Redis() })
createRegistryCache({ redis: new Cluster([]) })
createRegistryCache({ redis: new RedisFive() })
createRegistryCache({ redis: new ClusterFive([]) })
createRegistryCache({ redis: new Valkey() })
createRegistryCache({ redis: new ValkeyCluster([]) })
configureRegistryCache({ redis: undefined })

// @ts-expect-error a URL is no client
createRegistryCache({ redis: 'redis://127.0.0.1' })
// @ts-expect-error neither are a client's options
createRegistryCache({ redis: { host: '127.0.0.1', port: 6379 } })
// @ts-expect-error an unknown option
createRegistryCache({ redys: new Redis() })
// @ts-expect-error a TTL as text
createRegistryCache({ defaultTtl: '20' })

/** Of these we make commands of our own (lib/tiers/set-in-parts.ts). */
export const commands: readonly CommandClass[] = [Redis.Command, RedisFive.Command, Valkey.Command]
export const setting: readonly SettingClient[] = [new Redis(), new Cluster([]), new RedisFive(), new Valkey()]
