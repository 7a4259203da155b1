/*
 * Mistakes of a first hour that are told in a warning, with a code: routes and middlewares in the wrong order, forgotten methods,
 * clients that can not work. And what looks like one of them and is none.
 */
import { EventEmitter } from 'node:events'
import { createServer, type Server } from 'node:http'
import { expect } from 'chai'
import type { Express, RequestHandler, Router } from 'express'
import {
  attachSubscriber,
  configureRegistryCache,
  createRegistryCache,
  type Logger,
  type RedisClient,
  type RegistryCache,
  registryCacheMiddleware,
} from '../../lib/index.ts'
import { createFakeClock } from '../../lib/testing/index.ts'
import { forEachExpress } from '../helpers/http.ts'
import { startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'
import { applications, type Framework, type Given } from './fixture.ts'

const list: RequestHandler = (_req, res) => void res.json([1])
const write: RequestHandler = (_req, res) => void res.status(200).json({})

interface Warned {
  readonly codes: string[]
  readonly messages: string[]
  readonly logger: Logger
}

function warned(): Warned {
  const [codes, messages]: [string[], string[]] = [[], []]
  const ignore = (): void => {}
  const warn = (message: string, about: unknown): void => {
    codes.push((about as { code: string }).code)
    messages.push(message)
  }
  return { codes, messages, logger: { debug: ignore, info: ignore, error: ignore, warn } }
}

forEachExpress((_name, framework) => {
  const start = applications()

  /** Asks for `paths` in this order, twice; resolves to the messages of ERR_CACHE_AFTER_ROUTE. */
  async function ask(build: (given: Given & { framework: Framework }) => void, ...paths: string[]): Promise<string[]> {
    const { logger, codes, messages } = warned()
    const { get } = await start(framework, (given) => build({ ...given, framework }), { logger })
    for (const path of [...paths, ...paths]) await get(path)
    // A response's `finish` comes before its client has all of it, or just after.
    for (let n = 0; n < 3; n++) await get('/nowhere')
    return messages.filter((_message, i) => codes[i] === 'ERR_CACHE_AFTER_ROUTE')
  }

  describe('a cache behind its route', () => {
    const seen = (app: Express | Router, { cache }: Given): void =>
      void app.use(cache.invalidateOn({ types: ['tools'] }))

    it('is told, once, with the route that answers before it', async () => {
      const messages = await ask((given) => {
        seen(given.app, given)
        given.app.get('/tools', list)
        const tools = given.cached({ scope: 'public' })
        given.app.use('/tools', tools, tools.invalidateOn('POST'))
      }, '/tools')
      expect(messages.length).to.equal(1)
      expect(messages[0])
        .to.include('the cache of tools is mounted behind the route /tools')
        .and.include('mount it before')
    })

    it('is told in a router, behind one, and in the route itself', async () => {
      const inRouter = await ask((given) => {
        const router = framework.Router()
        seen(router, given)
        router.get('/:id', list)
        router.use(given.cached({ scope: 'public' }))
        given.app.use('/tools', router)
        given.app.use('/prompts', framework.Router().get('/', list))
      }, '/tools/7')
      expect(inRouter).to.have.lengthOf(1)
      expect(inRouter[0]).to.include('/tools/:id')
      const behindRouter = await ask((given) => {
        seen(given.app, given)
        given.app.use('/tools', framework.Router().get('/', list))
        given.app.use('/tools', given.cached({ scope: 'public' }))
        given.app.get('/prompts', list)
      }, '/tools')
      expect(behindRouter).to.have.lengthOf(1)
      const inRoute = await ask((given) => {
        seen(given.app, given)
        given.app.get('/tools', list, given.cached({ scope: 'public' }))
      }, '/tools')
      expect(inRoute).to.have.lengthOf(1)
    })

    const right: Record<string, (given: Given) => void> = {
      'stands before its route': ({ app, cached }) => {
        app.use('/tools', cached({ scope: 'public' }))
        app.get('/tools', list)
      },
      'stands between a route that is not to be cached and its own': ({ app, cached }) => {
        app.get('/tools/health', list)
        app.use(cached({ scope: 'public' }))
        app.get('/tools', list)
      },
      'has its routes in routers behind it': ({ app, cached }) => {
        app.get('/health', list)
        app.use(cached({ scope: 'public' }))
        app.use('/tools', framework.Router().get('/', list))
      },
      'is mounted on a path on which one route is not to be cached': ({ app, cached }) => {
        app.get('/tools/health', list)
        app.use('/tools', cached({ scope: 'public' }))
        app.get('/tools', list)
        app.get('/tools/:id', list)
      },
      'stands in the route, before the handler': ({ app, cached }) => {
        app.get('/tools', cached({ scope: 'public' }), list)
      },
      'stands in a route of its own, before the handler': ({ app, cached }) => {
        app.get('/health', list)
        app.get('/tools', cached({ scope: 'public' }))
        app.get('/tools', list)
      },
      'is mounted on a path, for routes that are like none of these': ({ app, cached }) => {
        app.get('/tools/health', list)
        app.use('/tools', cached({ scope: 'public' }))
        app.get('/tools/:id/runs', list)
      },
      'stands before a handler that is no route': ({ app, cached }) => {
        app.get('/tools/health', list)
        app.use('/tools', cached({ scope: 'public' }), list)
      },
      'is about another path': ({ app, cached }) => {
        app.get('/tools', list)
        app.use('/prompts', cached({ scope: 'public', type: 'prompts' }))
      },
      'answers nobody yet, where the route before it refuses': ({ app, cached }) => {
        app.get('/tools', (_req, res) => void res.status(401).json({}))
        app.use('/tools', cached({ scope: 'public' }))
      },
    }
    for (const [name, build] of Object.entries(right)) {
      it(`is not told of one that ${name}`, async () => {
        const paths = ['/tools/health', '/health', '/tools/7', '/tools']
        // Whichever comes first: the first ones are looked at before the cache was reached by others.
        for (const first of paths) {
          const messages = await ask(
            (given) => {
              seen(given.app, given)
              build(given)
            },
            first,
            ...paths,
          )
          expect(messages, `${first} first`).to.deep.equal([])
        }
      })
    }

    it('is not told of one that some request has reached', async () => {
      const messages = await ask(
        (given) => {
          seen(given.app, given)
          given.app.get('/tools/health', list)
          given.app.use('/tools', given.cached({ scope: 'public' }))
          given.app.use(list)
        },
        '/tools/7',
        '/tools/health',
      )
      expect(messages).to.deep.equal([])
    })

    it('is told by the server that the default cache was attached to, where no request meets anything of ours', async () => {
      const key = Symbol.for('express-registry-cache')
      const holder = globalThis as { [key: symbol]: unknown }
      const before = holder[key]
      delete holder[key]
      const { codes, logger } = warned()
      const app = framework().get('/tools', list)
      const server: Server = createServer(app)
      try {
        configureRegistryCache({ logger })
        app.use('/tools', registryCacheMiddleware({ type: 'tools', scope: 'public' }))
        await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
        await attachSubscriber(server)
        const { port } = server.address() as { port: number }
        const [own] = [server.listenerCount('request')]
        for (let n = 0; n < 110; n++) await fetch(`http://127.0.0.1:${port}/tools`).then((answer) => answer.text())
        await until(() => codes.length > 0)
        expect(codes).to.deep.equal(['ERR_CACHE_AFTER_ROUTE'])
        expect(server.listenerCount('request'), 'it looks at the first ones alone').to.equal(own - 1)
      } finally {
        server.closeAllConnections()
        await new Promise((resolve) => server.close(resolve))
        holder[key] = before
      }
    })
  })

  describe('a method that invalidateOn does not list', () => {
    /** Sends one request of `method`; resolves to the codes. */
    async function send(method: string, build: (given: Given) => void, silence: string[] = []): Promise<string[]> {
      const { codes, messages, logger } = warned()
      const { send, get } = await start(framework, build, { logger, silence })
      for (let n = 0; n < 2; n++) await send({ path: '/tools/7', method })
      await get('/nowhere')
      for (const message of messages) expect(message).to.include('PATCH /tools/:id')
      return codes
    }
    const listing =
      (...methods: string[]) =>
      ({ app, cache }: Given): void => {
        app.use('/tools', cache.invalidateOn({ types: ['tools'], methods }))
        app.all('/tools/:id', write)
      }

    it('is told once, when it was answered', async () => {
      expect(await send('PATCH', listing('POST', 'PUT', 'DELETE'))).to.deep.equal(['ERR_METHOD_NOT_LISTED'])
      expect(await send('PATCH', listing('POST'), ['ERR_METHOD_NOT_LISTED'])).to.deep.equal([])
    })

    it('is none where it is listed, where nothing is listed, or where it does not write', async () => {
      expect(await send('PATCH', listing('PATCH'))).to.deep.equal([])
      expect(await send('PATCH', listing())).to.deep.equal([])
      expect(await send('POST', listing('PUT'))).to.deep.equal([])
      expect(await send('OPTIONS', listing('PUT'))).to.deep.equal([])
      expect(await send('PATCH', listing('GET'))).to.deep.equal([])
    })

    it('is none where it was refused, and where something else has invalidated', async () => {
      const refused = await send('PATCH', ({ app, cache }) => {
        app.use(cache.invalidateOn({ types: ['tools'], methods: ['POST'] }))
        app.patch('/tools/:id', (_req, res) => void res.status(404).json({}))
      })
      const byAnother = await send('PATCH', ({ app, cache }) => {
        app.use(cache.invalidateOn({ types: ['tools'], methods: ['POST'] }))
        app.patch('/tools/:id', cache.invalidateOn({ types: ['tools'], methods: ['PATCH'] }), write)
      })
      const byHand = await send('PATCH', ({ app, cache }) => {
        app.use(cache.invalidateOn({ types: ['tools'], methods: ['POST'] }))
        app.patch('/tools/:id', async (_req, res) => {
          await cache.invalidate({ tag: 'tool:7' })
          res.json({})
        })
      })
      expect([refused, byAnother, byHand]).to.deep.equal([[], [], []])
    })
  })
})

describe('a Redis client', () => {
  const caches: RegistryCache[] = []
  afterEach(async () => {
    await Promise.all(caches.splice(0).map((cache) => cache.stop()))
  })

  function make(redis: unknown, { logger }: Warned, options = {}): RegistryCache {
    const cache = createRegistryCache({ redis: redis as RedisClient, logger, redisTimeout: 5, ...options })
    caches.push(cache)
    return cache
  }

  it('that was never reached is told once at the start, by address and without its password', async function () {
    this.timeout(20_000)
    const { Redis } = await import('ioredis')
    const seen = warned()
    const redis = await startRedis()
    const { port } = redis
    await redis.kill()
    const client = new Redis({ host: '127.0.0.1', port, password: 'sesame', retryStrategy: () => 50 })
    client.on('error', () => {})
    try {
      const cache = make(client, seen)
      await cache.start()
      await until(() => seen.codes.length > 0)
      expect(await cache.wrap('tools', {}, () => 1)).to.equal(1)
      expect(seen.codes).to.deep.equal(['ERR_REDIS_UNREACHABLE'])
      expect(seen.messages[0]).to.include(`127.0.0.1:${port}`).and.not.include('sesame')
    } finally {
      client.disconnect()
      await redis.stop()
    }
  })

  it('that hangs while it connects is told as well', async () => {
    const clock = createFakeClock()
    const seen = warned()
    const cache = make(new Hanging(), seen, { clock })
    const started = cache.start()
    await clock.advanceAsync(3000)
    await started
    expect(seen.codes).to.deep.equal(['ERR_REDIS_UNREACHABLE'])
  })

  it('that Sentinels should lead to is not looked for at the address that the client would have without them', async () => {
    const clock = createFakeClock()
    const seen = warned()
    const sentinels = [{ host: '10.0.0.1', port: 26_379 }]
    const client = Object.assign(new Hanging(), {
      options: { sentinels, name: 'main', host: 'localhost', port: 6379 },
    })
    const cache = make(client, seen, { clock })
    const started = cache.start()
    await clock.advanceAsync(3000)
    await started
    expect(seen.messages[0]).to.include('Redis main of the Sentinels 10.0.0.1:26379').and.not.include('localhost')
  })

  it('that is lost later is another matter, and one that connects is none', async function () {
    this.timeout(20_000)
    const redis = await startRedis()
    try {
      const seen = warned()
      const cache = make(redis.client(), seen)
      await cache.start()
      await cache.set('tools', 1)
      expect(seen.codes).to.deep.equal([])
      await redis.kill()
      await until(() => seen.codes.length > 0)
      expect(seen.codes).to.deep.equal(['ERR_REDIS_UNAVAILABLE'])
    } finally {
      await redis.stop()
    }
  })

  it('in subscriber mode is told at the start, and where it gets there later', async function () {
    this.timeout(20_000)
    const redis = await startRedis()
    try {
      const early = redis.client({ protocol: 2 })
      await early.subscribe('news')
      const [seen, later] = [warned(), warned()]
      await make(early, seen).start()
      expect(seen.codes).to.deep.equal(['ERR_REDIS_SUBSCRIBER_MODE'])
      const late = redis.client({ protocol: 2 })
      const cache = make(late, later)
      await cache.start()
      expect(later.codes).to.deep.equal([])
      await late.subscribe('news')
      expect(await cache.wrap('tools', {}, () => 1)).to.equal(1)
      expect(later.codes[0]).to.equal('ERR_REDIS_SUBSCRIBER_MODE')
      expect(later.messages[0]).to.include('redis.duplicate()')
    } finally {
      await redis.stop()
    }
  })

  it('that keeps commands for ever is told, and one with the usual options, a deadline or no queue is not', async function () {
    this.timeout(20_000)
    const redis = await startRedis()
    try {
      const codesOf = async (options: object, silence: string[] = []): Promise<string[]> => {
        const seen = warned()
        await make(redis.client(options), seen, { silence }).start()
        return seen.codes
      }
      expect(await codesOf({ maxRetriesPerRequest: null })).to.deep.equal(['ERR_REDIS_NO_DEADLINE'])
      expect(await codesOf({ maxRetriesPerRequest: null }, ['ERR_REDIS_NO_DEADLINE'])).to.deep.equal([])
      expect(await codesOf({})).to.deep.equal([])
      expect(await codesOf({ maxRetriesPerRequest: null, commandTimeout: 1000 })).to.deep.equal([])
      expect(await codesOf({ maxRetriesPerRequest: null, enableOfflineQueue: false })).to.deep.equal([])
    } finally {
      await redis.stop()
    }
  })
})

/** A connection of which nothing is heard. */
class Hanging extends EventEmitter {
  readonly status = 'connecting'
  readonly options = {}
  readonly connect = (): Promise<void> => new Promise(() => {})
  readonly ping = this.connect
  readonly disconnect = (): void => {}
  readonly defineCommand = (): void => {}
  readonly pipeline = (): void => {}
  readonly duplicate = (): Hanging => new Hanging()
}
