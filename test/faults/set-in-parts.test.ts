/*
 * Entries go to Redis without being copied, by a command of our own in the client's queue: they arrive whole, in their place,
 * and again where the client has to send again.
 */
import { expect } from 'chai'
import { Redis as IoRedis6 } from 'ioredis'
import { Redis as IoRedis5 } from 'ioredis5'
import { Redis as IoValkey } from 'iovalkey'
import { createRegistryCache, type RedisClient } from '../../lib/index.ts'
import { createFakeRedis } from '../../lib/testing/index.ts'
import { type SetInParts, setInParts } from '../../lib/tiers/set-in-parts.ts'
import { type RedisServer, startRedis } from '../helpers/redis-server.ts'
import { type ClusterSetup, startCluster } from '../helpers/redis-topologies.ts'
import { startProxy, type TcpProxy } from '../helpers/tcp-proxy.ts'
import { until } from '../helpers/until.ts'

type Client = Pick<IoRedis6, 'on' | 'once' | 'disconnect' | 'status' | 'incr' | 'get' | 'set' | 'ping' | 'stream'>
type Options = Record<string, unknown>

const CLIENTS: Record<string, (options: Options) => Client> = {
  'ioredis 5': (options) => new IoRedis5(options) as unknown as Client,
  'ioredis 6 with RESP2': (options) => new IoRedis6({ protocol: 2, ...options }),
  'ioredis 6 with RESP3': (options) => new IoRedis6({ protocol: 3, ...options }),
  iovalkey: (options) => new IoValkey(options) as unknown as Client,
}

const EVERY_BYTE = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
const VALUES: Record<string, readonly Buffer[]> = {
  'two parts': [Buffer.from('head'), Buffer.from('{"a":"ä€😀"}')],
  'an empty part': [Buffer.from('head'), Buffer.alloc(0)],
  'nothing at all': [Buffer.alloc(0)],
  'what looks like the protocol': [Buffer.from('$3\r\n\r\n*1\r\n$8\r\nFLUSHALL\r\n'), EVERY_BYTE],
  'more than a socket takes at once': [Buffer.from('head'), Buffer.alloc(8 * 2 ** 20, EVERY_BYTE)],
}

describe('SET of a value in parts', function () {
  this.timeout(20_000)
  let redis: RedisServer
  let proxy: TcpProxy
  let clients: Client[]

  before(async () => {
    redis = await startRedis()
    proxy = await startProxy(redis.port)
  })

  after(async () => {
    await proxy.close()
    await redis.stop()
  })

  beforeEach(async () => {
    clients = []
    await proxy.heal()
    await redis.command('FLUSHALL')
  })

  afterEach(() => {
    redis.thaw()
    for (const client of clients) client.disconnect()
  })

  function connect(make: (options: Options) => Client, options: Options = {}): { client: Client; set: SetInParts } {
    const client = make({ host: '127.0.0.1', port: proxy.port, retryStrategy: () => 20, ...options })
    client.on('error', () => {})
    clients.push(client)
    const set = setInParts(client as unknown as RedisClient)
    if (!set) throw new Error('this client is said not to work like this')
    return { client, set }
  }

  const stored = (key: string): Promise<Buffer | null> => redis.client().getBuffer(key)

  for (const [name, make] of Object.entries(CLIENTS)) {
    describe(name, () => {
      for (const [about, parts] of Object.entries(VALUES)) {
        it(`stores ${about}, with its life`, async () => {
          const { set } = connect(make, { keyPrefix: 'ä:' })
          expect(await set('k€y', parts, 60_000)).to.equal('OK')
          expect((await stored('ä:k€y'))?.equals(Buffer.concat(parts)), 'the same bytes').to.equal(true)
          expect(await redis.client().pttl('ä:k€y')).to.be.within(1, 60_000)
        })
      }

      it('hands over the very bytes, and keeps its place among the commands of one turn', async () => {
        const { client, set } = connect(make)
        await client.ping()
        const { stream } = client as { stream: NodeJS.WritableStream }
        const chunks: unknown[] = []
        const write = stream.write.bind(stream) as (...args: unknown[]) => boolean
        stream.write = ((...args: unknown[]) => {
          chunks.push(args[0])
          return write(...args)
        }) as typeof stream.write
        const body = Buffer.from('b'.repeat(100_000))
        const [first, , second, , third] = await Promise.all([
          client.incr('n'),
          set('a', [Buffer.from('1'), body], 1000),
          client.incr('n'),
          set('b', [Buffer.from('2'), body], 1000),
          client.incr('n'),
        ])
        expect([first, second, third]).to.deep.equal([1, 2, 3])
        expect(chunks.filter((chunk) => chunk === body)).to.have.length(2)
        expect((await stored('b'))?.toString()).to.equal(`2${body.toString()}`)
      })

      it('stores what was queued before there was a connection', async () => {
        await proxy.cut()
        const { client, set } = connect(make, { maxRetriesPerRequest: null })
        const before = client.incr('n')
        const done = set('k', [Buffer.from('he'), Buffer.from('ad')], 60_000)
        await proxy.heal()
        expect([await before, await done]).to.deep.equal([1, 'OK'])
        expect((await stored('k'))?.toString()).to.equal('head')
      })

      it('sends it whole once more when the connection was lost before the reply', async () => {
        const { client, set } = connect(make, { maxRetriesPerRequest: null })
        await client.ping()
        proxy.swallow()
        const body = Buffer.alloc(200_000, EVERY_BYTE)
        const done = set('k', [Buffer.from('head'), body], 60_000)
        await until(() => proxy.connections().some((connection) => connection.swallowedBytes > body.byteLength))
        await proxy.heal()
        for (const connection of proxy.connections()) connection.destroy()
        expect(await done).to.equal('OK')
        expect((await stored('k'))?.equals(Buffer.concat([Buffer.from('head'), body]))).to.equal(true)
      })

      it('rejects with the error of the server, and as the client does without a queue', async () => {
        const { client, set } = connect(make, { enableOfflineQueue: false })
        await until(() => client.status === 'ready')
        await redis.config({ maxmemory: '1' })
        try {
          const refused = await set('k', [Buffer.from('x')], 1000).then(String, (error: Error) => error)
          expect(refused).to.be.instanceOf(Error).and.to.have.property('name', 'ReplyError')
        } finally {
          await redis.config({ maxmemory: '0' })
        }
        await proxy.cut()
        await until(() => client.status !== 'ready')
        expect(await set('k', [Buffer.from('x')], 1000).then(String, () => 'rejected')).to.equal('rejected')
      })

      it('goes beside pipelines that the client makes by itself', async () => {
        const { client, set } = connect(make, { enableAutoPipelining: true })
        await client.ping()
        const replies = await Promise.all([client.incr('n'), set('k', [Buffer.from('head')], 1000), client.incr('n')])
        expect(replies).to.deep.equal([1, 'OK', 2])
        expect((await stored('k'))?.toString()).to.equal('head')
      })
    })
  }

  it('is what an entry is stored by', async () => {
    const { client } = connect((options) => new IoRedis6(options))
    const cache = createRegistryCache({ redis: client as IoRedis6, prefix: '' })
    await cache.start()
    try {
      await client.ping()
      const sent: unknown[] = []
      const { sendCommand } = client as IoRedis6
      ;(client as IoRedis6).sendCommand = function watched(this: IoRedis6, command, ...more) {
        if (command.name === 'set') sent.push(command.args[1])
        return sendCommand.call(this, command, ...more)
      }
      await cache.set('tools', [{ id: 1 }])
      const key = await until(async () => (await redis.client().keys('registry:tools:*')).find((k) => !k.includes('@')))
      expect((await stored(key))?.toString()).to.match(/^ERC1.*\[\{"id":1\}\]$/s)
      expect(sent, 'no value among the arguments').to.deep.equal([''])
    } finally {
      await cache.stop()
    }
  })

  it('says of other clients that they do not work like this', async () => {
    const inner = connect((options) => new IoRedis6(options)).client
    const wrapper = (methods: object): RedisClient => ({ ...methods, sendCommand: () => {} }) as unknown as RedisClient
    expect(setInParts(createFakeRedis().client() as unknown as RedisClient)).to.equal(undefined)
    expect(setInParts(wrapper({ ping: () => inner.ping() }))).to.equal(undefined)
    expect(setInParts(wrapper({ ping: () => Promise.reject(new Error('no')) }))).to.equal(undefined)
    expect(setInParts(wrapper({}))).to.equal(undefined)
    const binary = connect.bind(undefined, (options) => new IoRedis6(options), { keyPrefix: Buffer.from([255]) })
    expect(binary).to.throw('not to work like this')
    const { ping } = inner
    expect(setInParts({ options: {}, ping } as unknown as RedisClient), 'without sendCommand').to.equal(undefined)
  })
})

describe('SET of a value in parts, on a Cluster', function () {
  this.timeout(60_000)
  let setup: ClusterSetup

  before(async () => {
    setup = await startCluster()
  })

  after(async () => {
    await setup.stop()
  })

  it('goes to the node of its key, also where the client has to be sent elsewhere first', async () => {
    const client = setup.client()
    const set = setInParts(client as unknown as RedisClient) as SetInParts
    for (let i = 0; i < 20; i++) {
      expect(await set(`k${i}`, [Buffer.from('head'), Buffer.from(`${i}`)], 60_000)).to.equal('OK')
      expect((await client.getBuffer(`k${i}`))?.toString()).to.equal(`head${i}`)
    }
    // What it believes about the slots is wrong now: a node sends it on with MOVED.
    const { slots } = client as unknown as { slots: string[][] }
    const slot = Number(await setup.masters[0]?.command('CLUSTER', 'KEYSLOT', 'k0'))
    slots[slot] = slots.find((nodes) => nodes[0] !== slots[slot]?.[0]) as string[]
    expect(await set('k0', [Buffer.from('moved'), Buffer.from('there')], 60_000)).to.equal('OK')
    expect((await client.getBuffer('k0'))?.toString()).to.equal('movedthere')
  })
})
