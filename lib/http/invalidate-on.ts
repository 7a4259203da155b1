/*
 * Invalidates after a mutation's handler is done (so after its commit) and before its client sees the end of the answer:
 * whoever reads after that answer sees the write. What the client receives is never changed or failed by the cache; it
 * waits for Redis at most `redisTimeout`.
 *
 * The end of the response is held: the head is made (`headersSent` is true, nothing is on the wire yet), later `end`s are
 * ignored, and a `socket.destroy()` (finalhandler's answer to a throw after `res.json`) waits until the held end has
 * passed. A `write` that completes the declared Content-Length gives the client its whole answer, so it is held too.
 */
import { METHODS } from 'node:http'
import type { Socket } from 'node:net'
import { isTag, isType } from '../cache/names.ts'
import { checkFunction, checkList, checkNames, checkNumber, isString } from '../check.ts'
import { type ErrorCode, OptionError } from '../errors.ts'
import { TIMER, TYPE_NAME } from '../options.ts'
import {
  type CacheRequest,
  type CacheResponse,
  type FromExchange,
  type Handler,
  isPromise,
  type Next,
  passedTypes,
} from './exchange.ts'
import { checkListed, type ListedChecks, routeOf, SAFE } from './listed-methods.ts'
import { markPassing } from './mounting.ts'

export interface InvalidateOnOptions {
  /** Default: every method but GET, HEAD, OPTIONS and TRACE. */
  readonly methods?: readonly string[] | undefined
  /** Default: the type of the cache middleware that it was made from, else those that the request passed. `[]`: tags alone. */
  readonly types?: readonly string[] | undefined
  readonly tags?: readonly string[] | FromExchange<readonly string[]> | undefined
  /** Default: every status but 4xx, since a 5xx or a dropped connection may have committed something. */
  readonly when?: FromExchange<boolean> | undefined
  /** Seconds after which it is invalidated once more, for applications that read from lagging replicas. */
  readonly replicaLag?: number | undefined
}

export interface InvalidateOnDeps extends ListedChecks {
  /** Raises these tags; resolves when Redis was told or could not be told in time. Never rejects. */
  readonly invalidate: (tags: readonly string[], cause: string) => Promise<unknown>
  readonly typeTag: (type: string) => string
  /** Runs the callback once after so many milliseconds, or at stop. */
  readonly later: (callback: () => void, ms: number) => void
  readonly onError: (code: ErrorCode, operation: string, message: string, cause?: unknown) => void
  /** Looks at GETs on their way. */
  readonly watch: ((req: CacheRequest, res: CacheResponse) => void) | undefined
}

export interface InvalidateOnResolved {
  readonly methods: ReadonlySet<string> | undefined
  readonly types: readonly string[] | undefined
  readonly tags: readonly string[] | FromExchange<readonly string[]> | undefined
  readonly when: FromExchange<boolean> | undefined
  readonly replicaLagMs: number
}

/** Throws OptionError. */
export function resolveInvalidateOn(
  first: string | InvalidateOnOptions | undefined,
  rest: readonly string[],
): InvalidateOnResolved {
  const options: InvalidateOnOptions =
    typeof first === 'object' && first !== null
      ? first
      : { methods: first === undefined ? undefined : [first, ...rest] }
  checkNames('', options, ['methods', 'types', 'tags', 'when', 'replicaLag'])
  if (options === first && rest.length > 0) {
    throw new OptionError('ERR_OPTION_CONFLICT', 'methods', rest[0], 'either a list of methods or an object')
  }
  const isName = (item: unknown): item is string => isType(item)
  const { methods, types, tags, when, replicaLag } = options
  // Neither a type nor a tag: it would invalidate nothing, ever.
  if (isEmpty(types) && (tags === undefined || isEmpty(tags))) {
    throw new OptionError('ERR_OPTION_CONFLICT', 'types', types, 'at least one type, or tags')
  }
  const verbs =
    methods === undefined ? [] : checkList('methods', methods, isMethod, 'a method that Node knows, such as POST')
  return Object.freeze({
    // An empty list is no methods, which means every unsafe one.
    methods: verbs.length === 0 ? undefined : new Set(verbs.map((method) => method.toUpperCase())),
    types: types === undefined ? undefined : checkList('types', types, isName, TYPE_NAME, 'ERR_TYPE_NAME'),
    tags:
      tags === undefined || typeof tags === 'function'
        ? tags
        : checkList('tags', tags, isTag, 'a well-formed tag', 'ERR_TAG_NAME'),
    when: checkFunction('when', when),
    replicaLagMs: checkNumber('replicaLag', replicaLag, TIMER, 0) * 1000,
  })
}

/** Any other is refused by Node's parser, so waiting for it would be waiting for ever. */
const isMethod = (item: unknown): item is string => isString(item) && METHODS.includes(item.toUpperCase())

function isEmpty(list: unknown): boolean {
  return Array.isArray(list) && list.length === 0
}

export function makeInvalidateOn(options: InvalidateOnResolved, deps: () => InvalidateOnDeps): Handler {
  return markPassing(function invalidateOn(req: CacheRequest, res: CacheResponse, next: Next) {
    const method = req.method ?? 'GET'
    if (options.methods ? !options.methods.has(method) : SAFE.has(method)) {
      if (method === 'GET') deps().watch?.(req, res)
      else if (options.methods) checkListed(req, res, method, options.methods, deps())
      return next()
    }
    const types = options.types ?? passedTypes(req)
    if (types.length === 0 && options.types === undefined) {
      const expected = "types: ['tools'], say, or a cache middleware that the request passes before it"
      return next(new OptionError('ERR_NO_TYPE', 'invalidateOn', types, expected))
    }
    holdEnd(req, res, () => invalidate(req, res, types, options, deps()))
    next()
  })
}

async function invalidate(
  req: CacheRequest,
  res: CacheResponse,
  types: readonly string[],
  options: InvalidateOnResolved,
  deps: InvalidateOnDeps,
): Promise<void> {
  if (!isWanted(req, res, options, deps)) return
  const tags = [...types.map(deps.typeTag), ...revealedTags(req, res, options, deps)]
  if (tags.length === 0) return
  const cause = `${req.method ?? ''}:${routeOf(req)}`
  if (options.replicaLagMs > 0) deps.later(() => void deps.invalidate(tags, cause), options.replicaLagMs)
  await deps.invalidate(tags, cause)
}

/** A `when` that throws means: invalidate. */
function isWanted(
  req: CacheRequest,
  res: CacheResponse,
  options: InvalidateOnResolved,
  deps: InvalidateOnDeps,
): boolean {
  if (!options.when) return res.statusCode < 400 || res.statusCode > 499
  try {
    const isWanted: unknown = options.when(req, res)
    if (isPromise(isWanted)) throw new TypeError('it gave a promise, which is not waited for')
    return Boolean(isWanted)
  } catch (cause) {
    deps.onError('ERR_CALLBACK_THREW', 'when', (cause as Error).message, cause)
    return true
  }
}

function revealedTags(
  req: CacheRequest,
  res: CacheResponse,
  options: InvalidateOnResolved,
  deps: InvalidateOnDeps,
): readonly string[] {
  if (typeof options.tags !== 'function') return options.tags ?? []
  try {
    const tags: unknown = options.tags(req, res)
    if (isPromise(tags)) throw new TypeError('it gave a promise, which is not waited for')
    if (!Array.isArray(tags)) throw new TypeError('it gave no list')
    const good = tags.filter(isTag)
    if (good.length < tags.length) deps.onError('ERR_TAG_NAME', 'tags', 'a malformed tag is left out')
    return good
  } catch (cause) {
    deps.onError('ERR_CALLBACK_THREW', 'tags', (cause as Error).message, cause)
    return []
  }
}

type End = (this: CacheResponse, ...args: unknown[]) => CacheResponse
type Write = (this: CacheResponse, ...args: unknown[]) => boolean
type WriteHead = (this: CacheResponse, ...args: unknown[]) => CacheResponse

const CHUNKS = new Set(['string', 'function'])

/** Runs `work` when the handler has ended the response, and lets the end out when the work is done. */
function holdEnd(req: CacheRequest, res: CacheResponse, work: () => Promise<void>): void {
  const end = res.end as End
  const write = res.write as Write
  const writeHead = res.writeHead as WriteHead
  const { socket } = req
  let isHeld = false
  let isOut = false
  let written = 0
  let declaredInHead: number | undefined

  const hold = (letOut: () => void): void => {
    isHeld = true
    const release = putOffDestroy(socket)
    void work()
      .catch(() => {}) // The cache never fails a mutation.
      .then(() => {
        isOut = true
        try {
          letOut()
        } catch {
          // What would have been thrown at the handler; it is past that, and the client must not wait for ever.
          res.destroy()
        } finally {
          release()
        }
      })
  }

  res.writeHead = function heldWriteHead(...args: unknown[]): CacheResponse {
    declaredInHead = lengthIn(args.at(-1)) ?? declaredInHead
    return writeHead.apply(res, args)
  } as typeof res.writeHead

  res.end = function heldEnd(...args: unknown[]): CacheResponse {
    const [chunk, encoding] = args
    // Node refuses any other chunk by throwing at the caller.
    if (isOut || !(chunk == null || CHUNKS.has(typeof chunk) || chunk instanceof Uint8Array))
      return end.apply(res, args)
    if (isHeld) {
      for (const callback of args) if (typeof callback === 'function') res.once('finish', callback as () => void)
      return res
    }
    if (!res.headersSent) {
      // As Node does where nothing was written before the end: a body in one piece, or none at all, has a length.
      const hasBody = req.method !== 'HEAD' && res.statusCode !== 204 && res.statusCode !== 304
      if (hasBody && !['Content-Length', 'Transfer-Encoding', 'Trailer'].some((name) => res.hasHeader(name))) {
        res.setHeader('Content-Length', byteLength(chunk, encoding))
      }
      res.writeHead(res.statusCode)
    }
    hold(() => end.apply(res, args))
    return res
  } as typeof res.end

  res.write = function heldWrite(...args: unknown[]): boolean {
    if (isOut) return write.apply(res, args)
    if (isHeld) return true
    const [chunk, encoding] = args
    written += byteLength(chunk, encoding)
    const declared = declaredInHead ?? Number(res.getHeader('Content-Length') ?? Number.NaN)
    if (!(written >= declared)) return write.apply(res, args)
    if (!res.headersSent) res.writeHead(res.statusCode)
    hold(() => {
      write.apply(res, args)
      end.call(res)
    })
    // No `drain` may ever come: nobody is to wait for one.
    return true
  } as typeof res.write

  // The client left before the end. In Express `close` comes before the commit, so the handler's own end counts as well.
  res.on('close', () => {
    if (!isHeld) void work().catch(() => {})
  })
}

const HELD = Symbol('express-registry-cache.held')

/** Until the returned function was called, `socket.destroy()` is only noted. Several answers may be held on one socket. */
function putOffDestroy(
  socket: Socket & {
    [HELD]?: { count: number; destroyed: boolean; error?: Error | undefined; own: PropertyDescriptor | undefined }
  },
): () => void {
  const held = socket[HELD] ?? { count: 0, destroyed: false, own: Object.getOwnPropertyDescriptor(socket, 'destroy') }
  socket[HELD] = held
  if (held.count++ === 0) {
    socket.destroy = (error) => {
      held.destroyed = true
      held.error ??= error
      return socket
    }
  }
  return () => {
    if (--held.count > 0) return
    if (held.own) Object.defineProperty(socket, 'destroy', held.own)
    else delete (socket as { destroy?: unknown }).destroy
    delete socket[HELD]
    if (held.destroyed) socket.destroy(held.error)
  }
}

/** Content-Length as writeHead is given it: in an object, a list of pairs, or a flat list of names and values. */
function lengthIn(headers: unknown): number | undefined {
  if (typeof headers !== 'object' || headers === null) return undefined
  const flat = Array.isArray(headers) ? headers.flat() : Object.entries(headers).flat()
  const at = flat.findIndex((item, i) => i % 2 === 0 && String(item).toLowerCase() === 'content-length')
  return at === -1 ? undefined : Number(flat[at + 1])
}

function byteLength(chunk: unknown, encoding: unknown): number {
  if (typeof chunk === 'string') {
    return Buffer.byteLength(chunk, typeof encoding === 'string' ? (encoding as 'utf8') : 'utf8')
  }
  return chunk instanceof Uint8Array ? chunk.byteLength : 0
}
