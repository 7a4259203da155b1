import { expect } from 'chai'
import express from 'express'
import { createRegistryCache } from '../../lib/index.ts'
import { listen, request } from '../helpers/http.ts'
import { startRedis } from '../helpers/redis-server.ts'

describe('a forgotten subscriber', () => {
  const warningsOf = async (start: boolean, silence: string[] = []): Promise<unknown[]> => {
    const redis = await startRedis()
    const codes: unknown[] = []
    const logger = {
      debug() {},
      info() {},
      error() {},
      warn: (_message: string, about: { code: string }) => void codes.push(about.code),
    }
    const cache = createRegistryCache({ redis: redis.client(), silence, logger: logger as never })
    if (start) await cache.start()
    const app = express()
    app.get('/tools', cache.middleware({ type: 'tools', scope: 'public' }), (_req, res) => void res.json([]))
    const served = await listen(app)
    await request(served.port, { path: '/tools' })
    await request(served.port, { path: '/tools?again=1' })
    await served.close()
    await cache.stop()
    await redis.stop()
    return codes
  }

  it('is warned of once, when a request first needs Redis', async () => {
    expect(await warningsOf(false)).to.deep.equal(['ERR_SUBSCRIBER_NOT_STARTED'])
  })

  it('is no matter where it was started, or where its code is silenced', async () => {
    expect(await warningsOf(true)).to.deep.equal([])
    expect(await warningsOf(false, ['ERR_SUBSCRIBER_NOT_STARTED'])).to.deep.equal([])
  })
})
