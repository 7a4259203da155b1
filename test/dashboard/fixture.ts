/*
 * A dashboard on real HTTP, and what tests ask of it: JSON with its token, and its stream of events.
 */
import {
  type Agent,
  type ClientRequest,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  request as requestOf,
} from 'node:http'
import type express from 'express'
import { cacheDashboard, type DashboardOptions, type Snapshot } from '../../lib/dashboard/index.ts'
import { createRegistryCache, type RegistryCache, type RegistryCacheOptions } from '../../lib/index.ts'
import { createFakeClock, type FakeClock } from '../helpers/fake-clock.ts'
import { type Answer, express5, type Listening, listen, type RequestOptions, request } from '../helpers/http.ts'
import { collecting } from '../http/fixture.ts'

export interface Mounted {
  readonly app: express.Express
  readonly cache: RegistryCache
  readonly clock: FakeClock
  readonly listening: Listening
  /** Codes of the warnings so far. */
  readonly warnings: string[]
  /** One request below the dashboard's path. */
  ask(path: string, options?: RequestOptions): Promise<Answer>
  /** A POST as the page makes it. */
  post(path: string, body: unknown, options?: RequestOptions): Promise<Answer>
  stream(headers?: OutgoingHttpHeaders): Promise<Stream>
}

export interface MountOptions {
  readonly framework?: typeof express
  readonly dashboard?: Partial<DashboardOptions>
  readonly cache?: RegistryCacheOptions
  /** Before the dashboard. */
  readonly before?: (app: express.Express) => void
  /** After it. */
  readonly after?: (app: express.Express, cache: RegistryCache) => void
}

/** Mounts dashboards at `/_cache` for the tests of one `describe`, and ends them after each. */
export function dashboards(): (options?: MountOptions) => Promise<Mounted> {
  const mounted: Mounted[] = []
  const streams: Stream[] = []
  afterEach(async () => {
    for (const stream of streams.splice(0)) stream.close()
    for (const { cache, listening } of mounted.splice(0)) {
      await listening.close()
      await cache.stop()
    }
  })
  return async function mount({ framework = express5, dashboard, cache: own, before, after } = {}) {
    const clock = createFakeClock()
    const warnings: string[] = []
    const cache = createRegistryCache({ clock, logger: collecting(warnings), ...own })
    const app = framework()
    app.set('env', 'test')
    before?.(app)
    app.use('/_cache', cacheDashboard(cache, { authorize: () => true, clock, ...dashboard }))
    after?.(app, cache)
    const listening = await listen(app)
    const ask: Mounted['ask'] = (path, options) => request(listening, { ...options, path: `/_cache${path}` })
    const it: Mounted = {
      app,
      cache,
      clock,
      listening,
      warnings,
      ask,
      async post(path, body, options = {}) {
        const first = await ask('/api/snapshot')
        const headers = { ...pass(first), ...options.headers }
        return await ask(path, { method: 'POST', body, ...options, headers })
      },
      async stream(headers) {
        const stream = await openStream(listening.port, headers)
        streams.push(stream)
        return stream
      },
    }
    mounted.push(it)
    return it
  }
}

/** The headers that a POST needs after this snapshot. */
export function pass(snapshot: Answer): { 'x-csrf-token': string; cookie: string } {
  const cookie = (snapshot.headers['set-cookie'] ?? []).map((line) => line.split(';')[0]).join('; ')
  return { 'x-csrf-token': snapshot.json<Snapshot>().token, cookie }
}

export function errorOf(answer: Answer): string {
  return `${answer.status} ${answer.json<{ error: { code: string; message: string } }>().error.code}`
}

export interface StreamEvent {
  readonly event: string
  readonly data: string
}

export interface Stream {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** Everything that came, comments included. */
  readonly text: () => string
  /** Events of this name so far. */
  all<T = unknown>(event: string): T[]
  /** The next one of this name that was not asked for yet. */
  next<T = unknown>(event: string): Promise<T>
  readonly ended: Promise<void>
  pause(): void
  resume(): void
  close(): void
}

export async function openStream(
  port: number,
  headers: OutgoingHttpHeaders = {},
  agent: Agent | false = false,
): Promise<Stream> {
  return await new Promise<Stream>((resolve, reject) => {
    const outgoing: ClientRequest = requestOf(
      { host: '127.0.0.1', port, path: '/_cache/api/events', headers, agent },
      (incoming) => {
        let text = ''
        const events: StreamEvent[] = []
        const taken: Record<string, number> = {}
        const waiting = new Set<() => void>()
        let rest = ''
        incoming.setEncoding('utf8')
        incoming.on('data', (chunk: string) => {
          text += chunk
          rest += chunk
          const blocks = rest.split('\n\n')
          rest = blocks.pop() ?? ''
          for (const block of blocks) {
            const [, event = ''] = /^event: (.*)$/m.exec(block) ?? []
            const [, data = ''] = /^data: (.*)$/m.exec(block) ?? []
            if (event !== '') events.push({ event, data })
          }
          for (const wake of [...waiting]) wake()
        })
        const ended = new Promise<void>((end) => incoming.on('close', end))
        incoming.on('error', () => {})
        const all = <T>(event: string): T[] =>
          events.filter((one) => one.event === event).map(({ data }) => JSON.parse(data) as T)
        resolve({
          status: incoming.statusCode ?? 0,
          headers: incoming.headers,
          text: () => text,
          all,
          next: <T>(event: string) =>
            new Promise<T>((found, lost) => {
              const look = (): void => {
                const at = taken[event] ?? 0
                const one = events.filter((each) => each.event === event)[at]
                if (!one) return
                waiting.delete(look)
                taken[event] = at + 1
                found(JSON.parse(one.data) as T)
              }
              waiting.add(look)
              void ended.then(() => waiting.has(look) && lost(new Error(`the stream ended before another ${event}`)))
              look()
            }),
          ended,
          pause: () => void incoming.pause(),
          resume: () => void incoming.resume(),
          close: () => void outgoing.destroy(),
        })
      },
    )
    outgoing.on('error', reject)
    outgoing.end()
  })
}
