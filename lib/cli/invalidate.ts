/*
 * `invalidate`: through a cache like the application's, so that its dependency rules, its epochs and its messages are the
 * same, and every worker hears it.
 */
import { createRegistryCache } from '../registry-cache.ts'
import type { Settings } from './arguments.ts'
import { connect, messageOf, nameOf } from './connection.ts'
import { json, type Output, printable } from './output.ts'

/** 0 when Redis confirmed all of it, 1 otherwise. */
export async function invalidate(settings: Settings, output: Output): Promise<number> {
  const { prefix, timeoutMs, targets, tags, all } = settings
  const client = await connect(settings)
  try {
    const cache = createRegistryCache({
      redis: client,
      prefix,
      redisTimeout: timeoutMs / 1000,
      logger: {
        debug() {},
        info() {},
        warn: (message) => output.err(message),
        error: (message) => output.err(message),
      },
      silence: ['ERR_REDIS_UNAVAILABLE'],
    })
    const raised = new Set<string>()
    let reason: string | undefined
    cache.on('invalidate', ({ tag }) => void raised.add(tag))
    cache.on('error', (error) => {
      reason ??= messageOf(error)
    })
    const asked = [
      ...targets.map((type) => cache.invalidate(type)),
      ...tags.map((tag) => cache.invalidate({ tag })),
      ...(all ? [cache.invalidateAll()] : []),
    ]
    const told = await Promise.all(asked)
    // Stopping tells once more what could not be told.
    await cache.stop()
    const shared = told.every((one) => one.shared) || cache.stats().pendingInvalidations === 0
    if (settings.json) output.out(json({ shared, tags: [...raised] }))
    else if (shared) output.out(`invalidated: ${[...raised].map((tag) => printable(tag)).join(', ')}`)
    if (shared) return 0
    output.err(`${nameOf(settings.redisUrl)} did not confirm the invalidation: ${printable(reason ?? 'no answer')}`)
    return 1
  } finally {
    client.disconnect()
  }
}
