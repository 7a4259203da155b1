/*
 * The JSON of a POST, bounded. Reads the request itself, or takes what a body parser of the application has read before.
 */
import type { CacheRequest } from '../http/exchange.ts'
import { Refusal } from './answers.ts'

/** Bytes; the largest that is meant is a request's headers, to be explained. */
export const MAX_BODY_BYTES: number = 64 * 1024

/** @throws Refusal with 400, 413 or 415 */
export async function readJson(req: CacheRequest): Promise<object> {
  if (!/^application\/json\s*(;|$)/i.test(req.headers['content-type'] ?? '')) {
    throw new Refusal(415, 'ERR_DASHBOARD_REQUEST', 'The body has to be application/json.')
  }
  const value = req.readableDidRead ? parsedBefore(req) : parse(await read(req))
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  throw malformed('The body has to be a JSON object.')
}

async function read(req: CacheRequest): Promise<string> {
  if (Number(req.headers['content-length'] ?? 0) > MAX_BODY_BYTES) throw tooLarge()
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of req.iterator({ destroyOnReturn: false })) {
    bytes += (chunk as Buffer).byteLength
    if (bytes > MAX_BODY_BYTES) throw tooLarge()
    chunks.push(chunk as Buffer)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** Whoever read the stream left its result here; the urlencoded parser of Express 4 leaves a `{}` without reading. */
function parsedBefore(req: CacheRequest & { readonly body?: unknown }): unknown {
  const { body } = req
  if (Buffer.isBuffer(body)) return parse(body.toString('utf8'))
  if (typeof body === 'string') return parse(body)
  if (body === undefined) throw malformed('Something before the dashboard has read the body and left nothing of it.')
  return body
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw malformed('The body is not JSON.')
  }
}

function malformed(message: string): Refusal {
  return new Refusal(400, 'ERR_DASHBOARD_REQUEST', message)
}

/** What is still to come of it is not read, so the connection can not serve another request. */
function tooLarge(): Refusal {
  const message = `The body has more than ${MAX_BODY_BYTES} bytes.`
  return new Refusal(413, 'ERR_DASHBOARD_REQUEST', message, { Connection: 'close' })
}
