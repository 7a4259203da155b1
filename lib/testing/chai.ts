/*
 * The same assertions for chai, which is handed in and never imported: `chai.use(registryCacheChai)`.
 */
import { type CacheOutcome, cacheOutcome, type ResponseLike } from './expect-cached.ts'

declare global {
  namespace Chai {
    interface Assertion {
      /** Out of the cache, fresh: `expect(response).to.be.cached()`. */
      cached(): Assertion
      /** Out of the cache, past its TTL. */
      stale(): Assertion
      /** The cache was left out, for this reason if one is given. */
      bypassed(reason?: string): Assertion
      /** A handler ran, and its answer was stored. */
      stored(): Assertion
    }
  }
}

/** What the plugin uses of chai. */
export interface ChaiLike {
  readonly Assertion: { addMethod(name: string, method: (this: AssertionLike, ...args: unknown[]) => void): void }
}

export interface AssertionLike {
  readonly _obj: unknown
  assert(isTrue: boolean, message: string, negated: string): void
}

interface Check {
  what(argument: unknown): string
  holds(seen: CacheOutcome, argument: unknown): boolean
}

const CHECKS: Readonly<Record<string, Check>> = {
  cached: { what: () => 'a hit', holds: ({ outcome }) => outcome === 'hit' },
  stale: { what: () => 'a stale hit', holds: ({ outcome }) => outcome === 'stale' },
  bypassed: {
    what: (reason) => (reason === undefined ? 'a bypass' : `a bypass for ${String(reason)}`),
    holds: (seen, reason) => seen.outcome === 'bypass' && (reason === undefined || seen.reason === reason),
  },
  stored: {
    what: () => 'a miss whose answer is stored',
    holds: ({ outcome, stored }) => outcome === 'miss' && stored,
  },
}

/** Adds `cached()`, `stale()`, `bypassed(reason?)` and `stored()` to chai's assertions on responses; `not` works. */
export function registryCacheChai(chai: ChaiLike): void {
  for (const [name, { what, holds }] of Object.entries(CHECKS)) {
    chai.Assertion.addMethod(name, function (this: AssertionLike, argument: unknown): void {
      const seen = cacheOutcome(this._obj as ResponseLike)
      const found = `${what(argument)}, saw ${JSON.stringify(seen)}`
      this.assert(holds(seen, argument), `expected ${found}`, `expected no such thing as ${found}`)
    })
  }
}
