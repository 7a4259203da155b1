/*
 * `express-registry-cache/testing`: what tests of applications need that cache. No test runner, assertion library or Redis client
 * is imported.
 */
export { type AssertionLike, type ChaiLike, registryCacheChai } from './chai.ts'
export {
  type CacheOutcome,
  cacheOutcome,
  expectBypass,
  expectCached,
  expectNotCached,
  expectStale,
  expectStored,
  type ResponseLike,
} from './expect-cached.ts'
export type { FakeBus, Publication } from './fake-bus.ts'
export type { FakeClientOptions, FakeRedisClient } from './fake-client.ts'
export { createFakeClock, type FakeClock, type FakeTimer, settle } from './fake-clock.ts'
export { createFakeRedis, type FakeRedis, type FakeRedisOptions } from './fake-redis.ts'
