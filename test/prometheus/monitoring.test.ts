/*
 * The dashboard and the alerts in examples/monitoring ask for metrics and labels that there are.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'
import { load } from 'js-yaml'
import { Registry } from 'prom-client'
import { createRegistryCache } from '../../lib/index.ts'
import { registerCacheMetrics } from '../../lib/prometheus/index.ts'

interface Panel {
  readonly id: number
  readonly title: string
  readonly targets?: readonly { readonly expr: string }[]
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
}
interface Rule {
  readonly alert: string
  readonly expr: string
  readonly labels: { readonly severity: string }
  readonly annotations: { readonly summary: string; readonly description: string }
}

const read = (path: string): string => readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)), 'utf8')
const dashboard = JSON.parse(read('examples/monitoring/grafana-dashboard.json')) as {
  panels: Panel[]
  templating: { list: { name: string }[] }
}
const alerts = load(read('examples/monitoring/prometheus-alerts.yml')) as { groups: { rules: Rule[] }[] }
const rules = alerts.groups.flatMap((group) => group.rules)

describe('what examples/monitoring asks for', () => {
  const labelsOf = new Map<string, string[]>()
  const outcomes = /outcome(?:=|!=|=~)"([^"]*)"/g

  before(async () => {
    const register = new Registry()
    registerCacheMetrics(createRegistryCache(), register)
    for (const metric of await register.getMetricsAsJSON()) {
      const { labelNames = [] } = register.getSingleMetric(metric.name) as unknown as { labelNames: string[] }
      const suffixes = metric.type.toString() === 'histogram' ? ['_bucket', '_sum', '_count'] : ['']
      for (const suffix of suffixes) labelsOf.set(metric.name + suffix, [...labelNames, 'le', 'job', 'instance'])
    }
  })

  const expressions = (): string[] => [
    ...dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
    ...rules.map(({ expr }) => expr),
  ]

  it('are metrics and labels that are exported', () => {
    expect(expressions().length).to.be.above(30)
    for (const expression of expressions()) {
      const selectors = [...expression.matchAll(/(registry_cache_\w+)(?:\{([^}]*)\})?/g)]
      expect(selectors, expression).not.to.deep.equal([])
      for (const [, name = '', inner = ''] of selectors) {
        const labels = labelsOf.get(name)
        expect(labels, `${name} in ${expression}`).to.be.an('array')
        for (const [, label] of inner.matchAll(/(\w+)\s*[=!]/g)) expect(labels, expression).to.include(label)
        for (const [, by = ''] of expression.matchAll(/by \(([^)]*)\)/g)) {
          for (const label of by.split(', ')) expect(labels, `${name} by ${label}`).to.include(label)
        }
      }
      for (const [, values = ''] of expression.matchAll(outcomes)) {
        for (const value of values.split('|')) {
          expect(value).to.be.oneOf(['hit', 'stale', 'miss', 'collapsed', 'bypass'])
        }
      }
    }
  })

  it('is balanced in its parentheses and braces, and rates only what counts', () => {
    for (const expression of expressions()) {
      let depth = 0
      for (const character of expression.replace(/"[^"]*"/g, '')) {
        depth += '([{'.includes(character) ? 1 : ')]}'.includes(character) ? -1 : 0
        expect(depth, expression).to.be.at.least(0)
      }
      expect(depth, expression).to.equal(0)
      for (const [, name = ''] of expression.matchAll(/(?:rate|increase)\((\w+)/g)) {
        expect(name, expression).to.match(/_(total|bucket|sum|count)$/)
      }
    }
  })

  it('is drawn in panels that have ids and places of their own', () => {
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).to.equal(dashboard.panels.length)
    const taken = new Set<string>()
    for (const { title, gridPos } of dashboard.panels) {
      expect(gridPos.x + gridPos.w, title).to.be.at.most(24)
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect(taken.has(`${x},${y}`), `${title} lies on another panel`).to.equal(false)
          taken.add(`${x},${y}`)
        }
      }
    }
    for (const expression of expressions()) {
      const names = dashboard.templating.list.map(({ name }) => name)
      for (const [, variable = ''] of expression.matchAll(/\$(\w+)/g)) {
        if (variable !== '__rate_interval') expect(names, expression).to.include(variable)
      }
    }
  })

  it('raises alerts that say how bad it is, what happened, and that the documentation explains', () => {
    const page = read('docs/operations.md')
    for (const { alert, labels, annotations } of rules) {
      expect(labels.severity, alert).to.be.oneOf(['critical', 'warning', 'info'])
      expect(annotations.summary, alert).to.match(/\S/)
      expect(annotations.description, alert).to.match(/\.$|\?$/)
      expect(page, alert).to.include(`\`${alert}\``)
    }
    expect(rules.length).to.be.above(5)
  })

  it('is listed in the documentation, every metric of it', () => {
    const page = read('docs/operations.md')
    for (const name of labelsOf.keys()) {
      const base = name.replace(/(_seconds)_(bucket|sum|count)$/, '$1')
      expect(page, base).to.include(`\`${base}\``)
    }
  })
})
