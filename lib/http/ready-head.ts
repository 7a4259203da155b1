/*
 * Spares node:http the making and checking of a head that is the same as that of the answer before: most of what a hit costs beside a
 * constant (bench/questions/hit.js). All the rest of the answer is node:http's own work.
 *
 * `_header` is where node:http keeps the head from when it is made until it is sent; whoever sets it has made it. That is no documented
 * field, so it is used only where all about the response is as known, and the head can be told beforehand: a GET over HTTP/1.1 on a
 * connection that stays, with a response on which nobody has done more than set headers of one line. Everything else is for `respond`.
 */
import { channel } from 'node:diagnostics_channel'
import {
  type IncomingMessage,
  type OutgoingHttpHeaders,
  ServerResponse,
  validateHeaderName,
  validateHeaderValue,
} from 'node:http'
import { Server, Socket } from 'node:net'
import type { Entry } from '../cache/entry.ts'
import { rawNames } from './draft.ts'
import { type Form, headOf, type Outcome, type ReadyHead, respond, type Sent } from './respond.ts'

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

const { writeHead, setHeader, end, emit } = ServerResponse.prototype
const { _storeHeader } = ServerResponse.prototype as unknown as Inner
const finished = channel('http.server.response.finish')

/** As `respond`, which gets all that is out of the ordinary. */
export function respondReadily(
  req: IncomingMessage,
  res: ServerResponse,
  entry: Entry,
  outcome: Outcome,
  nowMs: number,
  headers: boolean,
  form: Form,
): Sent {
  const text = textOfHead(req, res, entry, form, headOf(entry, form, outcome, nowMs, headers))
  if (text === undefined || !isTaken(res, text)) return respond(req, res, entry, outcome, nowMs, headers, form)
  res.statusMessage = 'OK'
  res.end(form.body)
  return { status: entry.status, bytes: form.body.byteLength }
}

/** Whether the response goes out with this head; otherwise it is as before. */
function isTaken(res: ServerResponse, text: string): boolean {
  const inner = res as unknown as Inner
  inner._header = text
  if (res.headersSent) return true
  inner._header = null
  return false
}

/** The head of this answer as node:http would write it; undefined where that can not be told, or is not ready. */
function textOfHead(
  req: IncomingMessage,
  res: ServerResponse,
  entry: Entry,
  form: Form,
  head: OutgoingHttpHeaders,
): string | undefined {
  if (entry.status !== 200 || !areNodesOwn || !isOrdinary(req) || !isOrdinaryResponse(req, res)) return undefined
  const names = rawNames(res)
  const isBare = names.length === 0 && Object.getPrototypeOf(res) === ServerResponse.prototype
  if (!isBare && (entry.removed.length > 0 || isWatched(req, res))) return undefined
  const ready = readyHead(form, head, (res as unknown as Inner)._keepAliveTimeout)
  if (ready === undefined) return undefined
  const before = linesOf(res, names, ready.names)
  if (before === undefined) return undefined
  return before === '' ? ready.text : STATUS_LINE + before + ready.text.slice(STATUS_LINE.length)
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
    res.end === end &&
    res.emit === emit &&
    inner._storeHeader === _storeHeader &&
    inner._header === null &&
    inner.shouldKeepAlive === true &&
    inner._removedConnection === false &&
    inner._defaultKeepAlive === true &&
    // Where a connection ends after so many requests, each head is another one.
    (inner._maxRequestsPerSocket ?? 0) <= 0 &&
    !res.writableEnded &&
    res.statusCode === 200 &&
    res.statusMessage === undefined &&
    res.sendDate &&
    !res.strictContentLength &&
    // Adapters of other environments have no such connection, and may take the headers from the response.
    req.socket instanceof Socket &&
    (req.socket as Socket & { server?: unknown }).server instanceof Server
  )
}

/**
 * On a response that somebody has touched, node:http notes the headers of `writeHead` too, and who waits for the end may want to log them.
 * One listener of `finish` is the server's own.
 */
function isWatched(req: IncomingMessage, res: ServerResponse): boolean {
  return (
    res.listenerCount('finish') > 1 ||
    res.listenerCount('prefinish') > 0 ||
    res.listenerCount('close') > 0 ||
    req.listenerCount('close') > 0 ||
    finished.hasSubscribers
  )
}

/** The lines of what was set before us, whose values were checked then. Undefined where node:http may do more than write them down. */
function linesOf(res: ServerResponse, names: readonly string[], taken: string): string | undefined {
  let lines = ''
  for (const name of names) {
    const key = name.toLowerCase()
    const value = res.getHeader(key)
    // The bytes of a Content-Disposition depend on what node:http has noted of the answer.
    const isNodesOwn = NODES_OWN.has(key) || key === 'content-disposition'
    const isPlain = typeof value === 'string' || typeof value === 'number'
    if (!isPlain || isNodesOwn || taken.includes(` ${key} `)) return undefined
    lines += `${name}: ${value}\r\n`
  }
  return lines
}

/** An agent that was loaded before us may have put functions of its own in their place, which want to be called. */
const areNodesOwn = [
  [writeHead, 'this._storeHeader('],
  [_storeHeader, 'this._removedConnection'],
  [setHeader, 'kOutHeaders'],
  [end, 'this.finished'],
  [emit, 'kErrorMonitor'],
].every(([method, word]) => typeof method === 'function' && String(method).includes(String(word)))

/** These are node:http's own to write, each by rules of its own. */
const NODES_OWN = new Set(['connection', 'keep-alive', 'transfer-encoding', 'trailer', 'upgrade', 'expect', 'cookie'])

/** The head as node:http would make it. Undefined for the first that ask in a second, and where node:http would add to it, or refuse it. */
function readyHead(form: Form, head: OutgoingHttpHeaders, keepAliveMs: number): ReadyHead | undefined {
  if (form.ready?.keepAliveMs === keepAliveMs) return form.ready
  // For one answer a second it is not worth its memory.
  if (form.ready === undefined) {
    form.ready = null
    return undefined
  }
  let text = STATUS_LINE
  let names = ' '
  for (const [name, value] of Object.entries(head)) {
    const key = name.toLowerCase()
    // How several lines of one name are written is an option of the server. Names that are numbers go before all others.
    if (value === undefined || Array.isArray(value) || NODES_OWN.has(key) || /^\d+$/.test(key)) return undefined
    if (!isValid(name, value)) return undefined
    names += `${key} `
    text += `${name}: ${value}\r\n`
  }
  if (!names.includes(' date ')) return undefined
  text += 'Connection: keep-alive\r\n'
  if (keepAliveMs) text += `Keep-Alive: timeout=${Math.floor(keepAliveMs / 1000)}\r\n`
  form.ready = { text: `${text}\r\n`, keepAliveMs, names }
  return form.ready
}

function isValid(name: string, value: string | number): boolean {
  try {
    validateHeaderName(name)
    validateHeaderValue(name, value as string)
    return true
  } catch {
    return false
  }
}
