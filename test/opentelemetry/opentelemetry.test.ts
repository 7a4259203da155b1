import { AsyncLocalStorage } from 'node:async_hooks'
import { type Context, type ContextManager, context, ROOT_CONTEXT, trace } from '@opentelemetry/api'
import {
  AggregationTemporality,
  type DataPoint,
  type Histogram,
  InMemoryMetricExporter,
  MeterProvider,
  type MetricData,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base'
import { expect } from 'chai'
import express from 'express'
import { createRegistryCache, type RegistryCache } from '../../lib/index.ts'
import { instrumentRegistryCache } from '../../lib/opentelemetry/index.ts'
import { createFakeClock } from '../helpers/fake-clock.ts'
import { type Listening, listen, request } from '../helpers/http.ts'

/** What @opentelemetry/context-async-hooks does, in short. */
class AsyncContext implements ContextManager {
  readonly #storage = new AsyncLocalStorage<Context>()
  active(): Context {
    return this.#storage.getStore() ?? ROOT_CONTEXT
  }
  with<A extends unknown[], F extends (...args: A) => ReturnType<F>>(
    to: Context,
    run: F,
    self?: ThisParameterType<F>,
    ...args: A
  ): ReturnType<F> {
    return this.#storage.run(to, () => Reflect.apply(run, self, args)) as ReturnType<F>
  }
  bind<T>(_to: Context, target: T): T {
    return target
  }
  enable(): this {
    return this
  }
  disable(): this {
    return this
  }
}

describe('instrumentRegistryCache', () => {
  const exporter = new InMemorySpanExporter()
  const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
  let meterExporter: InMemoryMetricExporter
  let meterProvider: MeterProvider
  const clock = createFakeClock()
  let cache: RegistryCache
  let server: Listening
  let stop: () => void
  let runs = 0

  before(() => {
    context.setGlobalContextManager(new AsyncContext())
  })

  after(async () => {
    context.disable()
    await tracerProvider.shutdown()
  })

  beforeEach(async () => {
    exporter.reset()
    meterExporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
    const reader = new PeriodicExportingMetricReader({ exporter: meterExporter, exportIntervalMillis: 3_600_000 })
    meterProvider = new MeterProvider({ readers: [reader] })
    cache = createRegistryCache({ clock, silence: ['ERR_SCOPE_MISSING'] })
    stop = instrumentRegistryCache(cache, { tracerProvider, meterProvider })
    runs = 0
    const app = express()
    const tracer = tracerProvider.getTracer('the application')
    app.use((_req, res, next) => {
      const span = tracer.startSpan('request')
      res.on('finish', () => span.end())
      context.with(trace.setSpan(context.active(), span), () => next())
    })
    const tools = cache.middleware({ type: 'tools' })
    app.get('/tools', tools, (_req, res) => {
      runs++
      clock.advance(40)
      res.json([])
    })
    app.post('/tools', tools.invalidateOn(), (_req, res) => void res.json({}))
    server = await listen(app)
  })

  afterEach(async () => {
    stop()
    await server.close()
    await meterProvider.shutdown()
  })

  const get = (headers = {}) => request(server, { path: '/tools?secret=1', headers })
  const named = (name: string): ReadableSpan[] => exporter.getFinishedSpans().filter((span) => span.name === name)
  const millisecondsOf = ({ duration: [seconds, nanos] }: ReadableSpan): number => seconds * 1000 + nanos / 1e6

  async function metric(name: string): Promise<MetricData | undefined> {
    meterExporter.reset()
    await meterProvider.forceFlush()
    const all = meterExporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics))
    return all.find(({ descriptor }) => descriptor.name === name)
  }

  async function figure(name: string, attributes: Record<string, string> = {}): Promise<unknown> {
    const points = ((await metric(name))?.dataPoints ?? []) as DataPoint<number | Histogram>[]
    const wanted = { cache: 'default', ...attributes }
    return points.find((point) => Object.entries(wanted).every(([key, value]) => point.attributes[key] === value))
      ?.value
  }

  it('makes a span of each hit and of each fill, with their durations, as children of the request', async () => {
    await get()
    await get()
    const [miss, hit] = named('request')
    const [fill] = named('registry_cache.fill')
    const [lookup] = named('registry_cache.lookup')
    expect(fill?.parentSpanContext?.spanId).to.equal(miss?.spanContext().spanId)
    expect(millisecondsOf(fill as ReadableSpan)).to.be.closeTo(40, 0.01)
    expect(fill?.attributes).to.deep.include({
      'registry_cache.name': 'default',
      'registry_cache.type': 'tools',
      'registry_cache.filled_by': 'handler',
      'registry_cache.stored': 'memory',
      'registry_cache.body.size': 2,
    })
    expect(lookup?.parentSpanContext?.spanId).to.equal(hit?.spanContext().spanId)
    expect(lookup?.attributes).to.deep.include({
      'registry_cache.outcome': 'hit',
      'registry_cache.tier': 'memory',
      'http.request.method': 'GET',
      'http.response.status_code': 200,
      'url.path': '/tools',
    })
    expect(lookup?.attributes['registry_cache.key']).to.match(/^tools:[0-9a-f]{32}$/)
    expect(
      JSON.stringify(exporter.getFinishedSpans().map(({ attributes, events }) => [attributes, events])),
    ).not.to.include('secret')
  })

  it("tells the request's span how the cache answered it", async () => {
    await get()
    await get()
    await get({ authorization: 'Bearer x' })
    expect(named('request').map(({ attributes }) => attributes['registry_cache.outcome'])).to.deep.equal([
      'miss',
      'hit',
      'bypass',
    ])
    const [, , bypassed] = named('request')
    expect(bypassed?.events[0]?.attributes).to.deep.include({ 'registry_cache.bypass.reason': 'authorization' })
    expect(runs).to.equal(2)
  })

  it('makes a moment of each invalidation, with what raised it', async () => {
    await request(server, { method: 'POST', path: '/tools' })
    await cache.invalidate({ tag: 'mine' })
    const [first] = named('registry_cache.invalidate')
    const last = named('registry_cache.invalidate').at(-1)
    expect(first?.attributes).to.deep.include({
      'registry_cache.tag': 'registry:tools',
      'registry_cache.cause': 'POST:/tools',
      'registry_cache.own': true,
    })
    expect(millisecondsOf(first as ReadableSpan)).to.equal(0)
    expect(first?.parentSpanContext?.spanId).to.equal(named('request')[0]?.spanContext().spanId)
    expect(last?.attributes['registry_cache.cause']).to.equal('api')
    expect(last?.parentSpanContext).to.equal(undefined)
  })

  it('reports the figures of stats() and the durations as metrics', async () => {
    await get()
    await get()
    await get()
    expect(await figure('registry_cache.requests', { type: 'tools', outcome: 'hit' })).to.equal(2)
    expect(await figure('registry_cache.requests', { type: 'tools', outcome: 'miss' })).to.equal(1)
    expect(await figure('registry_cache.entries', { type: 'tools' })).to.equal(1)
    expect((await metric('registry_cache.memory'))?.descriptor).to.include({
      unit: 'By',
      type: 'OBSERVABLE_UP_DOWN_COUNTER',
    })
    expect(await figure('registry_cache.handler_duration', { type: 'tools' })).to.deep.include({ count: 1, sum: 0.04 })
    expect(await figure('registry_cache.hit_duration', { type: 'tools' })).to.deep.include({ count: 2 })
  })

  it('says nothing more after it was stopped', async () => {
    await get()
    stop()
    stop()
    exporter.reset()
    await get()
    expect(named('registry_cache.lookup')).to.deep.equal([])
    expect(await figure('registry_cache.requests', { type: 'tools', outcome: 'hit' })).to.equal(undefined)
    stop = instrumentRegistryCache(cache, { tracerProvider, meterProvider })
    await get()
    expect(named('registry_cache.lookup')).to.have.lengthOf(1)
  })

  it('refuses to instrument a cache twice, and what is no provider', () => {
    const refused = (args: unknown[], code: string): void => {
      expect(() => Reflect.apply(instrumentRegistryCache, undefined, args))
        .to.throw(TypeError)
        .with.property('code', code)
    }
    refused([cache], 'ERR_ALREADY_REGISTERED')
    const other = createRegistryCache()
    refused([other, { tracerProvider: {} }], 'ERR_OPTION_TYPE')
    refused([other, { meterProvider: null }], 'ERR_OPTION_TYPE')
    refused([other, { tracer: {} }], 'ERR_OPTION_UNKNOWN')
    refused([undefined], 'ERR_OPTION_TYPE')
  })

  it('does nothing where OpenTelemetry was not set up', async () => {
    const other = createRegistryCache()
    const end = instrumentRegistryCache(other)
    expect(await other.wrap('tools', undefined, () => 1)).to.equal(1)
    end()
  })
})
