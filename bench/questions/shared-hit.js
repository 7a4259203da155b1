/*
 * What does a hit in Redis cost, and one in strong mode, beside the GET that is often written by hand? 64 URLs in turn; the L2
 * contestant has room for one entry in memory, so each of its hits comes from Redis.
 */
import { startServer } from '../harness/processes.js'
import { compare, cpuRatio } from '../harness/rounds.js'
import { fill } from './hit.js'

export const title = 'A hit in Redis, and strong mode'

const HAND = 'Redis GET, parse, res.json'
const SHARED = 'registry-cache, L2 hit'
const STRONG = 'registry-cache, strong mode'

export async function run(context) {
  const redis = await context.redis()
  const REDIS_URL = redis.url
  const servers = {
    [HAND]: await startServer('redis-get.js', { env: { REDIS_URL } }),
    [SHARED]: await startServer('registry.js', { env: { REDIS_URL, MAX_ENTRIES: '1' } }),
    [STRONG]: await startServer('registry.js', { args: ['strong'], env: { REDIS_URL } }),
  }
  const workloads = []
  const targets = []
  for (const [path, about, least] of [
    ['small', '5.7 KB', 1.7],
    ['large', '57 KB', 2],
  ]) {
    if (!context.wants(path)) continue
    const paths = Array.from({ length: 64 }, (_, i) => `/${path}?page=${i}`)
    const contestants = Object.entries(servers).map(([name, server]) => ({ name, server, request: { paths } }))
    for (const { server } of contestants) await fill(server, paths, {})
    context.say(`shared-hit: ${about}`)
    const results = await compare(contestants, HAND, context.rounds(20))
    workloads.push({ name: path, about: `${about}, 64 URLs in turn`, reference: HAND, results })
    const of = (name) => results.find((result) => result.name === name)
    const shared = of(SHARED).byCpu
    targets.push({ text: `L2 hit, ${about}, by CPU`, ...shared, target: `>= ${least}`, met: shared.high >= least })
    const strong = cpuRatio(of(STRONG), of(SHARED))
    targets.push({
      text: `strong mode, of an L2 hit, ${about}, by CPU`,
      ...strong,
      target: '>= 1',
      met: strong.high >= 1,
    })
  }
  const { stats } = await servers[SHARED].ask('stats')
  const share = stats.redisHits / stats.hits
  const rows = [['hits of the L2 contestant that came from Redis', `${(100 * share).toFixed(1)} %`]]
  return { workloads, figures: [{ name: 'check', columns: ['figure', 'value'], rows }], targets }
}
