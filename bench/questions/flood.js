/*
 * Does the bound of L1 hold? 10^6 different values, and as many different requests, under 64 MiB.
 */
import { load } from '../harness/load.js'
import { rss } from '../harness/machine.js'
import { startServer } from '../harness/processes.js'
import { round } from '../harness/statistics.js'

export const title = 'L1 under 10^6 different keys'

const MAX_MIB = 64
/**
 * What Node, Express and the garbage collector's slack come to beside the bound: V8 lets the heap of so many small entries
 * grow to a multiple of what is alive in it before it collects, and from Node 24 on keeps some 50 MiB of pages that it has emptied.
 */
const CONSTANT_MIB = 450

export async function run(context) {
  const mebibytes = (bytes) => round(bytes / 2 ** 20)
  const rows = []
  const targets = []
  const note = (what, count, micros, entries, bytes, peak) => {
    const cells = [count.toLocaleString('en'), micros, entries.toLocaleString('en'), `${mebibytes(bytes)}`]
    rows.push([what, ...cells, `${mebibytes(peak)}`])
    targets.push({
      text: `most RSS under ${what}, bound ${MAX_MIB} MiB`,
      measured: `${mebibytes(peak)} MiB`,
      target: `<= ${MAX_MIB} + ${CONSTANT_MIB} MiB`,
      met: peak <= (MAX_MIB + CONSTANT_MIB) * 2 ** 20,
    })
  }

  const setting = await startServer('sets.js', { execArgv: [], env: { MAX_MIB: `${MAX_MIB}` } })
  const { sets } = await setting.ask('sets', 1_000_000)
  note('sets', 1_000_000, `${round(sets.micros)} µs`, sets.entries, sets.bytes, sets.rss)
  await setting.stop()

  const server = await startServer('registry.js', {
    execArgv: [],
    env: { MAX_MIB: `${MAX_MIB}`, MAX_ENTRIES: '200000' },
  })
  const wanted = context.full ? 1_000_000 : 50_000
  let made = 0
  let peak = 0
  for (let i = 0; i < 200 && made < wanted; i++) {
    made += (await load(server, { paths: ['/one'], unique: true }, 3)).requests
    peak = Math.max(peak, rss(server.pid))
  }
  const { stats } = await server.ask('stats')
  note('requests', made, '-', stats.entries, stats.bytes, peak)
  const columns = ['different', 'count', 'time each', 'entries at the end', 'counted MiB', 'most RSS, MiB']
  return { figures: [{ name: `bound ${MAX_MIB} MiB`, columns, rows }], targets }
}
