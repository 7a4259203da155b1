/*
 * What does a miss cost more than the handler alone? Every request is for another URL, and every answer is stored.
 */
import { startServer } from '../harness/processes.js'
import { compare } from '../harness/rounds.js'
import { differenceOf, round } from '../harness/statistics.js'

export const title = 'Overhead of a miss'

const ALONE = 'Express, res.json of a constant'
const MEMORY = 'registry-cache, L1'
const BOTH = 'registry-cache, L1 and L2'

export async function run(context) {
  const redis = await context.redis()
  // What is stored goes soon, so that the run is not a test of how much fits.
  const env = { TTL: '1' }
  const servers = {
    [ALONE]: await startServer('express.js'),
    [MEMORY]: await startServer('registry.js', { env }),
    [BOTH]: await startServer('registry.js', { env: { ...env, REDIS_URL: redis.url } }),
    apicache: await startServer('apicache.js', { env }),
  }
  const workloads = []
  const rows = []
  const targets = []
  for (const [path, about] of [
    ['small', '5.7 KB'],
    ['large', '57 KB'],
  ]) {
    if (!context.wants(path)) continue
    const request = { paths: [`/${path}`], unique: true }
    const contestants = Object.entries(servers)
      // It keeps what it has for an hour, without a bound.
      .filter(([name]) => name !== 'apicache' || path === 'small')
      .map(([name, server]) => ({ name, server, request }))
    context.say(`miss: ${about}`)
    const results = await compare(contestants, ALONE, context.rounds(20))
    workloads.push({ name: path, about: `${about}, every request for another URL`, reference: ALONE, results })
    const cpu = (name) =>
      results.find((result) => result.name === name)?.samples.map((sample) => sample.cpuMicrosPerRequest)
    for (const [name, most] of [
      [MEMORY, 50],
      [BOTH, 120],
    ]) {
      const { value, low, high } = differenceOf(cpu(name), cpu(ALONE))
      const measured = `${round(value)} µs (${round(low)} to ${round(high)})`
      rows.push([about, name, measured])
      if (path === 'large') {
        targets.push({
          text: `${name}: CPU beyond the handler at 57 KB`,
          measured,
          target: `<= ${most} µs`,
          met: low <= most,
        })
      }
    }
  }
  const figures = [{ name: 'CPU beyond the handler alone', columns: ['answer', 'cache', 'per miss'], rows }]
  return { workloads, figures, targets }
}
