/*
 * An application with a cache on a clock that stands still, and what tests ask of it. In memory alone every timer of a cache
 * belongs to a flight, so after each test a pending one is a flight that was leaked.
 */
import { expect } from 'chai'
import type express from 'express'
import {
  type CacheMiddlewareOptions,
  createRegistryCache,
  type Logger,
  type RegistryCache,
  type RegistryCacheOptions,
} from '../../lib/index.ts'
import { createFakeClock, type FakeClock } from '../helpers/fake-clock.ts'
import { type Answer, type Listening, listen, type RequestOptions, request } from '../helpers/http.ts'

export type Framework = typeof express

export interface Given {
  readonly app: express.Express
  readonly cache: RegistryCache
  readonly clock: FakeClock
  /** `cache.middleware` with the type `tools` unless another is given. */
  readonly cached: (options?: Partial<CacheMiddlewareOptions>) => ReturnType<RegistryCache['middleware']>
}

export interface Started extends Given {
  readonly listening: Listening
  /** Codes of the warnings so far. */
  readonly warnings: string[]
  get(path: string, headers?: RequestOptions['headers']): Promise<Answer>
  send(options: RequestOptions): Promise<Answer>
}

/** Starts applications for the tests of one `describe`, and ends them after each. */
export function applications(): (
  framework: Framework,
  build: (given: Given) => void,
  options?: RegistryCacheOptions,
) => Promise<Started> {
  const started: Started[] = []
  afterEach(async () => {
    for (const { listening, cache, clock } of started.splice(0)) {
      await listening.close()
      await cache.stop()
      expect(clock.pending, 'flights that were leaked').to.equal(0)
    }
  })
  return async function start(framework, build, options = {}) {
    const clock = createFakeClock()
    const warnings: string[] = []
    const cache = createRegistryCache({ clock, logger: collecting(warnings), ...options })
    const app = framework()
    // No line on stderr for each error.
    app.set('env', 'test')
    const given: Given = { app, cache, clock, cached: (own) => cache.middleware({ type: 'tools', ...own }) }
    build(given)
    app.use(quietErrors)
    const listening = await listen(app)
    const send = (options: RequestOptions): Promise<Answer> => request(listening, options)
    const running = {
      ...given,
      listening,
      warnings,
      send,
      get: (path, headers = {}) => send({ path, headers }),
    } as Started
    started.push(running)
    return running
  }
}

/** Errors as JSON; where the application says so, or the answer is out, Express' own finalhandler has them. */
const quietErrors: express.ErrorRequestHandler = (error, req, res, next) => {
  if (res.headersSent || req.app.locals.withFinalhandler === true) return next(error)
  res.status(500).json({ error: error instanceof Error ? error.message : String(error) })
}

/** A logger that keeps the codes of what it is warned of. */
export function collecting(codes: string[]): Logger {
  const ignore = (): void => {}
  return {
    debug: ignore,
    info: ignore,
    error: ignore,
    warn: (_message, about) => codes.push((about as { code: string }).code),
  }
}

export interface Gate {
  readonly opened: Promise<void>
  open(): void
}

/** A promise that is released by hand. */
export function gate(): Gate {
  let resolve = (): void => {}
  const opened = new Promise<void>((release) => {
    resolve = release
  })
  return { opened, open: () => resolve() }
}

/** Header lines in the spelling of the wire, sorted, without those that tell how an answer came about. */
export function headerLines(answer: Answer): string[] {
  const lines: string[] = []
  for (let i = 0; i < answer.rawHeaders.length; i += 2) {
    const name = answer.rawHeaders[i] ?? ''
    if (!/^(age|cache-status|x-cache|connection)$/i.test(name)) lines.push(`${name}: ${answer.rawHeaders[i + 1]}`)
  }
  return lines.sort()
}

/** Status, header lines and body of the hit are those of the miss. */
export function expectSame(hit: Answer, miss: Answer): void {
  expect(miss.headers['x-cache'], 'of the first answer').to.equal('MISS')
  expect(hit.headers['x-cache'], 'of the second answer').to.equal('HIT')
  expect(hit.status).to.equal(miss.status)
  expect(headerLines(hit)).to.deep.equal(headerLines(miss))
  expect(hit.body.equals(miss.body), 'the bodies are equal').to.equal(true)
}
