/*
 * Watches one response on its way out, and takes down what a hit will replay: the bytes that `res.json`/`res.send` hand
 * to `end`, the status, and the headers that the route set (those that differ from when we were entered).
 *
 * Express' chain is send(object) -> json -> send(string) -> end(chunk). We wrap `send` alone, and for its innermost call
 * look at the `end` that Express makes: charset, ETag and Content-Length are Express' own then. The freshness decision is
 * ours meanwhile: a conditional first request must not leave us without a body. Whether to store is decided when the head
 * has gone out, since Set-Cookie is often added by hooks on `writeHead`.
 *
 * It never changes what the client gets, but for a 304 that RFC 9110 asks for and a stale entry in place of a 5xx.
 */
import { type Draft, rawNames, snapshot, takeDown, toBuffer } from './draft.ts'
import { type CacheRequest, type CacheResponse, isNodesEnd } from './exchange.ts'
import { isJsonType, isNotModified, toTime } from './storable.ts'

/** How the response ended, for the cache. */
export type Ending =
  | { readonly kind: 'draft'; readonly draft: Draft; readonly setsCookie: boolean; readonly encodedBehindUs: boolean }
  /** A head went out without anything that could be captured. */
  | { readonly kind: 'other' }
  /** The client left before there was an answer. A handler may still come with one. */
  | { readonly kind: 'aborted' }

export interface CaptureHooks {
  /** Just before the head goes out: the last moment for headers. */
  onHead(draft: Draft | undefined): void
  /** The head has gone out, or the client has. `draft` may follow an `aborted`, nothing else comes twice. */
  onEnd(ending: Ending): void
  /** A 5xx is about to go out, asked once: true when the hook has answered in its place. Never throws. */
  readonly onServerError: ((restore: () => void) => boolean) | undefined
}

type Send = (this: CacheResponse, ...args: unknown[]) => unknown
type End = (this: CacheResponse, ...args: unknown[]) => CacheResponse
type Write = (this: CacheResponse, ...args: unknown[]) => boolean
type WriteHead = (this: CacheResponse, ...args: unknown[]) => CacheResponse

export function capture(req: CacheRequest, res: CacheResponse, hooks: CaptureHooks): void {
  const before = snapshot(res)
  const spelling = hooks.onServerError === undefined ? [] : rawNames(res)
  const { statusMessage } = res
  const send = res.send as Send | undefined
  const writeHead = res.writeHead as WriteHead
  let draft: Draft | undefined
  let isDone = false
  let isReplaced = false
  let hasTried = false
  let isAnswering = false

  const conclude = (ending: Ending): void => {
    if (isDone) return
    isDone = ending.kind !== 'aborted'
    hooks.onEnd(ending)
  }

  if (send !== undefined) {
    res.send = function captureSend(this: CacheResponse, ...args: unknown[]) {
      const [body] = args
      // Objects come back here as a string, by way of res.json.
      const isFinal = args.length === 1 && (typeof body === 'string' || Buffer.isBuffer(body))
      const isJson = isFinal && isJsonType(res.getHeader('Content-Type'))
      return isJson && draft === undefined && !res.headersSent ? sendWatched(body) : send.apply(this, args)
    } as NonNullable<CacheResponse['send']>
  }

  const sendWatched = (body: unknown): unknown => {
    // Not the body itself: the wrapper lives as long as the response, which may be longer than anybody needs the text.
    const isText = typeof body === 'string'
    const end = res.end as End
    // Only a conditional request can be fresh.
    const isConditional = isConditionalRequest(req)
    let isWatching = true
    const unwatch = (): void => {
      isWatching = false
      if (isConditional) delete (req as { fresh?: unknown }).fresh
    }
    if (isConditional) Object.defineProperty(req, 'fresh', { configurable: true, value: false })
    // It stays, and lets everything pass once it has watched: taking a property away again makes all that follows slower.
    res.end = function watchedEnd(...args: unknown[]): CacheResponse {
      if (!isWatching) return end.apply(res, args)
      unwatch()
      // A `send` from before us that sends once more by `json` has been watched within.
      if (res.headersSent || draft !== undefined) return end.apply(res, args)
      draft = takeDown(res, before, toBuffer(args[0], args[1], isText && isNodesEnd(end)))
      if (draft.status >= 500 && replaceError()) return res
      if (isConditional && isConditionalHit(req, draft)) {
        res.statusCode = 304
        for (const name of ['Content-Type', 'Content-Length', 'Transfer-Encoding']) res.removeHeader(name)
        return end.call(res)
      }
      return end.apply(res, args)
    } as typeof res.end
    try {
      return (send as Send).call(res, body)
    } finally {
      if (isWatching) unwatch()
    }
  }

  res.writeHead = function captureWriteHead(this: CacheResponse, ...args: unknown[]): CacheResponse {
    if (isDone || res.headersSent) return writeHead.apply(res, args)
    const status = typeof args[0] === 'number' ? args[0] : res.statusCode
    if (status >= 500 && replaceError()) return res
    if (isReplaced) return writeHead.apply(res, args)
    // Hooks mounted after us have run, those mounted before us have not.
    const encodedBehindUs =
      res.getHeader('Content-Encoding') !== undefined && draft?.head.get('content-encoding') === undefined
    hooks.onHead(draft)
    const result = writeHead.apply(res, args)
    if (draft !== undefined && (status === draft.status || status === 304)) {
      conclude({ kind: 'draft', draft, setsCookie: hasSetCookie(res, args), encodedBehindUs })
    } else {
      conclude({ kind: 'other' })
    }
    return result
  } as typeof res.writeHead

  res.on('close', () => conclude({ kind: 'aborted' }))

  // --- a stale answer in place of an error -------------------------------------------------------------------------

  const replaceError = (): boolean => {
    if (hasTried || hooks.onServerError === undefined || res.headersSent) return false
    hasTried = true
    isReplaced = true
    isAnswering = true
    const restore = (): void => {
      for (const name of res.getHeaderNames()) if (!before.has(name)) res.removeHeader(name)
      for (const name of spelling) {
        const value = before.get(name.toLowerCase())
        if (value !== undefined) res.setHeader(name, value)
      }
      res.statusMessage = statusMessage
      draft = undefined
    }
    isDone = hooks.onServerError(restore)
    isAnswering = false
    isReplaced = isDone
    return isDone
  }

  if (hooks.onServerError !== undefined) {
    const end = res.end as End
    const write = res.write as Write
    const isSwallowed = (): boolean => {
      if (!isDone && res.statusCode >= 500) replaceError()
      return isReplaced
    }
    res.end = function replacedEnd(...args: unknown[]): CacheResponse {
      if (isAnswering || !isSwallowed()) return end.apply(res, args)
      return res
    } as typeof res.end
    res.write = function replacedWrite(...args: unknown[]): boolean {
      return isSwallowed() ? true : write.apply(res, args)
    } as typeof res.write
  }
}

function isConditionalRequest({ headers }: CacheRequest): boolean {
  return headers['if-none-match'] !== undefined || headers['if-modified-since'] !== undefined
}

function isConditionalHit(req: CacheRequest, draft: Draft): boolean {
  if (draft.status < 200 || draft.status > 299) return false
  const { 'if-none-match': inm, 'if-modified-since': ims } = req.headers
  const etag = draft.head.get('etag')
  return isNotModified(inm, ims, typeof etag === 'string' ? etag : undefined, toTime(draft.head.get('last-modified')))
}

/** After the head was made: on the response, or in what writeHead was given (a bare response keeps it nowhere else). */
function hasSetCookie(res: CacheResponse, args: readonly unknown[]): boolean {
  if (res.getHeader('Set-Cookie') !== undefined) return true
  const given = args.at(-1)
  if (typeof given !== 'object' || given === null) return false
  const names = Array.isArray(given) ? given.map((item) => (Array.isArray(item) ? item[0] : item)) : Object.keys(given)
  return names.some((name) => typeof name === 'string' && name.toLowerCase() === 'set-cookie')
}
