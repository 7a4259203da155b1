/*
 * Results as Markdown: printed, and put into bench/README.md and, in short, into README.md, each between its two marks.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { headline } from './headline.js'

/** In the order of their tables. */
export const QUESTIONS = ['hit', 'miss', 'shared-hit', 'invalidate', 'stampede', 'memory', 'flood', 'cluster', 'pause']

/** Workloads have contestants compared with a reference; figures are names and values. */
export function tableOf({ workloads = [], figures = [] }) {
  const parts = workloads.map(({ name, about, rounds, reference, results }) => {
    const rows = results.map((result) => [
      result.name,
      `${result.cpuMicrosPerRequest}`,
      result.name === reference ? '1' : withInterval(result.byCpu),
      result.requestsPerSecond.toLocaleString('en'),
      result.name === reference ? '1' : withInterval(result.byThroughput),
      `${result.p99Ms}${result.errors ? ` (${result.errors} errors)` : ''}`,
    ])
    const head = ['server', 'CPU µs per request', 'by CPU', 'requests/s', 'by throughput', 'p99 ms']
    const often = rounds === undefined ? '' : `${rounds} rounds; `
    return `**${name}** (${about}; ${often}compared with: ${reference})\n\n${markdown(head, rows)}`
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

/** Where the results on this version of Node are kept. */
export function resultsFolder(folder) {
  return join(folder, 'results', `node-${process.versions.node.split('.')[0]}`)
}

/** What is in results/, by version of Node, the oldest first: `{ node: '20', records: { hit, miss … } }`. */
function resultsIn(folder) {
  return readdirSync(join(folder, 'results'))
    .filter((name) => name.startsWith('node-'))
    .sort((a, b) => Number(a.slice(5)) - Number(b.slice(5)))
    .map((name) => {
      const files = QUESTIONS.map((question) => [question, join(folder, 'results', name, `${question}.json`)])
      const present = files.filter(([, file]) => existsSync(file))
      const records = present.map(([question, file]) => [question, JSON.parse(readFileSync(file, 'utf8'))])
      return { node: name.slice(5), records: Object.fromEntries(records) }
    })
}

/** Each question, for each Node that it was asked on. */
function allTables(results) {
  const parts = []
  for (const question of QUESTIONS) {
    for (const { node, records } of results) {
      const record = records[question]
      if (record === undefined) continue
      const { machine, versions } = record
      const named = Object.entries(versions).map(([who, version]) => `${who} ${version}`)
      parts.push(
        `### ${record.title}, Node ${node}\n\n${tableOf(record)}\n${targetsTable(record)}\n` +
          `<sub>${machine.cpu}, ${machine.cores} cores, Node ${machine.node}, ${machine.os}; ${record.rounds} rounds; ` +
          `load average at the start ${machine.loadAverageAtStart}; ${named.join(', ')}</sub>\n`,
      )
    }
  }
  return `\n${parts.join('\n')}\n`
}

const PAGES = [
  {
    path: 'README.md',
    begin: '<!-- results: written by `npm run bench -- --full` -->',
    end: '<!-- end of results -->',
    make: allTables,
  },
  {
    path: '../README.md',
    begin: '<!-- measured: written by `npm run bench -- --full`, at most 12 lines -->',
    end: '<!-- end of measured -->',
    make: headline,
  },
]

/** The pages as they should be by what is in results/ of bench's `folder`: `{ path, text }`, paths from there. */
export function pagesWithResults(folder) {
  const results = resultsIn(folder)
  return PAGES.map(({ path, begin, end, make }) => {
    const text = readFileSync(join(folder, path), 'utf8')
    const [before, rest] = text.split(begin)
    if (rest === undefined || !rest.includes(end)) throw new Error(`${path} has no place for its table`)
    return { path, text: `${before}${begin}\n${make(results)}${end}${rest.split(end)[1]}` }
  })
}

export function publish(folder) {
  for (const { path, text } of pagesWithResults(folder)) writeFileSync(join(folder, path), text)
}
