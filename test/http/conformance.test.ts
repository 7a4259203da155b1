/*
 * What RFC 9110, 9111 and 9211 expect of a shared cache, section by section: a client, our cache, and a handler that answers
 * with res.json. With a short `ttl` and with one so long that only the origin's freshness counts, on one instance and on two that
 * share a Redis and are asked in turn. The table is in conformance-cases.ts.
 */
import { expect } from 'chai'
import type { Response } from 'express'
import { type CacheMiddlewareOptions, createRegistryCache, type RegistryCache } from '../../lib/index.ts'
import { createFakeClock, type FakeClock } from '../helpers/fake-clock.ts'
import { express5, type Listening, listen, request } from '../helpers/http.ts'
import { type RedisServer, startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'
import { cases, NOW } from './conformance-cases.ts'

interface Instance {
  readonly cache: RegistryCache
  readonly clock: FakeClock
  readonly listening: Listening
  use(options: Partial<CacheMiddlewareOptions>): void
}

const freshness: [string, number][] = [
  ['a ttl', 3_600 * 24],
  ["the origin's freshness", 3_600 * 24 * 3_650],
]

for (const count of [1, 2]) {
  for (const [which, ttl] of freshness) {
    describe(`conformance of ${count === 1 ? 'one instance' : 'two instances on one Redis'}, with ${which}`, () => {
      let redis: RedisServer | undefined
      const instances: Instance[] = []
      const handler: { run: (res: Response) => void } = { run: () => {} }

      before(async () => {
        if (count > 1) redis = await startRedis()
        for (let i = 0; i < count; i++) {
          const clock = createFakeClock(NOW)
          const cache = createRegistryCache({
            clock,
            redis: redis?.client(),
            redisTimeout: 5,
            silence: ['ERR_SCOPE_MISSING'],
          })
          await cache.start()
          if (redis) await until(() => cache.stats().subscribed)
          const app = express5()
          app.disable('etag')
          let stack = [cache.middleware({ type: 'tools' })]
          app.use((req, res, next) => stack[0]?.(req, res, next))
          app.use(cache.invalidateOn())
          app.use((_req, res) => handler.run(res))
          instances.push({
            cache,
            clock,
            listening: await listen(app),
            use: (options) => {
              stack = [cache.middleware({ type: 'tools', ttl, ...options })]
            },
          })
        }
      })
      after(async () => {
        for (const { listening, cache } of instances.splice(0)) {
          await listening.close()
          await cache.stop()
        }
        await redis?.stop()
      })

      for (const [index, { section, name, steps, options = {} }] of cases.entries()) {
        // Redis counts real time: what has to wait is asked of one instance.
        if (count > 1 && steps.some(({ after }) => after !== undefined)) continue
        it(`${section}: ${name}`, async () => {
          for (const instance of instances) instance.use(options)
          let runs = 0
          let turn = 0
          for (const step of steps) {
            const { answer = {}, status = 200, after = 0, path = '/x', gives, ...sent } = step
            for (const { clock } of instances) clock.advance(after * 1000)
            handler.run = (res) => {
              runs++
              for (const [key, value] of Object.entries(answer)) res.setHeader(key, value)
              res.status(status).json({ run: runs })
            }
            const before = runs
            const { listening, cache } = instances[turn++ % instances.length] as Instance
            const stores = cache.stats().stores
            const others = instances.filter((instance) => instance.cache !== cache)
            const heard = others.map((other) => other.cache.stats().invalidations)
            const told = cache.stats().invalidations
            const got = await request(listening, { ...sent, path: `/${index}${path}` })
            if (step.expect !== undefined)
              expect(runs - before, 'runs of the handler').to.equal(step.expect === 'cached' ? 0 : 1)
            gives?.(got)
            // Others hear of a write when its message arrives; what they may do until then is not what is asked here.
            if (cache.stats().invalidations > told) {
              await until(() => others.every((other, i) => other.cache.stats().invalidations > (heard[i] ?? 0)))
            }
            // What was stored is in Redis a moment after the answer is out; the next instance may ask only then.
            const shared = redis
            if (shared !== undefined && cache.stats().stores > stores) {
              await until(async () => ((await shared.command('KEYS', '*:@lock:*')) as unknown[]).length === 0)
            }
          }
        })
      }
    })
  }
}
