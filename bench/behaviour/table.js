/* The table of docs/comparison.md, from the answers. */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const page = fileURLToPath(new URL('../../docs/comparison.md', import.meta.url))
const [BEGIN, END] = ['<!-- behaviour: written by `node bench/behaviour.js` -->', '<!-- end of behaviour -->']

function cell(answer) {
  if (answer === undefined) return '**not reached**'
  if (answer === null) return '–'
  return answer.good ? answer.saw : `**${answer.saw}**`
}

/** A row for each probe, a column for each peer; what went wrong is bold. */
export function behaviourTable({ probes, peers }) {
  const columns = Object.entries(peers)
  const row = (cells) => `| ${cells.join(' | ')} |`
  return [
    row(['', ...columns.map(([name, { version }]) => (version ? `${name} ${version}` : name))]),
    row(['---', ...columns.map(() => '---')]),
    row(['keeps', ...columns.map(([, { kind, tiers }]) => `${kind}, ${tiers}`)]),
    ...probes.map((probe) => row([probe, ...columns.map(([, { answers }]) => cell(answers[probe]))])),
  ].join('\n')
}

/** The page with the table in its place. */
export function withTable(text, results) {
  const [before, rest] = text.split(BEGIN)
  if (rest === undefined || !rest.includes(END)) throw new Error('docs/comparison.md has no place for the table')
  return `${before}${BEGIN}\n${behaviourTable(results)}\n${END}${rest.split(END)[1]}`
}

export function intoPage(results) {
  writeFileSync(page, withTable(readFileSync(page, 'utf8'), results))
}
