/*
 * The benchmarks, by one command from the package's root:
 *
 *   npm run bench                              all questions but `pause`, few rounds; prints, and writes nothing that is published
 *   npm run bench -- --full                    20 rounds; writes bench/results/node-NN, and the tables of bench/README.md and README.md
 *   npm run bench -- --only hit,miss           these questions
 *   npm run bench -- --only hit --workload small,large --servers door,constant --rounds 6
 */

import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { isPinned, machine, packageVersion, tools, versions } from './harness/machine.js'
import { endAll, startRedis } from './harness/processes.js'
import { publish, QUESTIONS, resultsFolder, tableOf, targetsTable } from './harness/report.js'

const here = fileURLToPath(new URL('.', import.meta.url))
const { values: options } = parseArgs({
  options: {
    full: { type: 'boolean', default: false },
    only: { type: 'string' },
    workload: { type: 'string' },
    servers: { type: 'string' },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
  },
})
// A pause takes two minutes of waiting.
const usual = options.full ? QUESTIONS : QUESTIONS.filter((name) => name !== 'pause')
const chosen = options.only?.split(',') ?? usual
const unknown = chosen.find((name) => !QUESTIONS.includes(name))
if (unknown !== undefined) {
  console.error(`no question ${unknown}: there are ${QUESTIONS.join(', ')}`)
  process.exit(2)
}

prepare()
const environment = { machine: machine(), versions: versions() }
console.log(
  Object.entries(environment.versions)
    .map(([name, version]) => `${name} ${version ?? '-'}`)
    .join(', '),
)
console.log(
  `${environment.machine.cpu}, ${environment.machine.cores} cores, Node ${process.version}, ${environment.machine.os}; ` +
    `load by ${tools.wrk ? 'wrk' : 'autocannon'}, ${isPinned ? 'pinned' : 'not pinned'}, load average ${environment.machine.loadAverageAtStart.toFixed(1)}\n`,
)

const context = {
  full: options.full,
  say: (line) => process.stderr.write(`${line}\n`),
  wants: (workload) => options.workload === undefined || options.workload.split(',').includes(workload),
  wantsServer: (name, reference) =>
    options.servers === undefined ||
    name === reference ||
    options.servers.split(',').some((word) => name.includes(word)),
  /** How often and how long; `full` is the number of rounds of the published table. */
  rounds: (full) => ({
    rounds: Number(options.rounds ?? (options.full ? full : 3)),
    seconds: Number(options.seconds ?? 1),
    // V8 has compiled what it will after three seconds of this load.
    warmUpSeconds: options.full ? 3 : 1,
  }),
  redis: startRedis,
}
const isPartial = options.workload !== undefined || options.servers !== undefined

for (const name of chosen) {
  const startedAt = performance.now()
  const question = await import(`./questions/${name}.js`)
  console.log(`## ${question.title}\n`)
  try {
    const result = await question.run(context)
    const seconds = Math.round((performance.now() - startedAt) / 1000)
    console.log(`${tableOf(result)}\n${targetsTable(result)}`)
    context.say(`(${seconds} s)`)
    if (options.full && !isPartial) {
      mkdirSync(resultsFolder(here), { recursive: true })
      const record = { question: name, title: question.title, ...environment, ...context.rounds(20), ...result }
      writeFileSync(join(resultsFolder(here), `${name}.json`), `${JSON.stringify(record, compact, 1)}\n`)
    }
  } finally {
    await endAll()
  }
}
if (options.full && !isPartial) publish(here)

/** The library as it is published, and the packages that it is compared with. */
function prepare() {
  const build = spawnSync(process.execPath, [join(here, '../scripts/build.js'), '--if-needed'], { stdio: 'inherit' })
  if (build.status !== 0) process.exit(1)
  if (packageVersion('apicache') !== undefined) return
  const args = ['ci', '--prefix', here, '--no-audit', '--no-fund']
  const install = spawnSync('npm', args, { stdio: 'inherit' })
  if (install.status !== 0) process.exit(1)
}

/** Samples are rounded: their noise is far above the fourth digit. */
function compact(key, value) {
  if (key === 'samples') return undefined
  return typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(5)) : value
}
