/* The key of a request: two different queries never share a hash, and any order of parameters has the same one. */
import { expect } from 'chai'
import fc from 'fast-check'
import type { CacheRequest } from '../../lib/http/exchange.ts'
import { type Memo, requestHash, variantHash } from '../../lib/http/request-key.ts'
import { resolveRouteOptions } from '../../lib/http/route-options.ts'
import type { CacheMiddlewareOptions } from '../../lib/index.ts'
import { express4, express5 } from '../helpers/http.ts'

function route(options: Partial<CacheMiddlewareOptions> = {}): ReturnType<typeof resolveRouteOptions> {
  return resolveRouteOptions({ type: 'tools', ...options }, () => ({ ttlMs: 1, maxStalenessMs: 0 }))
}

function asked(query: unknown, more: object = {}): CacheRequest {
  return { baseUrl: '/v1', path: '/tools', query, headers: {}, ...more } as unknown as CacheRequest
}

const hashOf = (query: unknown, options: Partial<CacheMiddlewareOptions> = {}, scope?: string, more = {}): unknown =>
  requestHash(asked(query, more), route(options), scope, undefined)

type Parse = (text: string) => Record<string, unknown>

/** The frameworks' own: 4 makes nested objects of `a[b]=1`, 5 leaves the name as it is. */
const parsers = {
  simple: express5().get('query parser fn') as Parse,
  extended: express4().get('query parser fn') as Parse,
}

describe('the key of a request', () => {
  it('is 32 hex digits', () => {
    expect(hashOf({ a: '1' })).to.match(/^[0-9a-f]{32}$/)
  })

  for (const [name, parse] of Object.entries(parsers)) {
    it(`tells queries apart that the ${name} parser tells apart`, () => {
      const texts = ['', 'a=1', 'a[]=1', 'a=1&a=', 'a=1&a=1', 'a=1,2', 'a=1&a=2', 'a=2&a=1', 'A=1', 'a=', 'a', 'b=1']
      texts.push('a[b]=1', 'a[b][c]=1', 'a[0]=1', 'a[1]=1', 'a.b=1', 'a=%5B1%5D', 'a=null', 'a={}', '__proto__=1')
      texts.push('filter[a]=2', 'filter[a]=1', 'filter[b]=1', 'toJSON=1', 'constructor=1', 'a=1&b=2', 'a=1%26b=2')
      const byQuery = new Map<string, Set<unknown>>()
      const byHash = new Map<unknown, Set<string>>()
      for (const text of texts) {
        const query = parse(text)
        const seen = JSON.stringify(query)
        const hash = hashOf(query)
        byQuery.set(seen, (byQuery.get(seen) ?? new Set()).add(hash))
        byHash.set(hash, (byHash.get(hash) ?? new Set()).add(seen))
      }
      for (const [seen, hashes] of byQuery) expect(hashes.size, seen).to.equal(1)
      for (const queries of byHash.values()) expect([...queries]).to.have.length(1)
    })
  }

  const seed = Math.trunc(Math.random() * 2 ** 31)
  const text = fc.oneof(fc.string({ maxLength: 4 }), fc.constantFrom('a', 'b', '1', '', '[]', ',', '"', '\\', 'null'))
  const value: fc.Arbitrary<unknown> = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 2 },
      text,
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(text, tie('value'), { maxKeys: 3 }),
    ),
  })).value
  const query = fc.dictionary(text, value, { maxKeys: 4 })

  it('is never the same for two different queries', () => {
    const same = (a: unknown, b: unknown): boolean => sortedJson(a) === sortedJson(b)
    fc.assert(
      fc.property(query, query, (a, b) => {
        expect(hashOf(a) === hashOf(b)).to.equal(same(a, b))
      }),
      { seed, numRuns: 1000 },
    )
  })

  it('is the same in any order of parameters, nested ones included', () => {
    fc.assert(
      fc.property(query, (a) => {
        expect(hashOf(reversed(a))).to.equal(hashOf(a))
      }),
      { seed, numRuns: 500 },
    )
  })

  it('keeps the order of duplicates', () => {
    expect(hashOf({ a: ['1', '2'] })).not.to.equal(hashOf({ a: ['2', '1'] }))
  })

  it('tells paths, mounts and their halves apart', () => {
    const hashes = [
      hashOf({}),
      hashOf({}, {}, undefined, { path: '/tools/' }),
      hashOf({}, {}, undefined, { path: '/Tools' }),
      hashOf({}, {}, undefined, { baseUrl: '/v2' }),
      hashOf({}, {}, undefined, { path: '/tools/"]' }),
    ]
    expect(new Set(hashes).size).to.equal(hashes.length)
    expect(hashOf({}, {}, undefined, { baseUrl: '/v1/tools', path: '' })).to.equal(hashes[0])
  })

  it("tells scopes apart, and 'public' from a function's 'public'", () => {
    const scope = (): string => 'x'
    const hashes = [
      hashOf({}),
      hashOf({}, { scope: 'public' }),
      hashOf({}, { scope }, 'public'),
      hashOf({}, { scope }, 'a'),
      hashOf({}, { scope }, 'b'),
    ]
    expect(new Set(hashes).size).to.equal(hashes.length)
  })

  it('tells header values apart, an absent one from an empty one, and ignores outer white space', () => {
    const vary = ['accept-language', 'x-team']
    const of = (headers: object): unknown => hashOf({}, { vary }, undefined, { headers })
    const hashes = [of({}), of({ 'accept-language': '' }), of({ 'accept-language': 'de' }), of({ 'x-team': 'de' })]
    expect(new Set(hashes).size).to.equal(4)
    expect(of({ 'accept-language': ' de ' })).to.equal(hashes[2])
    expect(of({ 'accept-language': 'de', host: 'a', accept: 'b' })).to.equal(hashes[2])
  })

  it('tells variants apart by names and values', () => {
    const req = asked({}, { headers: { a: '1', b: '1' } })
    const hashes = [variantHash('h', ['a'], req), variantHash('h', ['b'], req), variantHash('h', ['a', 'b'], req)]
    expect(new Set([...hashes, variantHash('g', ['a'], req), variantHash('h', [], req)]).size).to.equal(5)
    expect(variantHash('h', ['a'], asked({ q: 1 }, { headers: { a: '1', b: '2' } }))).to.equal(hashes[0])
  })

  it('leaves ignored parameters out, and bypasses with one that is not allowed', () => {
    expect(hashOf({ a: '1', utm: 'x' }, { query: { ignore: ['utm'] } })).to.equal(hashOf({ a: '1' }))
    expect(hashOf({ a: '1' }, { query: { allow: ['a', 'b'] } })).to.equal(hashOf({ a: '1' }))
    expect(hashOf({ a: '1', c: '2' }, { query: { allow: ['a', 'b'] } })).to.deep.equal({ bypass: 'query' })
    expect(hashOf(parsers.simple('__proto__=1'), { query: { allow: ['a'] } })).to.deep.equal({ bypass: 'query' })
    const hash = hashOf(parsers.simple('__proto__=1&u=2'), { query: { ignore: ['u'] } })
    expect(hash)
      .to.equal(hashOf(parsers.simple('__proto__=1')))
      .and.not.equal(hashOf({}))
  })

  it('bypasses with a query that has no key', () => {
    const cyclic: { self?: unknown } = {}
    cyclic.self = cyclic
    for (const query of [cyclic, { a: () => 1 }, { a: Number.NaN }]) {
      expect(hashOf(query)).to.deep.equal({ bypass: 'query-error' })
    }
  })

  it('is remembered by raw URL, and read from the query once', () => {
    const kept = new Map<string, string>()
    const memo: Memo = { parser: undefined, get: (key) => kept.get(key), set: (key, hash) => void kept.set(key, hash) }
    let reads = 0
    const get = (url: string): unknown => {
      const req = Object.create({
        get query() {
          reads++
          return parsers.simple(url.split('?')[1] ?? '')
        },
      })
      return requestHash(
        Object.assign(req, { baseUrl: '/v1', path: '/tools', url, headers: {} }),
        route(),
        undefined,
        memo,
      )
    }
    const hash = get('/tools?a=1&b=2')
    expect([get('/tools?a=1&b=2'), reads]).to.deep.equal([hash, 1])
    expect([get('/tools?b=2&a=1'), reads]).to.deep.equal([hash, 2])
    expect(get('/tools?a=1')).not.to.equal(hash)
  })
})

function sortedJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(sortedJson).join()}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${sortedJson(member)}`).join()}}`
}

function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed)
  if (typeof value !== 'object' || value === null) return value
  const turned: Record<string, unknown> = Object.create(null)
  for (const [name, member] of Object.entries(value).reverse()) turned[name] = reversed(member)
  return turned
}
