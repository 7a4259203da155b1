/*
 * The short table of the package's README: the newest Node first, small answers beside large ones.
 */
const SIZES = ['5.7 KB', '57 KB']

/** Workloads by size; how many times as cheap the server is as what that workload compares with. */
const RATIOS = [
  ['front door, as a constant Buffer in an Express route (b)', 'hit', ['small', 'large'], 'registry-cache, front door'],
  ['hit in the route, as the same', 'hit', ['small', 'large'], 'registry-cache, in the route'],
  ['hit of apicache, as the same', 'hit', ['small', 'large'], 'apicache'],
  ['hit in the route, as a query of 5 ms', 'hit', ['query-small', 'query-large'], 'registry-cache, in the route'],
  ["304 in the route, as Express' own", 'hit', [undefined, '304'], 'registry-cache, in the route'],
  ['hit in Redis, as GET, parse, `res.json`', 'shared-hit', ['small', 'large'], 'registry-cache, L2 hit'],
]

const MISSES = ['registry-cache, L1', 'registry-cache, L1 and L2']

const ASKED = ['hit', 'miss', 'shared-hit']

/** `results` as the report reads them; a Node on which not all of this was measured is left out. */
export function headline(results) {
  const measured = results.filter(({ records }) => ASKED.every((question) => records[question] !== undefined)).reverse()
  const columns = measured.flatMap(({ node, records }) => SIZES.map((size, i) => ({ node, records, size, i })))
  const all = measured.flatMap(({ records }) => ASKED.map((question) => records[question]))
  const rounds = all.map((record) => record.rounds)
  const machines = new Set(all.map(({ machine }) => `${machine.cpu}, ${machine.cores} cores`))
  const row = (cells) => `| ${cells.join(' | ')} |\n`
  const line = (text, cellOf) => row([text, ...columns.map(cellOf)])
  return [
    'By CPU time of the server per request, [measured](bench/README.md) side by side, ',
    `${range(rounds)} rounds, ${[...machines].join(' and ')}:\n\n`,
    line('times as cheap as …', ({ node, size }) => `Node ${node}, ${size}`),
    line('---', () => '---:'),
    ...RATIOS.map(([text, question, workloads, server]) =>
      line(text, ({ records, i }) => ratio(records[question], workloads[i], server)),
    ),
    line('front door, as `node:http` alone', ({ records, i }) => ofNodeHttp(records.hit, ['small', 'large'][i])),
    line('a miss: µs beyond its handler, in memory; with Redis', ({ records, size }) => misses(records.miss, size)),
  ].join('')
}

function ratio({ workloads }, name, server) {
  if (name === undefined) return '–'
  const { results } = workloads.find((workload) => workload.name === name)
  return two(results.find((result) => result.name === server).byCpu.ratio)
}

/** The claims have it: the tables compare with (b). */
function ofNodeHttp({ targets }, name) {
  return two(targets.find(({ text }) => text === `front door, ${name}, of raw node:http, by CPU`).ratio)
}

function misses({ figures }, size) {
  const { rows } = figures.find(({ name }) => name === 'CPU beyond the handler alone')
  const of = (cache) => rows.find((row) => row[0] === size && row[1] === cache)[2].split(' ')[0]
  return MISSES.map((cache) => `${Math.round(Number(of(cache)))}`).join('; ')
}

function range(numbers) {
  const [least, most] = [Math.min(...numbers), Math.max(...numbers)]
  return least === most ? `${least}` : `${least} to ${most}`
}

/** Two digits, and the zeros that they end in. */
function two(value) {
  return value >= 10 ? `${Math.round(value)}` : value.toPrecision(2)
}
