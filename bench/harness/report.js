/*
 * Results as Markdown: printed, and put into bench/README.md between the two marks.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Workloads have contestants compared with a reference; figures are names and values. */
export function tableOf({ workloads = [], figures = [] }) {
  const parts = workloads.map(({ name, about, reference, results }) => {
    const rows = results.map((result) => [
      result.name,
      `${result.cpuMicrosPerRequest}`,
      result.name === reference ? '1' : withInterval(result.byCpu),
      result.requestsPerSecond.toLocaleString('en'),
      result.name === reference ? '1' : withInterval(result.byThroughput),
      `${result.p99Ms}${result.errors ? ` (${result.errors} errors)` : ''}`,
    ])
    const head = ['server', 'CPU µs per request', 'by CPU', 'requests/s', 'by throughput', 'p99 ms']
    return `**${name}** (${about}; compared with: ${reference})\n\n${markdown(head, rows)}`
  })
  for (const { name, columns, rows } of figures) parts.push(`**${name}**\n\n${markdown(columns, rows)}`)
  return parts.join('\n')
}

export function targetsTable({ targets = [] }) {
  if (targets.length === 0) return ''
  const rows = targets.map(({ text, target, met, ...measured }) => [
    text,
    measured.ratio === undefined ? measured.measured : withInterval(measured),
    target,
    met ? 'yes' : '**no**',
  ])
  return markdown(['claim', 'measured', 'target', 'met'], rows)
}

function withInterval({ ratio, low, high }) {
  return `${ratio} (${low} to ${high})`
}

function markdown(head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |\n`
  return line(head) + line(head.map((_, i) => (i === 0 ? '---' : '---:'))) + rows.map(line).join('')
}

const BEGIN = '<!-- results: written by `npm run bench -- --full` -->'
const END = '<!-- end of results -->'

/** Where the results on this version of Node are kept. */
export function resultsFolder(folder) {
  return join(folder, 'results', `node-${process.versions.node.split('.')[0]}`)
}

/** Rewrites the tables of the README from what is in results/: each question, for each Node that it was asked on. */
export function publish(folder, questions) {
  const parts = []
  const perNode = readdirSync(join(folder, 'results'))
    .filter((name) => name.startsWith('node-'))
    .sort()
  const files = questions.flatMap((name) => perNode.map((node) => join(folder, 'results', node, `${name}.json`)))
  for (const file of files) {
    if (!existsSync(file)) continue
    const record = JSON.parse(readFileSync(file, 'utf8'))
    const { machine, versions } = record
    const named = Object.entries(versions).map(([who, version]) => `${who} ${version}`)
    const [major] = machine.node.split('.')
    parts.push(
      `### ${record.title}, Node ${major.slice(1)}\n\n${tableOf(record)}\n${targetsTable(record)}\n` +
        `<sub>${machine.cpu}, ${machine.cores} cores, Node ${machine.node}, ${machine.os}; ${record.rounds} rounds; ` +
        `load average at the start ${machine.loadAverageAtStart}; ${named.join(', ')}</sub>\n`,
    )
  }
  const readme = join(folder, 'README.md')
  const text = readFileSync(readme, 'utf8')
  const [before] = text.split(BEGIN)
  const after = text.split(END)[1] ?? '\n'
  writeFileSync(readme, `${before}${BEGIN}\n\n${parts.join('\n')}\n${END}${after}`)
}
