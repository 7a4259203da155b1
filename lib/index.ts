/*
 * The public surface.
 */

export type { Clock } from './cache/tiers.ts'
export type { Filters } from './cache/values.ts'
export {
  attachSubscriber,
  configureRegistryCache,
  defaultCache,
  invalidateOn,
  registryCacheMiddleware,
  type ServerLike,
} from './default-cache.ts'
export type {
  CacheDescription,
  EpochInfo,
  ExplainedRoute,
  ExplainRequest,
  RouteInfo,
  TypeInfo,
} from './description.ts'
export { registryCacheOptionsFromEnv } from './env-options.ts'
export { type ErrorCode, OptionError, TierError, ValueError } from './errors.ts'
export type {
  BypassEvent,
  CacheEventName,
  CacheEvents,
  EvictEvent,
  HitEvent,
  HitTier,
  InvalidateEvent,
  MissEvent,
  RedisEvent,
  StopEvent,
  StoreEvent,
} from './events.ts'
export type { CacheRequest, CacheResponse, FromExchange, FromRequest, Handler, Next } from './http/exchange.ts'
export type { ExplainedEntry, ExplainedStamp, Explanation } from './http/explain.ts'
export type { InvalidateOnOptions } from './http/invalidate-on.ts'
export type { CacheMiddlewareOptions } from './http/route-options.ts'
export type { EntryEvicted, EntryInfo, EntryPage, EntryPreview, EntryQuery } from './inspection.ts'
export type {
  Logger,
  MemoryOptions,
  RegistryCacheOptions,
  TypeOptions,
} from './options.ts'
export {
  createRegistryCache,
  type RegistryCache,
  type SetOptions,
  type WrapOptions,
} from './registry-cache.ts'
export type { RegistryCacheMiddleware } from './routes.ts'
export type { RedisStats, RegistryCacheCounts, RegistryCacheStats, TypeStats } from './stats.ts'
export type { FleetView, FleetWorker } from './tiers/fleet-view.ts'
export type { RedisClient } from './tiers/redis-client.ts'
