/*
 * The documentation is code: its examples compile and run, its tables say what the options are, its links lead somewhere.
 */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { expect } from 'chai'
import { systemClock } from '../../lib/cache/tiers.ts'
import { resolveDashboardOptions } from '../../lib/dashboard/options.ts'
import { OptionError } from '../../lib/errors.ts'
import { resolveInvalidateOn } from '../../lib/http/invalidate-on.ts'
import { resolveRouteOptions } from '../../lib/http/route-options.ts'
import { createRegistryCache } from '../../lib/index.ts'
import { BUILT_IN_TYPES, resolveOptions } from '../../lib/options.ts'
import { anchors, links, type Page, page, pages, root, table, uncode } from './blocks.ts'
import { compile, makeRunner, type Runner } from './compile.ts'

const all = pages()
const readme = page('README.md')
const options = page('docs/options.md')
const code = all.flatMap(({ blocks }) => blocks.filter(({ language }) => ['ts', 'js'].includes(language)))
const runnable = code.filter(({ marks }) => marks.includes('runnable'))

describe('The documentation', () => {
  it('has only examples that compile', async function () {
    this.timeout(60_000)
    expect(code.length).to.be.above(40)
    expect(await compile(code)).to.deep.equal([])
  })

  describe('has examples that run:', () => {
    // The first one serves; what a reader would see with curl is asked for here.
    const curl = `
      const { once } = await import('node:events')
      if (!server.listening) await once(server, 'listening')
      const url = 'http://127.0.0.1:' + (server.address() as any).port + '/tools'
      const seen = []
      const look = async () => {
        const answer = await fetch(url)
        seen.push(answer.headers.get('x-cache') + ' ' + (await answer.json() as any).map((row: any) => row.name).join())
      }
      await look()
      await look()
      const body = JSON.stringify({ name: 'saw' })
      await fetch(url, { method: 'POST', body, headers: { 'Content-Type': 'application/json' } })
      await look()
      await look()
      console.log(seen.join('; '))
      server.close()
      server.closeAllConnections()`
    const [first, ...others] = runnable
    let runner: Runner

    before(() => {
      runner = makeRunner()
    })
    after(() => runner.close())

    it('the first one of the README misses, hits, and misses after a write', async function () {
      this.timeout(60_000)
      if (!first) throw new Error('there is none')
      expect(first.page).to.equal('README.md')
      expect((await runner.run(first, curl)).trim()).to.equal(
        'MISS hammer; HIT hammer; MISS hammer,saw; HIT hammer,saw',
      )
    })

    for (const block of others) {
      it(`${block.page}, line ${block.line}`, async function () {
        this.timeout(60_000)
        await runner.run(block)
      })
    }
  })

  describe('has option tables that are complete and tell the defaults:', () => {
    it('of the cache', () => {
      const rows = table(options, 'options: cache')
      const documented = new Set(rows.map(([name = '']) => uncode(name).split('.')[0]))
      expect([...documented].sort()).to.deep.equal(namesKnownTo((given) => resolveOptions(given)))
      const { types: _, ...defaults } = inSeconds(resolveOptions())
      for (const [name = '', value = ''] of rows) {
        if (value === 'see below') continue
        expect(at(defaults, uncode(name)), name).to.deep.equal(meant(value))
      }
      expect(Object.keys(resolveOptions().memory).sort()).to.deep.equal(membersIn(rows, 'memory'))
      expect(Object.keys(inSeconds(resolveOptions()).breaker as object).sort()).to.deep.equal(
        membersIn(rows, 'breaker'),
      )
    })

    it('of the built-in types', () => {
      const documented = table(options, 'options: types').map(([name = '', ttl = '', dependsOn = '']) => [
        uncode(name),
        { ttl: meant(ttl), dependsOn: dependsOn === '' ? [] : dependsOn.split(', ').map(uncode) },
      ])
      expect(Object.fromEntries(documented)).to.deep.equal(BUILT_IN_TYPES)
    })

    it('of a cache middleware', () => {
      const rows = table(options, 'options: middleware')
      const known = { ttlMs: 71_000, maxStalenessMs: 72_000 }
      const resolve = (given: object) => resolveRouteOptions({ type: 'tools', ...given }, () => known)
      expect(rows.map(([name = '']) => uncode(name)).sort()).to.deep.equal(namesKnownTo(resolve))
      const { allow, ignore, honoursResponse, honoursRequest, front, ...rest } = inSeconds(resolve({}))
      const defaults = {
        ...rest,
        front: front !== undefined,
        query: allow === undefined && (ignore as unknown[]).length === 0 ? {} : { allow, ignore },
        responseCacheControl: honoursResponse === true ? 'honour' : 'ignore',
        requestCacheControl: honoursRequest === true ? 'honour' : 'ignore',
      }
      const words = { required: 'tools' }
      for (const [name = '', value = ''] of rows) {
        const expected = value === "the type's" ? [71, 72] : [meant(value, words)]
        expect(at(defaults, uncode(name)), name).to.be.deep.oneOf(expected)
      }
    })

    it('of the dashboard', () => {
      const rows = table(page('docs/dashboard.md'), 'options: dashboard')
      const resolve = (given: object) => resolveDashboardOptions({ authorize: 'local', ...given })
      expect(rows.map(([name = '']) => uncode(name)).sort()).to.deep.equal(namesKnownTo(resolve))
      for (const [name = '', value = ''] of rows) {
        expect(at({ ...resolve({}) }, uncode(name)), name).to.deep.equal(meant(value, { required: 'local' }))
      }
    })

    it('of invalidateOn', () => {
      const rows = table(options, 'options: invalidateOn')
      const resolve = (given: object) => resolveInvalidateOn(given, [])
      expect(rows.map(([name = '']) => uncode(name)).sort()).to.deep.equal(namesKnownTo(resolve))
      const words = { 'all unsafe': undefined, "the middleware's": undefined, 'all but 4xx': undefined }
      for (const [name = '', value = ''] of rows) {
        expect(at(inSeconds(resolve({})), uncode(name)), name).to.deep.equal(meant(value, words))
      }
    })
  })

  it('names every member of stats() and every event in the README', () => {
    const section = readme.text.split('## Seeing what happens')[1]?.split('\n## ')[0] ?? ''
    const named = new Set([...section.matchAll(/`(\w+)`/g)].map(([, name = '']) => name))
    const source = readFileSync(join(root, 'lib/events.ts'), 'utf8')
    const events = /export interface CacheEvents \{([^}]*)\}/.exec(source)?.[1]?.match(/\w+(?=:)/g) ?? []
    const members = Object.keys(createRegistryCache().stats())
    expect(events).to.include('hit')
    expect([...members, ...events].filter((name) => !named.has(name))).to.deep.equal([])
  })

  it('explains every error code, and no other', () => {
    const source = readFileSync(join(root, 'lib/errors.ts'), 'utf8')
    const union = /export type ErrorCode =([^/]*?)\n\n/.exec(source)?.[1] ?? ''
    const codes = [...union.matchAll(/'(ERR_[A-Z_]+)'/g)].map(([, name]) => name)
    const headings = page('docs/errors.md').lines.flatMap((line) => /^## (.*)$/.exec(line)?.[1] ?? [])
    expect(codes.length).to.be.above(20)
    expect(headings).to.have.members(codes)
    expect(new Set(headings).size).to.equal(headings.length)
  })

  it('shows an example for every error code', () => {
    const { text } = page('docs/errors.md')
    const without = text
      .split(/^## /m)
      .slice(1)
      .filter((section) => !section.includes('```'))
    expect(without.map((section) => section.split('\n')[0])).to.deep.equal([])
  })

  it('names in docs/http.md only reasons that the code gives', () => {
    const sources = ['decision', 'request-key', 'verdict', 'fill', 'capture', 'cache-middleware'].map((name) =>
      readFileSync(join(root, `lib/http/${name}.ts`), 'utf8'),
    )
    sources.push(readFileSync(join(root, 'lib/cache/cache.ts'), 'utf8'))
    const reasons = ['reasons: bypass', 'reasons: not stored'].flatMap((mark) =>
      table(page('docs/http.md'), mark).flatMap(([names = '']) => names.split(', ').map(uncode)),
    )
    expect(reasons.length).to.be.above(25)
    for (const reason of reasons)
      expect(
        sources.some((source) => source.includes(`'${reason}'`)),
        reason,
      ).to.equal(true)
  })

  it('opens each page with what a hurried reader needs', () => {
    for (const { name, lines } of all) {
      if (name === 'README.md') continue
      expect(lines[0], name).to.match(/^# \S/)
      expect(lines[2], name).to.match(/^\*\*TL;DR\*\* \S/)
    }
  })

  it('has a README of at most 250 lines, with the two commands to try it', () => {
    expect(readme.lines.length).to.be.at.most(250)
    const shell = readme.blocks.map((block) => block.code)
    expect(shell).to.include('npm ci && npm run example')
    expect(shell).to.include('npm ci && npm test')
  })

  it('has links that lead somewhere', () => {
    const others = ['SECURITY.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'examples/express-gateway/README.md'].map(page)
    const dead = [...all, ...others].flatMap((from) =>
      links(from)
        .filter(({ target }) => !/^[a-z]+:/.test(target) && !leads(from, target))
        .map(({ line, target }) => `${from.name}:${line}: ${target}`),
    )
    expect(dead).to.deep.equal([])
  })

  it('has every page within reach of the README', () => {
    const reached = new Set(['README.md'])
    for (const name of reached) {
      for (const { target } of links(page(name))) {
        const path = pathFrom(name, target.split('#')[0] ?? '')
        if (all.some((one) => one.name === path)) reached.add(path)
      }
    }
    expect([...reached].sort()).to.deep.equal(all.map(({ name }) => name).sort())
  })
})

function pathFrom(name: string, target: string): string {
  return target === '' ? name : relative(root, join(root, dirname(name), target))
}

function leads(from: Page, target: string): boolean {
  const [path = '', anchor] = target.split('#')
  const name = pathFrom(from.name, path)
  if (!existsSync(join(root, name))) return false
  return anchor === undefined || !name.endsWith('.md') || anchors(page(name)).has(anchor)
}

/** The option names that a function takes, from what it says of one that it does not. */
function namesKnownTo(take: (options: Record<string, unknown>) => unknown): string[] {
  try {
    take({ qqqqqqqqqqqqqqqqqqqq: 1 })
  } catch (error) {
    if (error instanceof OptionError)
      return error.expected
        .replace(/^one of /, '')
        .split(', ')
        .sort()
  }
  throw new Error('it takes any name')
}

/** Resolved options under the names and in the units that users write. */
function inSeconds(resolved: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(resolved).map(([name, value]) => {
      if (value instanceof Set) return [name, [...value]]
      if (/Ms$/.test(name)) return [name.slice(0, -2), value / 1000]
      const isPlain = typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
      return [name, isPlain && value !== systemClock ? inSeconds(value) : value]
    }),
  )
}

function at(value: unknown, path: string): unknown {
  return path.split('.').reduce((inner, name) => (inner as Record<string, unknown> | undefined)?.[name], value)
}

/** What a default's cell says: code is taken as an expression, words as what the table's reader knows them to mean. */
function meant(cell: string, words: Readonly<Record<string, unknown>> = {}): unknown {
  const known: Record<string, unknown> = { none: undefined, system: systemClock, ...words }
  if (cell in known) return known[cell]
  if (!/^`.*`$/.test(cell)) throw new Error(`a default that means nothing: ${cell}`)
  return new Function(`return (${uncode(cell)})`)()
}

function membersIn(rows: readonly string[][], option: string): string[] {
  return rows
    .flatMap(([name = '']) => (uncode(name).startsWith(`${option}.`) ? uncode(name).slice(option.length + 1) : []))
    .sort()
}
