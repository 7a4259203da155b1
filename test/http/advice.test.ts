/*
 * What people get wrong in their first hour: each mistake is met with a message that names the cause and the cure.
 */
import { Readable } from 'node:stream'
import { inspect } from 'node:util'
import { expect } from 'chai'
import type { Handler } from 'express'
import session from 'express-session'
import {
  createRegistryCache,
  OptionError,
  type RegistryCacheOptions,
  registryCacheMiddleware,
} from '../../lib/index.ts'
import { forEachExpress } from '../helpers/http.ts'
import { applications } from './fixture.ts'

/** A logger that keeps what it warns of. */
function listening(): { logger: RegistryCacheOptions['logger']; said: string[] } {
  const said: string[] = []
  const ignore = (): void => {}
  return {
    logger: { debug: ignore, info: ignore, error: ignore, warn: (message: string) => void said.push(message) },
    said,
  }
}

function thrownBy(act: () => unknown): OptionError {
  try {
    act()
  } catch (error) {
    if (error instanceof OptionError) return error
    throw error
  }
  throw new Error('it was accepted')
}

forEachExpress((_name, framework) => {
  describe('a route that stores nothing', () => {
    const start = applications()

    /** The warnings after so many requests to a route with this handler. */
    async function warningsOf(handler: Handler, requests: number, before: Handler[] = []): Promise<string[]> {
      const { logger, said } = listening()
      const build = start(
        framework,
        ({ app, cached }) => {
          for (const one of before) app.use(one)
          app.get('/tools', cached(), handler)
        },
        { logger },
      )
      const { get } = await build
      for (let i = 0; i < requests; i++) await get('/tools')
      return said
    }

    const unseen: Record<string, Handler> = {
      'streams its answer': (_req, res) => void Readable.from(['[1]']).pipe(res.type('json')),
      'calls res.end': (_req, res) => void res.type('json').end('[1]'),
      'sends JSON as text': (_req, res) => void res.send(JSON.stringify([1])),
    }
    for (const [what, handler] of Object.entries(unseen)) {
      it(`is told so, and why, once, when it ${what}`, async () => {
        const said = await warningsOf(handler, 5)
        expect(said).to.have.lengthOf(1)
        expect(said[0]).to.match(
          /nothing of tools was stored so far: .*res\.json or res\.send.*\(ERR_NOTHING_STORED\)$/,
        )
      })
    }

    it('is told of the session whose cookie comes with every answer', async () => {
      const eager = session({ secret: 'secret', resave: false, saveUninitialized: true })
      const said = await warningsOf((_req, res) => void res.json([1]), 4, [eager])
      expect(said.join()).to.match(/cookie.*saveUninitialized: false.*\(ERR_NOTHING_STORED\)/)
    })

    it("is told of the route's own Cache-Control", async () => {
      const said = await warningsOf((_req, res) => void res.set('Cache-Control', 'no-store').json([1]), 4)
      expect(said.join()).to.match(/no-store.*responseCacheControl: 'ignore'/)
    })

    it('is told nothing after two answers, of errors, or once something of its type was stored', async () => {
      expect(await warningsOf((_req, res) => void res.end('[1]'), 2)).to.deep.equal([])
      expect(await warningsOf((_req, res) => void res.status(404).end(), 5)).to.deep.equal([])
      let runs = 0
      const once: Handler = (_req, res) => void (runs++ === 0 ? res.json([1]) : res.end('[1]'))
      const { logger, said } = listening()
      const { get } = await start(framework, ({ app, cached }) => app.get('/tools', cached(), once), { logger })
      for (let i = 0; i < 5; i++) await get(`/tools?page=${i}`)
      expect(runs).to.equal(5)
      expect(said).to.deep.equal([])
    })
  })

  describe('a callback that throws', () => {
    const start = applications()
    const scope = (): string => {
      throw new Error('no user')
    }

    it('is told of by a warning, once, where nobody listens for errors', async () => {
      const { logger, said } = listening()
      const { get } = await start(
        framework,
        ({ app, cached }) => app.get('/tools', cached({ scope }), (_req, res) => void res.json([1])),
        { logger },
      )
      for (let i = 0; i < 3; i++) await get('/tools')
      expect(said).to.deep.equal(['express-registry-cache: scope threw: no user (ERR_CALLBACK_THREW)'])
    })

    it('is told of by the event alone where somebody listens', async () => {
      const { logger, said } = listening()
      const heard: string[] = []
      const { get } = await start(
        framework,
        ({ app, cache, cached }) => {
          cache.on('error', ({ code }) => heard.push(code))
          app.get('/tools', cached({ scope }), (_req, res) => void res.json([1]))
        },
        { logger },
      )
      await get('/tools')
      expect([heard, said]).to.deep.equal([['ERR_CALLBACK_THREW'], []])
    })
  })

  describe('a factory that is mounted itself', () => {
    const start = applications()

    it('says that it is to be called, and what it returns mounted', async () => {
      const cache = createRegistryCache()
      for (const mounted of [cache.middleware, cache.invalidateOn, registryCacheMiddleware]) {
        const failures: unknown[] = []
        const { get } = await start(framework, ({ app }) => {
          app.get('/tools', mounted as unknown as Handler)
          app.use((error: unknown, _req: unknown, res: { json(body: unknown): void }, _next: unknown) => {
            failures.push(error)
            res.json([])
          })
        })
        await get('/tools', { Authorization: 'Bearer secret' })
        expect(failures[0]).to.be.instanceOf(OptionError)
        // As Express logs it.
        expect(inspect(failures[0])).not.to.match(/secret|IncomingMessage/)
        expect(String(failures[0])).to.match(/not a request: call this once, and mount what it returns/)
      }
    })
  })
})

describe('a duration in milliseconds', () => {
  function warned(
    act: (cache: ReturnType<typeof createRegistryCache>) => unknown,
    options: RegistryCacheOptions = {},
  ): string[] {
    const { logger, said } = listening()
    act(createRegistryCache({ logger, ...options }))
    return said
  }

  it('is told of with what it would be in seconds, wherever it is given', () => {
    const said = [
      ...warned((cache) => cache.middleware({ type: 'tools', ttl: 30_000 })),
      ...warned(() => {}, { defaultTtl: 60_000 }),
      ...warned(() => {}, { types: { tools: 20_000 } }),
      ...warned(() => {}, { maxStaleness: 5000 }),
    ]
    expect(
      said.map((line) => /were milliseconds meant\?.*seconds: ([\d.]+) \(ERR_TTL_MILLISECONDS\)/.exec(line)?.[1]),
    ).to.deep.equal(['30', '60', '20', '5'])
  })

  it('is not suspected in hours, in minutes, and in what is below 5000', () => {
    for (const ttl of [20, 300, 1000, 3000, 3600, 7200, 36_000, 86_400, 604_800]) {
      expect(
        warned((cache) => cache.middleware({ type: 'tools', ttl })),
        String(ttl),
      ).to.deep.equal([])
    }
  })

  it('is told of to who sets a value', async () => {
    const { logger, said } = listening()
    await createRegistryCache({ logger }).set('tools', 1, {}, { ttl: 60_000 })
    expect(said.join()).to.match(/ERR_TTL_MILLISECONDS/)
  })
})

describe('arguments that are slips', () => {
  it('are refused with the name of what they are for', async () => {
    const cache = createRegistryCache()
    expect(thrownBy(() => cache.middleware('tools' as never)).message).to.match(
      /: options: expected an object, received "tools"/,
    )
    expect(thrownBy(() => cache.middleware(undefined as never)).message).to.match(
      /: options: expected an object, received undefined/,
    )
    expect(thrownBy(() => cache.invalidateOn('POTS')).message).to.match(
      /methods\[0\]: expected a method that Node knows, such as POST/,
    )
    expect(thrownBy(() => createRegistryCache({ redis: 'redis://127.0.0.1' as never })).message).to.match(
      /new Redis\(url\)/,
    )
    const refused = await cache.invalidate(['tools', 'prompts'] as never).catch((error: unknown) => error)
    expect(String(refused)).to.match(/target: expected one type, or \{ tag \}: call it for each/)
  })

  it('are no slips in small letters', () => {
    expect(() => createRegistryCache().invalidateOn('post', 'M-SEARCH')).not.to.throw()
  })
})
