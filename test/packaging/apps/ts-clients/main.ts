// Compiled, never run: every client that the documentation names is accepted as it is.
import { createRegistryCache, type RegistryCacheOptions } from 'express-registry-cache'
import { Cluster as Cluster6, Redis as Redis6 } from 'ioredis'
import { Cluster as Cluster5, Redis as Redis5 } from 'ioredis5'
import { Redis as Valkey, Cluster as ValkeyCluster } from 'iovalkey'

const seeds = [{ host: '127.0.0.1', port: 7000 }]
const clients = [
  new Redis5(),
  new Cluster5(seeds),
  new Redis6(),
  new Redis6({ keyPrefix: 'app:' }),
  new Cluster6(seeds),
  new Valkey(),
  new ValkeyCluster(seeds),
] satisfies RegistryCacheOptions['redis'][]

for (const redis of clients) createRegistryCache({ redis })
createRegistryCache({ redis: undefined })
