/*
 * Finds a cache middleware that no request can reach: it was mounted behind the route whose answers it should keep. Nothing
 * of ours runs for such a request, so it takes somebody who sees it on its way (an `invalidateOn` before the route, the
 * server): when a GET was answered, the router's stack says which route did it, and what stands behind that.
 *
 * It says so only where there is no other reading: the middleware was never reached by any request, it stands where this
 * very request would have come to it next, and behind it is no route that it could be meant for. Of the first GETs alone.
 */
import type { CacheRequest, CacheResponse, Handler } from './exchange.ts'

/** What a router's stack shows of one of our middlewares. Registered, so that the ESM and the CJS copy know each other's. */
const MOUNTED = Symbol.for('express-registry-cache.mounted')

interface Mounted {
  readonly type: string
  readonly isReached: () => boolean
}

/** Of ours, but it never answers. */
const PASSES = Symbol.for('express-registry-cache.passes')

export function markPassing<H extends Handler>(handler: H): H {
  return Object.defineProperty(handler, PASSES, { value: true })
}

export function markMounted<H extends Handler>(handler: H, type: string, isReached: () => boolean): H {
  return Object.defineProperty(handler, MOUNTED, { value: { type, isReached } satisfies Mounted })
}

/** As much of Express' routers, 4 and 5, as is looked at. */
interface Layer {
  readonly handle?: unknown
  readonly route?: Route | undefined
  readonly slash?: boolean
  readonly regexp?: { readonly fast_slash?: boolean }
  /** What was matched last, in the routers whose `match` says only whether. */
  readonly path?: string | undefined
  match?(path: string): unknown
}

interface Route {
  readonly path?: unknown
  readonly methods?: Readonly<Record<string, boolean>>
  readonly stack?: readonly Layer[]
}

interface Place {
  readonly stack: readonly Layer[]
  readonly at: number
  /** What is left of the URL's path in this router. */
  readonly path: string
}

const MAX_GETS = 100
const MAX_DEPTH = 16

export class Mounting {
  readonly #warn: (type: string, route: string) => void
  #left = MAX_GETS

  constructor(warn: (type: string, route: string) => void) {
    this.#warn = warn
  }

  /** Whether it looks at any more requests. */
  get isWatching(): boolean {
    return this.#left > 0
  }

  /** A request on its way, seen before its answer. */
  readonly watch = (req: CacheRequest, res: CacheResponse): void => {
    if (this.#left <= 0 || req.method !== 'GET') return
    this.#left--
    res.once('finish', () => {
      try {
        if (res.statusCode >= 200 && res.statusCode < 300) this.#look(req)
      } catch {
        // A router of another make: nothing to say about it.
      }
    })
  }

  #look(req: CacheRequest): void {
    const app = req.app as
      | { readonly parent?: unknown; readonly _router?: unknown; readonly router?: unknown }
      | undefined
    const route = req.route as Route | undefined
    // Under which path an application hangs in another one is not for certain.
    if (!app || app.parent !== undefined || !route?.stack) return
    // Express 4 throws at who asks it for `router`.
    const { stack } = (app._router ?? app.router) as { stack: readonly Layer[] }
    const url = req.originalUrl ?? req.url ?? ''
    const where = `${req.baseUrl ?? ''}${typeof route.path === 'string' ? route.path : ''}`
    const inside = mountedOf(route.stack.at(-1))
    if (inside && route.stack.length > 1 && !inside.isReached()) this.#warn(inside.type, where)
    for (const place of wayTo(route, stack, url.split('?')[0] ?? '', 0) ?? []) {
      const behind = missedBehind(place)
      if (behind) this.#warn(behind.type, where)
    }
  }
}

/** From the application's own router to the one with the route. */
function wayTo(route: Route, stack: readonly Layer[], path: string, depth: number): Place[] | undefined {
  for (const [at, layer] of stack.entries()) {
    if (layer.route === route) return [{ stack, at, path }]
    const inner = stackOf(layer)
    const matched = inner && depth <= MAX_DEPTH ? matchOf(layer, path) : undefined
    if (!inner || matched === undefined) continue
    const way = wayTo(route, inner, path.slice(matched.length) || '/', depth + 1)
    if (way) return [{ stack, at, path }, ...way]
  }
  return undefined
}

function missedBehind({ stack, at, path }: Place): Mounted | undefined {
  const behind = stack.slice(at + 1)
  for (const [i, layer] of behind.entries()) {
    const mounted = mountedOf(layer)
    const prefix = mounted && !mounted.isReached() ? matchOf(layer, path) : undefined
    if (!mounted || prefix === undefined) continue
    const isMeantFor = (other: Layer): boolean =>
      answersGets(other, 0) && (isForAll(layer) || isUnder(prefix, path, other))
    if (!behind.slice(i + 1).some(isMeantFor)) return mounted
  }
  return undefined
}

/** The part of the path that a layer takes; undefined where it is about another path. */
function matchOf(layer: Layer, path: string): string | undefined {
  const matched = layer.match?.(path)
  if (typeof matched === 'object' && matched !== null) return (matched as { readonly path?: string }).path ?? ''
  return matched === true ? (layer.path ?? '') : undefined
}

function mountedOf(layer: Layer | undefined): Mounted | undefined {
  return typeof layer?.handle === 'function' ? (layer.handle as { readonly [MOUNTED]?: Mounted })[MOUNTED] : undefined
}

/** Of a router within a router. */
function stackOf(layer: Layer): readonly Layer[] | undefined {
  const stack = (layer.handle as { readonly stack?: unknown } | undefined)?.stack
  return layer.route === undefined && Array.isArray(stack) ? stack : undefined
}

/** Mounted on the whole of its router. */
function isForAll({ slash, regexp }: Layer): boolean {
  return slash === true || regexp?.fast_slash === true
}

function answersGets(layer: Layer, depth: number): boolean {
  const methods = layer.route?.methods
  if (methods) return methods.get === true || methods._all === true
  const stack = stackOf(layer)
  // Deeper than anybody nests them: it may be anything.
  if (stack) return depth > MAX_DEPTH || stack.some((inner) => answersGets(inner, depth + 1))
  return isHandler(layer)
}

/** A function that is mounted on a path may well answer. One for everything is most likely the end of the line: a 404. */
function isHandler(layer: Layer): boolean {
  const { handle } = layer
  const isOurs = typeof handle === 'function' && (MOUNTED in handle || PASSES in handle)
  return typeof handle === 'function' && handle.length < 4 && !isOurs && !isForAll(layer)
}

/** Whether it may be about what the middleware was mounted on. A pattern that is no text may be about anything. */
function isUnder(prefix: string, path: string, layer: Layer): boolean {
  if (matchOf(layer, path) !== undefined || matchOf(layer, prefix) !== undefined) return true
  const own = layer.route?.path
  return layer.route !== undefined && (typeof own !== 'string' || own.startsWith(prefix))
}
