/*
 * Spares node:http the making and checking of a head that is the same as that of the answer before: a part of what a hit at the front door
 * costs beside a constant from node:http (bench/questions/hit.js). All the rest of the answer is node:http's own work.
 *
 * `_header` is where node:http keeps the head from when it is made until it is sent; whoever sets it has made it. That is no documented
 * field, so it is tried once whether it works as known, and used only where the head can be told beforehand: a GET over HTTP/1.1 on a
 * connection that stays, with a response that nobody has touched. Everything else is for `respond`.
 */
import { type IncomingMessage, type OutgoingHttpHeaders, ServerResponse, validateHeaderValue } from 'node:http'
import type { Entry } from '../cache/entry.ts'
import { isNodesEnd } from './exchange.ts'
import { type Form, headOf, type Outcome, type Sent } from './respond.ts'

interface Inner {
  _header: string | null
  readonly shouldKeepAlive: boolean
  readonly _removedConnection: boolean
  readonly _defaultKeepAlive: boolean
  /** The server's, as they were when the request came. */
  readonly _keepAliveTimeout: number
  readonly _maxRequestsPerSocket: number | null | undefined
}

const { writeHead } = ServerResponse.prototype

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
  if (entry.status !== 200 || !isSupported || !isOrdinary(req) || !isUntouched(res, inner)) return undefined
  const ready = readyHead(form, headOf(entry, form, outcome, nowMs, headers), inner._keepAliveTimeout)
  if (ready === undefined) return undefined
  res.statusMessage = 'OK'
  inner._header = ready
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

/** Nobody has set a header, or waits for the head or the bytes. */
function isUntouched(res: ServerResponse, inner: Inner): boolean {
  return (
    Object.getPrototypeOf(res) === ServerResponse.prototype &&
    res.writeHead === writeHead &&
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
    res.getHeaderNames().length === 0
  )
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
    inner._header = 'HTTP/1.1 200 OK\r\n\r\n'
    return isAsKnown && probe.headersSent
  } catch {
    return false
  }
})()

/** These are node:http's own to write, each by rules of its own. */
const NODES_OWN = new Set(['connection', 'keep-alive', 'transfer-encoding', 'trailer', 'upgrade', 'expect', 'cookie'])

/** The head as node:http would make it. Undefined where it would add to it, or refuse it. */
function readyHead(form: Form, head: OutgoingHttpHeaders, keepAliveMs: number): string | undefined {
  if (form.ready !== undefined && form.readyKeepAliveMs === keepAliveMs) return form.ready
  let ready = 'HTTP/1.1 200 OK\r\n'
  let isDated = false
  for (const [name, value] of Object.entries(head)) {
    const key = name.toLowerCase()
    // How several lines of one name are written is an option of the server.
    if (value === undefined || Array.isArray(value) || NODES_OWN.has(key) || !isValid(name, value)) return undefined
    isDated ||= key === 'date'
    ready += `${name}: ${value}\r\n`
  }
  if (!isDated) return undefined
  ready += 'Connection: keep-alive\r\n'
  if (keepAliveMs > 0) ready += `Keep-Alive: timeout=${Math.floor(keepAliveMs / 1000)}\r\n`
  form.ready = `${ready}\r\n`
  form.readyKeepAliveMs = keepAliveMs
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
