/*
 * Entries go to Redis without being copied, by a command of our own in the client's queue: they arrive whole, in their place,
 * and again where the client has to send again.
 */
import { expect } from 'chai'
import { Redis as IoRedis6 } from 'ioredis'
import { createRegistryCache } from '../../lib/index.ts'
import { createFakeRedis } from '../../lib/testing/index.ts'
import { type SetInParts, type SettingClient, setInParts } from '../../lib/tiers/set-in-parts.ts'
import { type AnyClient, CLIENTS, type ClientMaker } from '../helpers/redis-clients.ts'
import { type RedisServer, startRedis } from '../helpers/redis-server.ts'
import { type ClusterSetup, startCluster } from '../helpers/redis-topologies.ts'
import { startProxy, type TcpProxy } from '../helpers/tcp-proxy.ts'
import { until } from '../helpers/until.ts'

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
  let clients: AnyClient[]

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

  function connect(
    make: ClientMaker,
    options: Parameters<ClientMaker>[0] = {},
  ): { client: AnyClient; set: SetInParts } {
    const client = make({ host: '127.0.0.1', port: proxy.port, retryStrategy: () => 20, ...options })
    client.on('error', () => {})
    clients.push(client)
    return { client, set: setInParts(client as unknown as SettingClient) }
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

      it('leaves by one write where nobody has corked the connection', async () => {
        const { client, set } = connect(make)
        await client.ping()
        const { stream } = client as unknown as { stream: Record<'_write' | '_writev', (...args: unknown[]) => void> }
        const writes: string[] = []
        for (const method of ['_write', '_writev'] as const) {
          const own = stream[method].bind(stream)
          stream[method] = (...args) => {
            writes.push(method)
            own(...args)
          }
        }
        await set('k', [Buffer.from('he'), Buffer.from('ad')], 1000)
        expect(writes).to.deep.equal(['_writev'])
        expect((await stored('k'))?.toString()).to.equal('head')
      })

      it('minds the options that the client has at that moment', async () => {
        const { client, set } = connect(make, { keyPrefix: 'a:', showFriendlyErrorStack: true })
        const { options } = client as unknown as { options: { keyPrefix: string } }
        options.keyPrefix = 'b:'
        await set('k', [Buffer.from('head')], 1000)
        expect(await redis.client().keys('*')).to.deep.equal(['b:k'])
        const refused = await set('k', [Buffer.from('head')], 0).then(String, (error: Error) => error)
        expect(refused).to.be.instanceOf(Error).with.property('stack').that.includes('set-in-parts')
      })

      it('leaves it to a SET that is not the client’s own, also one that came later', async () => {
        const { client, set } = connect(make)
        const asked: unknown[][] = []
        const { set: own } = client
        client.set = ((...args: unknown[]) => {
          asked.push(args)
          return (own as (...args: unknown[]) => unknown).apply(client, args)
        }) as typeof client.set
        await set('k', [Buffer.from('he'), Buffer.from('ad')], 1000)
        await setInParts(client as unknown as SettingClient)('l', [Buffer.from('head')], 1000)
        expect(asked.map(([key, value]) => [key, String(value)])).to.deep.equal([
          ['k', 'head'],
          ['l', 'head'],
        ])
        expect((await stored('k'))?.toString()).to.equal('head')
      })

      it('leaves it to the client where arguments of SET are transformed', async () => {
        const { client, set } = connect(make)
        const made = (client.ping as (this: object) => unknown).call({ options: {}, sendCommand: (one: object) => one })
        const Command = (made as object).constructor as unknown as {
          setArgumentTransformer(name: string, transform: (args: unknown[]) => unknown[]): void
          _transformer: { argument: Record<string, unknown> }
        }
        Command.setArgumentTransformer('set', ([key, value, ...more]) => [key, `<${String(value)}>`, ...more])
        try {
          await set('k', [Buffer.from('he'), Buffer.from('ad')], 1000)
        } finally {
          delete Command._transformer.argument.set
        }
        expect((await stored('k'))?.toString()).to.equal('<head>')
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

  it('leaves it to clients that wrap another, and sends nothing to find out', async () => {
    const inner = connect((options) => new IoRedis6({ ...options, lazyConnect: true })).client as IoRedis6
    class Prefixing extends IoRedis6 {
      override set(key: unknown, ...more: unknown[]): never {
        return super.set(`tenant:${String(key)}`, ...(more as [string])) as never
      }
    }
    const binding = new Proxy(inner, {
      get: (client, name) => {
        const value: unknown = Reflect.get(client, name)
        return typeof value === 'function' ? value.bind(client) : value
      },
    })
    const subclass = connect((options) => new Prefixing(options)).client
    const bound = setInParts(binding as unknown as SettingClient)
    expect(inner.status, 'asked nothing').to.equal('wait')
    await setInParts(subclass as unknown as SettingClient)('k', [Buffer.from('he'), Buffer.from('ad')], 1000)
    expect((await stored('tenant:k'))?.toString()).to.equal('head')
    await bound('l', [Buffer.from('he'), Buffer.from('ad')], 1000)
    expect((await stored('l'))?.toString()).to.equal('head')
  })

  it('leaves it to a client whose key prefix is no text', async () => {
    const { set } = connect((options) => new IoRedis6({ ...options, keyPrefix: Buffer.from([255]) } as never))
    await set('k', [Buffer.from('he'), Buffer.from('ad')], 1000)
    const key = Buffer.concat([Buffer.from([255]), Buffer.from('k')])
    expect((await redis.client().getBuffer(key))?.toString()).to.equal('head')
  })

  it('leaves it to clients of another make', async () => {
    class Old {
      readonly options = { keyPrefix: Buffer.from([255]) as unknown }
      readonly stored: string[] = []
      ping(): unknown {
        return this.sendCommand({ args: [], toWritable: () => '' })
      }
      sendCommand(command: object): unknown {
        return command
      }
      async set(key: string, value: Buffer): Promise<void> {
        this.stored.push(`${key} ${value.toString()}`)
      }
    }
    class Silent extends Old {}
    Object.assign(Silent.prototype, { ping: () => Promise.reject(new Error('no')), set: Old.prototype.set })
    for (const client of [new Old(), new Silent(), Object.assign(new Old(), { sendCommand: undefined })]) {
      await setInParts(client as unknown as SettingClient)('k', [Buffer.from('he'), Buffer.from('ad')], 1000)
      expect(client.stored).to.deep.equal(['k head'])
    }
    const fake = createFakeRedis().client()
    await setInParts(fake as unknown as SettingClient)('k', [Buffer.from('he'), Buffer.from('ad')], 1000)
    expect(await fake.get('k')).to.equal('head')
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
    const set = setInParts(client as unknown as SettingClient)
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
