/*
 * Spares node:http the making and checking of a head that is the same as that of the answer before: most of what a hit costs beside a
 * constant (bench/questions/hit.js). All the rest of the answer is node:http's own work.
 *
 * `_header` is where node:http keeps the head from when it is made until it is sent; whoever sets it has made it. That is no documented
 * field, so it is tried once whether it works as known, and used only where the head can be told beforehand: a GET over HTTP/1.1 on a
 * connection that stays, with a response on which nobody has done more than set headers of one line. Everything else is for `respond`.
 */
import { type IncomingMessage, type OutgoingHttpHeaders, ServerResponse, validateHeaderValue } from 'node:http'
import { Socket } from 'node:net'
import type { Entry } from '../cache/entry.ts'
import { rawNames } from './draft.ts'
import { isNodesEnd } from './exchange.ts'
import { type Form, headOf, type Outcome, type ReadyHead, type Sent } from './respond.ts'

interface Inner {
  _header: string | null
  readonly shouldKeepAlive: boolean
  readonly _removedConnection: boolean
  readonly _defaultKeepAlive: boolean
  /** The server's, as they were when the request came. */
  readonly _keepAliveTimeout: number
  readonly _maxRequestsPerSocket: number | null | undefined
  readonly _storeHeader: unknown
}

const STATUS_LINE = 'HTTP/1.1 200 OK\r\n'

/** What makes a head. */
const { writeHead, setHeader } = ServerResponse.prototype
const { _storeHeader } = ServerResponse.prototype as unknown as Inner

/** As `respond`; or undefined, and has done nothing. */
export function respondWithReadyHead(
  req: IncomingMessage,
  res: ServerResponse,
  entry: Entry,
  outcome: Outcome,
  nowMs: number,
  headers: boolean,
  form: Form,
): Sent | undefined {
  const inner = res as unknown as Inner
  if (entry.status !== 200 || !isSupported || !isOrdinary(req) || !isOrdinaryResponse(req, res)) return undefined
  const ready = readyHead(form, headOf(entry, form, outcome, nowMs, headers), inner._keepAliveTimeout)
  if (ready === undefined) return undefined
  const names = rawNames(res)
  let head = ready.text
  if (names.length > 0) {
    const before = entry.removed.length === 0 && !isWatched(req, res) ? linesOf(res, names, ready.names) : undefined
    if (before === undefined) return undefined
    head = STATUS_LINE + before + head.slice(STATUS_LINE.length)
  }
  res.statusMessage = 'OK'
  inner._header = head
  res.end(form.body)
  return { status: entry.status, bytes: form.body.byteLength }
}

/** A condition may make it a 304. */
function isOrdinary({ method, httpVersionMajor, httpVersionMinor, headers }: IncomingMessage): boolean {
  return (
    method === 'GET' &&
    httpVersionMajor === 1 &&
    httpVersionMinor === 1 &&
    headers['if-none-match'] === undefined &&
    headers['if-modified-since'] === undefined &&
    headers.expect === undefined
  )
}

/** Of a server's connection, which stays, and nobody waits for the head or the bytes. */
function isOrdinaryResponse(req: IncomingMessage, res: ServerResponse): boolean {
  const inner = res as unknown as Inner
  return (
    res.writeHead === writeHead &&
    res.setHeader === setHeader &&
    inner._storeHeader === _storeHeader &&
    isNodesEnd(res.end) &&
    inner._header === null &&
    inner.shouldKeepAlive &&
    !inner._removedConnection &&
    inner._defaultKeepAlive &&
    // Where a connection ends after so many requests, each head is another one.
    (inner._maxRequestsPerSocket ?? 0) <= 0 &&
    !res.writableEnded &&
    res.statusCode === 200 &&
    res.statusMessage === undefined &&
    res.sendDate &&
    !res.strictContentLength &&
    // Adapters of other environments have no connection, and may take the headers from the response.
    req.socket instanceof Socket
  )
}

/** Where headers were set before, node:http notes those of `writeHead` too, and who waits for the end may want to log them. */
function isWatched(req: IncomingMessage, res: ServerResponse): boolean {
  // The one is the server's own.
  return res.listenerCount('finish') > 1 || res.listenerCount('close') > 0 || req.listenerCount('close') > 0
}

/** The lines of what was set before us, whose values were checked then. Undefined where node:http may do more than write them down. */
function linesOf(res: ServerResponse, names: readonly string[], taken: string): string | undefined {
  let lines = ''
  for (const name of names) {
    const key = name.toLowerCase()
    const value = res.getHeader(key)
    // The bytes of a Content-Disposition depend on what node:http has noted of the answer.
    const isNodesOwn = NODES_OWN.has(key) || key === 'content-disposition'
    if (value === undefined || Array.isArray(value) || isNodesOwn || taken.includes(` ${key} `)) return undefined
    lines += `${name}: ${value}\r\n`
  }
  return lines
}

/** Tried on a response of nobody. */
const isSupported = ((): boolean => {
  try {
    const probe = new ServerResponse({ method: 'GET', httpVersionMajor: 1, httpVersionMinor: 1 } as IncomingMessage)
    const inner = probe as unknown as Inner
    const isAsKnown =
      inner._header === null &&
      inner.shouldKeepAlive === true &&
      inner._removedConnection === false &&
      inner._defaultKeepAlive === true &&
      inner._keepAliveTimeout === 0
    inner._header = `${STATUS_LINE}\r\n`
    return isAsKnown && probe.headersSent && areNodesOwn()
  } catch {
    return false
  }
})()

/** An agent that was loaded before us may have put functions of its own in their place, which want to be called. */
function areNodesOwn(): boolean {
  const words = new Map<unknown, string>([
    [writeHead, 'this._storeHeader('],
    [_storeHeader, 'this._removedConnection'],
    [setHeader, 'kOutHeaders'],
  ])
  return [...words].every(([method, word]) => Function.prototype.toString.call(method).includes(word))
}

/** These are node:http's own to write, each by rules of its own. */
const NODES_OWN = new Set(['connection', 'keep-alive', 'transfer-encoding', 'trailer', 'upgrade', 'expect', 'cookie'])

/** The head as node:http would make it. Undefined where it would add to it, or refuse it. */
function readyHead(form: Form, head: OutgoingHttpHeaders, keepAliveMs: number): ReadyHead | undefined {
  if (form.ready?.keepAliveMs === keepAliveMs) return form.ready
  let text = STATUS_LINE
  let names = ' '
  for (const [name, value] of Object.entries(head)) {
    const key = name.toLowerCase()
    // How several lines of one name are written is an option of the server.
    if (value === undefined || Array.isArray(value) || NODES_OWN.has(key) || !isValid(name, value)) return undefined
    names += `${key} `
    text += `${name}: ${value}\r\n`
  }
  if (!names.includes(' date ')) return undefined
  text += 'Connection: keep-alive\r\n'
  if (keepAliveMs > 0) text += `Keep-Alive: timeout=${Math.floor(keepAliveMs / 1000)}\r\n`
  form.ready = { text: `${text}\r\n`, keepAliveMs, names }
  return form.ready
}

function isValid(name: string, value: string | number): boolean {
  try {
    validateHeaderValue(name, value as string)
    return true
  } catch {
    return false
  }
}
