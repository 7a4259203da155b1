/*
 * What does a hit cost, beside everything else that could give the same answer?
 */
import { startNginx, startServer, startVarnish } from '../harness/processes.js'
import { compare, cpuRatio } from '../harness/rounds.js'

export const title = 'A hit in memory'

/** What starts each, by its name in the table. The proxies stand before `backend`. */
const SERVERS = {
  'registry-cache, front door': () => startServer('registry.js', { args: ['front'] }),
  'registry-cache, in the route': () => startServer('registry.js'),
  'constant Buffer in an Express route (b)': () => startServer('constant.js'),
  'constant Buffer, node:http alone': () => startServer('raw.js'),
  'nginx proxy_cache': ({ backend }) => startNginx(backend.port),
  varnish: ({ backend }) => startVarnish(backend.port),
  apicache: () => startServer('apicache.js'),
  'Express, res.json of a constant': () => startServer('express.js'),
  'cache-manager': () => startServer('cache-manager.js'),
  bentocache: () => startServer('bentocache.js'),
  'http-cache-middleware': () => startServer('http-cache-middleware.js'),
  'Redis GET, parse, res.json': ({ redis }) => startServer('redis-get.js', { env: { REDIS_URL: redis.url } }),
  'registry-cache, front door, br': () => startServer('registry.js', { args: ['front', 'compress'] }),
  'registry-cache, in the route, br': () => startServer('registry.js', { args: ['compress'] }),
  'Express and compression()': () => startServer('express.js', { args: ['compression'] }),
  'registry-cache, listeners on': () => startServer('registry.js', { args: ['listening'] }),
  'registry-cache, headers off': () => startServer('registry.js', { args: ['silent'] }),
}

const FRONT = 'registry-cache, front door'
const ROUTE = 'registry-cache, in the route'
const CONSTANT = 'constant Buffer in an Express route (b)'
const RAW = 'constant Buffer, node:http alone'
const EXPRESS = 'Express, res.json of a constant'
const rotating = Array.from({ length: 64 }, (_, i) => `/small?page=${i}&limit=10`)

/** Those whose cost is near each other, and of which claims are made. */
const NEAR = [FRONT, ROUTE, CONSTANT, RAW, 'apicache']
const FURTHER = [
  CONSTANT,
  'nginx proxy_cache',
  'varnish',
  EXPRESS,
  'cache-manager',
  'bentocache',
  'http-cache-middleware',
  'Redis GET, parse, res.json',
]

/** `only` these servers take part. `rounds`, where not 20: no claim rests on it. */
const WORKLOADS = [
  { name: 'small', about: '10 records, 5.7 KB', reference: CONSTANT, request: { paths: ['/small'] }, only: NEAR },
  { name: 'large', about: '100 records, 57 KB', reference: CONSTANT, request: { paths: ['/large'] }, only: NEAR },
  {
    name: 'small-others',
    about: '10 records, 5.7 KB',
    reference: CONSTANT,
    request: { paths: ['/small'] },
    only: FURTHER,
    rounds: 10,
  },
  {
    name: 'large-others',
    about: '100 records, 57 KB',
    reference: CONSTANT,
    request: { paths: ['/large'] },
    only: FURTHER,
    rounds: 10,
  },
  {
    name: 'rotating',
    about: '64 URLs of 5.7 KB in turn',
    reference: CONSTANT,
    request: { paths: rotating },
    only: NEAR,
    rounds: 10,
  },
  {
    name: '304',
    about: 'If-None-Match of the 57 KB answer',
    reference: EXPRESS,
    only: [EXPRESS, FRONT, ROUTE, 'nginx proxy_cache', 'varnish', 'apicache'],
  },
  {
    name: 'HEAD',
    about: 'of the 57 KB answer',
    reference: EXPRESS,
    request: { paths: ['/large'], method: 'HEAD' },
    only: [EXPRESS, FRONT, ROUTE, 'nginx proxy_cache', 'varnish'],
    rounds: 10,
  },
  {
    name: 'query-small',
    about: '5.7 KB, against a handler that asks a database for 5 ms',
    reference: EXPRESS,
    request: { paths: ['/query/small'] },
    only: [EXPRESS, ROUTE, FRONT],
  },
  {
    name: 'query-large',
    about: '57 KB, against a handler that asks a database for 5 ms',
    reference: EXPRESS,
    request: { paths: ['/query/large'] },
    only: [EXPRESS, ROUTE, FRONT],
  },
  {
    name: 'br',
    about: '57 KB, Accept-Encoding: br',
    reference: ROUTE,
    request: { paths: ['/large'], headers: { 'Accept-Encoding': 'br' } },
    only: [ROUTE, `${ROUTE}, br`, `${FRONT}, br`, 'Express and compression()'],
  },
  {
    name: 'telling',
    about: '5.7 KB, with and without listeners and headers',
    reference: ROUTE,
    request: { paths: ['/small'] },
    only: [ROUTE, 'registry-cache, listeners on', 'registry-cache, headers off'],
  },
]

export async function run(context) {
  const others = { redis: await context.redis(), backend: await startServer('express.js') }
  const workloads = []
  for (const { name, about, reference, request, only, rounds = 20 } of WORKLOADS) {
    if (!context.wants(name)) continue
    const contestants = []
    for (const [who, start] of Object.entries(SERVERS)) {
      if (!only.includes(who) || !context.wantsServer(who, reference)) continue
      // A process of its own for each workload: one that has served another answers this one more slowly.
      const server = await start(others)
      if (server === undefined) continue
      contestants.push({ name: who, server, request: request ?? (await conditionalOf(server)) })
    }
    await Promise.all(contestants.map(({ server, request: { paths, headers } }) => fill(server, paths, headers)))
    context.say(`${name}: ${about}, ${contestants.length} servers`)
    const measuring = context.rounds(rounds)
    const results = await compare(contestants, reference, measuring)
    workloads.push({ name, about, rounds: measuring.rounds, reference, results })
    for (const { server } of contestants) await server.stop()
  }
  return { workloads, targets: targets(workloads) }

  async function conditionalOf(server) {
    const etag = await fill(server, ['/large'], {})
    return { paths: ['/large'], headers: etag === null ? {} : { 'If-None-Match': etag } }
  }
}

/** Asks for every path until it is in the cache, and at the front door, and compressed. */
export async function fill(server, paths, headers) {
  let etag = null
  for (let i = 0; i < 3; i++) {
    for (const path of paths) {
      const answer = await fetch(`http://127.0.0.1:${server.port}${path}`, { headers: { ...headers } })
      etag = answer.headers.get('etag')
      await answer.arrayBuffer()
    }
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  return etag
}

/** The claims, each with what was measured: met when the interval's upper end reaches it. */
function targets(workloads) {
  const of = (workload, who) =>
    workloads.find(({ name }) => name === workload)?.results.find(({ name }) => name === who)
  const claims = []
  const claim = (text, measured, least) => {
    if (measured) claims.push({ text, ...measured, target: `>= ${least}`, met: measured.high >= least })
  }
  const against = (workload, who, other) => {
    const [a, b] = [of(workload, who), of(workload, other)]
    return a && b ? cpuRatio(a, b) : undefined
  }
  claim('in the route, small, of (b), by CPU', of('small', ROUTE)?.byCpu, 0.97)
  claim('in the route, large, of (b), by CPU', of('large', ROUTE)?.byCpu, 0.95)
  claim('in the route, small, of apicache, by CPU', against('small', ROUTE, 'apicache'), 1.05)
  claim('in the route, large, of apicache, by CPU', against('large', ROUTE, 'apicache'), 1.05)
  const p99 = of('small', ROUTE)?.p99Ratio
  if (p99) claims.push({ text: 'in the route, small, p99 of (b)', ...p99, target: '<= 1.1', met: p99.low <= 1.1 })
  claim("304 in the route, of Express' own, by CPU", of('304', ROUTE)?.byCpu, 4.5)
  claim('front door, small, of (b), by CPU', of('small', FRONT)?.byCpu, 5)
  claim('front door, large, of (b), by CPU', of('large', FRONT)?.byCpu, 3.5)
  claim('front door, small, of raw node:http, by CPU', against('small', FRONT, RAW), 0.8)
  claim('front door, large, of raw node:http, by CPU', against('large', FRONT, RAW), 0.8)
  claim('in the route, small, of the handler with a query, by CPU', of('query-small', ROUTE)?.byCpu, 2)
  claim('in the route, large, of the handler with a query, by CPU', of('query-large', ROUTE)?.byCpu, 3.5)
  claim('front door, small, of the handler with a query, by CPU', of('query-small', FRONT)?.byCpu, 10)
  claim('front door, large, of the handler with a query, by CPU', of('query-large', FRONT)?.byCpu, 10)
  claim('front door, small, of the handler with a query, by throughput', of('query-small', FRONT)?.byThroughput, 10)
  claim('br in the route, of the identity hit, by CPU', of('br', `${ROUTE}, br`)?.byCpu, 0.9)
  claim('with listeners, of without, by CPU', of('telling', 'registry-cache, listeners on')?.byCpu, 0.97)
  return claims
}
