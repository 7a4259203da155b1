/*
 * Does an invalidation take longer the more Redis holds? Each is timed beside plain SETs on the same connection, one at a time.
 */
import { startServer } from '../harness/processes.js'
import { ratioOf, round } from '../harness/statistics.js'

export const title = 'Invalidation against the number of keys'

const SIZES = [0, 10_000, 1_000_000]

export async function run(context) {
  const redis = await context.redis()
  const server = await startServer('invalidations.js', { env: { REDIS_URL: redis.url } })
  const rows = []
  const ratios = []
  let from = 0
  for (const to of SIZES) {
    await server.ask('foreign', { from, to })
    from = to
    context.say(`invalidate: ${to} foreign keys`)
    const samples = { set: [], one: [], dependent: [] }
    await server.ask('batch', 200)
    const { rounds } = context.rounds(20)
    for (let i = 0; i < Math.max(5, rounds); i++) {
      const { batch } = await server.ask('batch', 200)
      for (const name of Object.keys(samples)) samples[name].push(batch[name])
    }
    const shown = (name) => {
      const { ratio, low, high } = ratioOf(samples[name], samples.set)
      ratios.push({ name, to, ratio })
      return `${round(ratio)} (${round(low)} to ${round(high)})`
    }
    rows.push([to.toLocaleString('en'), shown('one'), shown('dependent')])
  }
  const columns = ['foreign keys', "invalidate('resources') / SET", "invalidate('gateways') with its dependents / SET"]
  const of = (to) => ratios.find((item) => item.name === 'one' && item.to === to).ratio
  const growth = of(SIZES.at(-1)) / of(0)
  return {
    figures: [{ name: 'time of one, in SETs', columns, rows }],
    targets: [
      {
        text: 'with 10^6 foreign keys, of with none',
        measured: `${round(growth)}`,
        target: '<= 1.5',
        met: growth <= 1.5,
      },
    ],
  }
}
