/*
 * How the dashboard answers: JSON, or a refusal with a code; always with the headers that keep its page to itself. On
 * node:http alone.
 */
import type { ServerResponse } from 'node:http'
import type { ErrorCode } from '../errors.ts'

/** Ends a request with a status and `{error: {code, message}}`. */
export class Refusal extends Error {
  readonly status: number
  readonly code: ErrorCode
  readonly headers: Readonly<Record<string, string>>

  constructor(status: number, code: ErrorCode, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message)
    this.name = 'Refusal'
    this.status = status
    this.code = code
    this.headers = headers
  }
}

/** Nothing from elsewhere, nothing inline, no frame. `data:` images are what browsers make of inline icons in style sheets. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "frame-ancestors 'none'",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ')

const HEADERS: Readonly<Record<string, string>> = {
  'Content-Security-Policy': POLICY,
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cache-Control': 'no-store',
}

/** What a `cors()` before us has said to all origins is not said of this page. */
const OPENING = ['Access-Control-Allow-Origin', 'Access-Control-Allow-Credentials', 'Access-Control-Expose-Headers']

export function secure(res: ServerResponse): void {
  for (const name of OPENING) res.removeHeader(name)
  for (const [name, value] of Object.entries(HEADERS)) res.setHeader(name, value)
}

export function sendJson(res: ServerResponse, status: number, value: unknown): void {
  const body = Buffer.from(JSON.stringify(value))
  res.statusCode = status
  res.setHeader('Content-Type', 'application/json; charset=utf-8')
  res.setHeader('Content-Length', body.byteLength)
  res.end(body)
}

export function sendRefusal(res: ServerResponse, refusal: Refusal): void {
  for (const [name, value] of Object.entries(refusal.headers)) res.setHeader(name, value)
  sendJson(res, refusal.status, { error: { code: refusal.code, message: refusal.message } })
}
