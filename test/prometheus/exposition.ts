/*
 * Reads and judges the text that Prometheus scrapes (exposition format 0.0.4), by its documentation and by what `promtool check
 * metrics` complains of.
 */

export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export interface Family {
  readonly name: string
  readonly type: string
  readonly help: string
  readonly samples: Sample[]
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*'
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(.*)\\})? (NaN|[+-]Inf|[-+0-9.eE]+)$`)

/** The families by name. Throws on anything that the format does not allow. */
export function parse(text: string): Map<string, Family> {
  if (!text.endsWith('\n')) throw new Error('the last line does not end')
  const families = new Map<string, Family>()
  const seen = new Set<string>()
  let help: { name: string; text: string } | undefined
  let family: Family | undefined
  for (const line of text.split('\n')) {
    if (line === '') continue
    const comment = new RegExp(`^# (HELP|TYPE) (${NAME}) (.*)$`).exec(line)
    if (comment?.[1] === 'HELP') {
      help = { name: comment[2] as string, text: comment[3] as string }
    } else if (comment) {
      const [, , name = '', type = ''] = comment
      if (help?.name !== name) throw new Error(`${name} has no help before its type`)
      if (families.has(name)) throw new Error(`${name} comes twice`)
      family = { name, type, help: help.text, samples: [] }
      families.set(name, family)
    } else {
      const sample = parseSample(line)
      const base = sample.name.replace(/_(bucket|sum|count)$/, '')
      const isOf = family && (sample.name === family.name || (family.type === 'histogram' && base === family.name))
      if (!family || !isOf) throw new Error(`a sample outside its family: ${line}`)
      const id = `${sample.name}${JSON.stringify(Object.entries(sample.labels).sort())}`
      if (seen.has(id)) throw new Error(`a series comes twice: ${line}`)
      seen.add(id)
      family.samples.push(sample)
    }
  }
  return families
}

function parseSample(line: string): Sample {
  const [, name = '', inner = '', value = ''] = SAMPLE.exec(line) ?? []
  if (name === '') throw new Error(`no sample: ${line}`)
  const labels: Record<string, string> = {}
  let rest = inner
  while (rest !== '') {
    const label = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)/.exec(rest)
    if (!label) throw new Error(`malformed labels: ${line}`)
    const [all, key = '', text = ''] = label
    if (key in labels) throw new Error(`a label comes twice: ${line}`)
    labels[key] = text.replace(/\\(.)/g, (_all, escaped: string) => (escaped === 'n' ? '\n' : escaped))
    rest = rest.slice(all.length)
  }
  return { name, labels, value: Number(value.replace('Inf', 'Infinity')) }
}

/** What promtool's linter, and the naming conventions of Prometheus, would have to say. */
export function lint(families: Iterable<Family>): string[] {
  const complaints: string[] = []
  for (const { name, type, help, samples } of families) {
    const complain = (text: string): void => void complaints.push(`${name}: ${text}`)
    if (!/^[a-z][a-z0-9_]*$/.test(name)) complain('not in snake_case')
    if (help.trim() === '') complain('no help')
    if (!/^[A-Z0-9].*\.$/.test(help)) complain('the help is no sentence')
    if (type === 'untyped') complain('no type')
    if ((type === 'counter') !== name.endsWith('_total')) complain('counters, and only they, end in _total')
    if (/_(count|sum|bucket|info)$/.test(name)) complain('a suffix that is reserved')
    if (/(^|_)(ms|milliseconds|minutes|hours|kb|kilobytes|mb|megabytes|percent)(_|$)/.test(name))
      complain('no base unit')
    if (/(^|_)(counter|gauge|histogram)(_|$)/.test(name)) complain('the type is part of the name')
    if (/(duration|latency|time)/.test(name) && !/_seconds(_total)?$/.test(name)) complain('a time without its unit')
    if (/_(seconds|bytes)_./.test(name) && !/_(seconds|bytes)_total$/.test(name)) complain('the unit is not at the end')
    for (const { labels, value } of samples) {
      for (const key of Object.keys(labels)) {
        if (!/^[a-z][a-z0-9_]*$/.test(key)) complain(`label ${key} is not in snake_case`)
        if (name.includes(`_by_${key}`)) complain(`label ${key} is part of the name`)
      }
      if (Number.isNaN(value)) complain('not a number')
      if (type === 'counter' && value < 0) complain('a counter below 0')
    }
    if (type === 'histogram') complaints.push(...lintHistogram(name, samples))
  }
  return complaints
}

function lintHistogram(name: string, samples: readonly Sample[]): string[] {
  const last = new Map<string, number>()
  const complaints: string[] = []
  const idOf = ({ labels: { le: _, ...labels } }: Sample): string => JSON.stringify(Object.entries(labels).sort())
  for (const sample of samples.filter((one) => one.name === `${name}_bucket`)) {
    if (sample.value < (last.get(idOf(sample)) ?? 0)) complaints.push(`${name}: buckets are not cumulative`)
    last.set(idOf(sample), sample.value)
  }
  for (const sample of samples.filter((one) => one.name === `${name}_count`)) {
    if (sample.value !== last.get(idOf(sample))) complaints.push(`${name}: the count is not the last bucket's`)
  }
  return complaints
}
