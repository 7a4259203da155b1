/*
 * HTTP as a test wants to see it: on node:http, with no header that the test did not ask for (fetch would add Cache-Control),
 * a connection of its own for each request, and the answer as it came over the wire.
 */
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  request as requestOf,
  Server,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import expressFour from 'express4'
import { track } from './tracked.ts'

export const express5: typeof express = express
/** Express 4 under the types of 5: what the tests use of it is the same in both. */
export const express4: typeof express = expressFour as unknown as typeof express

/** Runs `body` inside a `describe` of its own for Express 4 and for Express 5. */
export function forEachExpress(body: (name: 'Express 4' | 'Express 5', framework: typeof express) => void): void {
  describe('Express 4', () => body('Express 4', express4))
  describe('Express 5', () => body('Express 5', express5))
}

export interface Listening {
  readonly port: number
  /** `http://127.0.0.1:PORT` */
  readonly url: string
  readonly server: Server
  /** Stops listening and ends every connection. Idempotent. */
  close(): Promise<void>
}

type Listener = (req: IncomingMessage, res: ServerResponse) => void

/** Serves an Express application, a request listener or a server that is not listening yet, on a free loopback port. */
export async function listen(app: Listener | Server): Promise<Listening> {
  const server = app instanceof Server ? app : createServer(app)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      server.off('error', reject)
      resolve()
    })
  })
  const { port } = server.address() as AddressInfo
  const gone = track(`HTTP server on port ${port}`, () => {
    server.close()
    server.closeAllConnections()
  })
  server.once('close', gone)
  let closing: Promise<void> | undefined
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    server,
    close() {
      closing ??= new Promise<void>((resolve) => {
        if (!server.listening) return resolve()
        server.close(() => resolve())
        server.closeAllConnections()
      })
      return closing
    },
  }
}

export interface RequestOptions {
  /** Default GET. */
  method?: string
  /** Path with query, sent as it is; default `/`. */
  path?: string
  headers?: OutgoingHttpHeaders
  /** A string or bytes are sent as they are; anything else as JSON, with its Content-Type. */
  body?: unknown
  /** Aborts the request: the socket is destroyed and the promise rejects. */
  signal?: AbortSignal
  agent?: import('node:http').Agent
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** Names and values in turn, in the case and order of the wire. */
  readonly rawHeaders: string[]
  readonly body: Buffer
  readonly text: string
  json<T = unknown>(): T
}

/**
 * One request on a connection of its own. Beside Host and Connection only the headers of the options are sent.
 * Rejects when the connection fails or ends before the answer is complete.
 */
export async function request(
  target: number | Server | { readonly port: number },
  options: RequestOptions = {},
): Promise<Answer> {
  const { method = 'GET', path = '/', headers = {}, body, signal, agent } = options
  const isRaw = body === undefined || typeof body === 'string' || body instanceof Uint8Array
  const payload = isRaw ? body : JSON.stringify(body)
  const allHeaders: OutgoingHttpHeaders = { ...headers }
  const names = new Set(Object.keys(headers).map((name) => name.toLowerCase()))
  if (!isRaw && !names.has('content-type')) allHeaders['content-type'] = 'application/json'
  if (payload !== undefined && !names.has('content-length') && !names.has('transfer-encoding')) {
    allHeaders['content-length'] = Buffer.byteLength(payload)
  }
  return await new Promise<Answer>((resolve, reject) => {
    const outgoing = requestOf(
      { host: '127.0.0.1', port: portOf(target), method, path, headers: allHeaders, agent: agent ?? false, signal },
      (incoming) => {
        const chunks: Buffer[] = []
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
        incoming.on('error', reject)
        incoming.on('end', () => resolve(answerOf(incoming, Buffer.concat(chunks))))
      },
    )
    outgoing.on('error', reject)
    outgoing.end(payload)
  })
}

function portOf(target: number | Server | { readonly port: number }): number {
  if (typeof target === 'number') return target
  if (target instanceof Server) return (target.address() as AddressInfo).port
  return target.port
}

function answerOf(incoming: IncomingMessage, body: Buffer): Answer {
  const text = body.toString('utf8')
  return {
    status: incoming.statusCode ?? 0,
    headers: incoming.headers,
    rawHeaders: incoming.rawHeaders,
    body,
    text,
    json: <T>() => JSON.parse(text) as T,
  }
}
