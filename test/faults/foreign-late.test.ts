import { expect } from 'chai'
import { createRegistryCache } from '../../lib/index.ts'
import { startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'

describe('a foreign publisher and a worker that has just reconnected', () => {
  it('raises what it hears, though another worker raised the tag while it was deaf', async () => {
    const redis = await startRedis()
    const deaf = createRegistryCache({ redis: redis.client() })
    // Never subscribes: slower, and legal.
    const other = createRegistryCache({ redis: redis.client() })
    await deaf.start()
    let stored = 1
    const read = (cache: typeof deaf): Promise<number> => cache.wrap('tools', {}, () => stored, { ttl: 60 })
    await read(deaf)
    const livesBefore = deaf.stats().subscribed
    expect(livesBefore).to.equal(true)
    let changes = 0
    deaf.on('error', (error) => {
      if (error.code === 'ERR_SUBSCRIBER_LOST') changes++
    })
    await redis.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
    stored = 2
    await other.invalidate('tools')
    await read(other)
    await until(() => changes > 0 && deaf.stats().subscribed)
    stored = 3
    let isHeard = false
    deaf.on('invalidate', ({ cause }) => {
      if (cause === 'foreign') isHeard = true
    })
    await redis.command('PUBLISH', 'mcpgw:cache:invalidate', 'registry:tools')
    await until(() => isHeard && deaf.stats().pendingInvalidations === 0)
    expect(await read(deaf)).to.equal(3)
    expect(await read(other)).to.equal(3)
    await deaf.stop()
    await other.stop()
    await redis.stop()
  })
})
