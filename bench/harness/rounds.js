/*
 * Interleaved rounds: in each, every contestant is measured once, one right after the other, and every other round runs backwards. So a
 * machine that grows slower or busier meanwhile does so for all of them alike.
 */
import { load } from './load.js'
import { median, ratioOf, round } from './statistics.js'

/**
 * Measures `contestants` (`{ name, server, request }`) and compares each with `reference`, a name. The ratios say how many times better:
 * the reference's CPU time per request by the contestant's, the contestant's throughput by the reference's.
 */
export async function compare(all, reference, { rounds, seconds, warmUpSeconds }) {
  const contestants = []
  for (const contestant of all) {
    const { requests } = await load(contestant.server, contestant.request, warmUpSeconds)
    if (requests > 0) contestants.push(contestant)
    else console.error(`${contestant.name} gives no such answer, and is left out`)
  }
  const samples = new Map(contestants.map(({ name }) => [name, []]))
  for (let i = 0; i < rounds; i++) {
    const order = i % 2 === 0 ? contestants : [...contestants].reverse()
    for (const { name, server, request } of order) {
      samples.get(name).push(await load(server, request, seconds))
    }
  }
  const of = (name, figure) => samples.get(name).map((sample) => sample[figure])
  return contestants.map(({ name }) => {
    const by = (better, worse) => summary(ratioOf(better, worse))
    const errors = of(name, 'errors').reduce((sum, count) => sum + count, 0)
    return {
      name,
      cpuMicrosPerRequest: round(median(of(name, 'cpuMicrosPerRequest')), 4),
      requestsPerSecond: Math.round(median(of(name, 'perSecond'))),
      p99Ms: round(median(of(name, 'p99Ms'))),
      byCpu: by(of(reference, 'cpuMicrosPerRequest'), of(name, 'cpuMicrosPerRequest')),
      byThroughput: by(of(name, 'perSecond'), of(reference, 'perSecond')),
      p99Ratio: by(of(name, 'p99Ms'), of(reference, 'p99Ms')),
      ...(errors > 0 ? { errors } : {}),
      samples: samples.get(name),
    }
  })
}

/** How many times less CPU time per request `a` takes than `b`: two results of one comparison. */
export function cpuRatio(a, b) {
  const of = ({ samples }) => samples.map(({ cpuMicrosPerRequest }) => cpuMicrosPerRequest)
  return summary(ratioOf(of(b), of(a)))
}

export function summary({ ratio, low, high }) {
  return { ratio: round(ratio), low: round(low), high: round(high) }
}
