/*
 * Several redis-servers that know each other: a master with a replica and three Sentinels, and a Cluster. Set up by commands alone, so
 * redis-cli is not needed, with timeouts short enough for tests.
 */
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Cluster, Redis } from 'ioredis'
import { type ClientOptions, type RedisServer, startProcess, startRedis } from './redis-server.ts'
import { until } from './until.ts'

export interface SentinelSetup {
  /** The name that the Sentinels know the master by. */
  readonly name: 'mymaster'
  /** Who was master and replica at the start; a failover does not rename them. */
  readonly master: RedisServer
  readonly replica: RedisServer
  readonly sentinels: readonly RedisServer[]
  /** Options for `new Redis(...)` that go through the Sentinels. */
  readonly clientOptions: ClientOptions
  /** A client that follows the master; `stop()` disconnects it. */
  client(options?: ClientOptions): Redis
  /** The port of the present master, by the word of the first Sentinel. */
  masterPort(): Promise<number>
  /** Orders a failover and resolves when the Sentinels name the other server. */
  failover(): Promise<void>
  stop(): Promise<void>
}

/** One master, one replica, three Sentinels (quorum 2). Resolves when the Sentinels know all; takes some seconds. */
export async function startSentinel(): Promise<SentinelSetup> {
  const servers: RedisServer[] = []
  const clients = new Set<Redis>()
  const stop = async (): Promise<void> => {
    for (const client of clients) client.disconnect()
    await stopAll(servers)
  }
  try {
    const master = await startRedis()
    servers.push(master)
    const replica = await startRedis({
      args: ['--replicaof', '127.0.0.1', `${master.port}`, '--repl-diskless-sync-delay', '0'],
    })
    servers.push(replica)
    const sentinels = await Promise.all([1, 2, 3].map(() => startOneSentinel(master.port)))
    // The Sentinels go first at the end, so that they see nothing to fail over.
    servers.unshift(...sentinels)
    const [first] = sentinels
    if (first === undefined) throw new Error('no Sentinel was started')
    await until(async () => (await Promise.all(sentinels.map(knowsAll))).every(Boolean), {
      deadlineMs: 20_000,
      everyMs: 50,
      describe: 'the Sentinels to know each other and the replica',
    })
    const clientOptions: ClientOptions = {
      name: 'mymaster',
      sentinels: sentinels.map(({ port }) => ({ host: '127.0.0.1', port })),
    }
    const masterPort = async (): Promise<number> => {
      const address = (await first.command('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'mymaster')) as [string, string]
      return Number(address[1])
    }
    return {
      name: 'mymaster',
      master,
      replica,
      sentinels,
      clientOptions,
      client(options = {}) {
        const client = new Redis({ ...clientOptions, ...options })
        client.on('error', () => {})
        clients.add(client)
        return client
      },
      masterPort,
      async failover() {
        const before = await masterPort()
        await first.command('SENTINEL', 'FAILOVER', 'mymaster')
        await until(async () => (await masterPort()) !== before, {
          deadlineMs: 15_000,
          everyMs: 50,
          describe: 'the failover',
        })
      },
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

async function startOneSentinel(masterPort: number): Promise<RedisServer> {
  return await startProcess((port, dir) => {
    const file = join(dir, 'sentinel.conf')
    // A Sentinel keeps what it learns in its file: a restart goes on with it.
    if (!existsSync(file)) writeFileSync(file, sentinelConfig(port, dir, masterPort))
    return [file, '--sentinel']
  })
}

function sentinelConfig(port: number, dir: string, masterPort: number): string {
  return [
    `port ${port}`,
    `dir ${dir}`,
    'bind 127.0.0.1',
    'protected-mode no',
    `sentinel monitor mymaster 127.0.0.1 ${masterPort} 2`,
    'sentinel down-after-milliseconds mymaster 1000',
    'sentinel failover-timeout mymaster 3000',
    'sentinel parallel-syncs mymaster 1',
    '',
  ].join('\n')
}

async function knowsAll(sentinel: RedisServer): Promise<boolean> {
  const flat = (await sentinel.command('SENTINEL', 'MASTER', 'mymaster')) as string[]
  const field = (name: string): string | undefined => flat[flat.indexOf(name) + 1]
  return field('flags') === 'master' && field('num-slaves') === '1' && field('num-other-sentinels') === '2'
}

/** What `new Cluster()` takes beside addresses. */
export type ClusterClientOptions = NonNullable<ConstructorParameters<typeof Cluster>[1]>

export interface ClusterSetup {
  /** Masters first, then replicas: replica `i` follows master `i % masters`. */
  readonly nodes: readonly RedisServer[]
  readonly masters: readonly RedisServer[]
  readonly replicas: readonly RedisServer[]
  /** For `new Cluster(...)`. */
  readonly addresses: readonly { host: string; port: number }[]
  /** An ioredis 6 cluster client; `stop()` disconnects it. */
  client(options?: ClusterClientOptions): Cluster
  stop(): Promise<void>
}

/** A Redis Cluster with the slots spread evenly over `masters` (default 3), and `replicas` in all (default 0). */
export async function startCluster(options: { masters?: number; replicas?: number } = {}): Promise<ClusterSetup> {
  const { masters: masterCount = 3, replicas: replicaCount = 0 } = options
  const cluster = ['--cluster-enabled', 'yes', '--cluster-config-file', 'nodes.conf', '--cluster-node-timeout', '2000']
  const args = [...cluster, '--repl-diskless-sync-delay', '0']
  const nodes: RedisServer[] = []
  const clients = new Set<Cluster>()
  const stop = async (): Promise<void> => {
    for (const client of clients) client.disconnect()
    await stopAll(nodes)
  }
  try {
    for (let i = 0; i < masterCount + replicaCount; i++) nodes.push(await startRedis({ args }))
    const masters = nodes.slice(0, masterCount)
    const replicas = nodes.slice(masterCount)
    await Promise.all(nodes.map((node, i) => node.command('CLUSTER', 'SET-CONFIG-EPOCH', `${i + 1}`)))
    await Promise.all(
      masters.map((node, i) => {
        const from = Math.round((16_384 * i) / masterCount)
        const to = Math.round((16_384 * (i + 1)) / masterCount) - 1
        return node.command('CLUSTER', 'ADDSLOTSRANGE', `${from}`, `${to}`)
      }),
    )
    // Everyone meets everyone: gossip alone takes seconds.
    for (const { port } of nodes) {
      await Promise.all(nodes.map((node) => node.command('CLUSTER', 'MEET', '127.0.0.1', `${port}`)))
    }
    await until(async () => (await Promise.all(nodes.map((node) => agrees(node, nodes.length)))).every(Boolean), {
      deadlineMs: 20_000,
      everyMs: 50,
      describe: 'the nodes of the cluster to agree',
    })
    await follow(replicas, masters)
    const addresses = nodes.map(({ port }) => ({ host: '127.0.0.1', port }))
    return {
      nodes,
      masters,
      replicas,
      addresses,
      client(clientOptions = {}) {
        const client = new Cluster(addresses, clientOptions)
        client.on('error', () => {})
        clients.add(client)
        return client
      },
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

async function agrees(node: RedisServer, count: number): Promise<boolean> {
  const info = String(await node.command('CLUSTER', 'INFO'))
  return info.includes('cluster_state:ok') && info.includes(`cluster_known_nodes:${count}\r\n`)
}

async function follow(replicas: readonly RedisServer[], masters: readonly RedisServer[]): Promise<void> {
  const ids = await Promise.all(masters.map((master) => master.command('CLUSTER', 'MYID')))
  await Promise.all(replicas.map((replica, i) => replica.command('CLUSTER', 'REPLICATE', String(ids[i % ids.length]))))
  await until(
    async () => {
      const infos = await Promise.all(replicas.map((replica) => replica.command('INFO', 'replication')))
      return infos.every((info) => String(info).includes('master_link_status:up'))
    },
    { deadlineMs: 20_000, everyMs: 50, describe: 'the replicas to follow their masters' },
  )
}

async function stopAll(servers: readonly RedisServer[]): Promise<void> {
  await Promise.all(servers.map((server) => server.stop()))
}
