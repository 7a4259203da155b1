/* Values: what comes back is JSON, a fresh copy, of the same shape from either tier; wrap loads once. */
import { expect } from 'chai'
import { createRegistryCache, type RegistryCache } from '../../lib/index.ts'
import { rejectionOf, thrownBy } from '../helpers/failures.ts'
import { createFakeClock, settle } from '../helpers/fake-clock.ts'

/** A promise to be settled by hand. */
function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: unknown) => void } {
  let resolve: (value: T) => void = () => {}
  let reject: (error: unknown) => void = () => {}
  const promise = new Promise<T>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}

const cyclic = (): object => {
  const value: { list: unknown[]; self?: unknown } = { list: [{}] }
  value.list.push({ back: value })
  return value
}

const refused: [what: string, value: () => unknown, path: string][] = [
  ['NaN', () => ({ a: { b: [1, Number.NaN] } }), '$.a.b[1]'],
  ['Infinity', () => Number.POSITIVE_INFINITY, '$'],
  ['a Map', () => ({ a: new Map([[1, 2]]) }), '$.a'],
  ['a Set', () => [new Set([1])], '$[0]'],
  ['a WeakMap', () => ({ a: new WeakMap() }), '$.a'],
  ['a BigInt', () => ({ size: 5n }), '$.size'],
  ['a function', () => ({ a: () => 1 }), '$.a'],
  ['a symbol', () => ({ a: Symbol('x') }), '$.a'],
  ['a cycle', cyclic, '$.list[1].back'],
  [
    'a cycle of arrays',
    () => {
      const list: unknown[] = []
      list.push(list)
      return list
    },
    '$[0]',
  ],
  ['a promise', () => ({ later: Promise.resolve(1) }), '$.later'],
  ['an error', () => ({ 'last error': new Error('x') }), '$["last error"]'],
  ['a RegExp', () => ({ pattern: /x/ }), '$.pattern'],
  ['a typed array', () => ({ bytes: new Uint8Array(2) }), '$.bytes'],
  ['a boxed number', () => ({ n: Object(5) }), '$.n'],
  ['a boxed string', () => ({ s: Object('x') }), '$.s'],
  ['what toJSON turns into NaN', () => ({ a: { toJSON: () => Number.NaN } }), '$.a'],
]

describe('values', () => {
  let cache: RegistryCache
  beforeEach(() => {
    cache = createRegistryCache()
  })

  it('come back as fresh copies that nobody else sees', async () => {
    const given = { items: [{ id: 1 }] }
    await cache.set('tools', given)
    given.items.push({ id: 2 })
    const first = (await cache.get('tools')) as typeof given
    expect(first).to.deep.equal({ items: [{ id: 1 }] })
    first.items.length = 0
    expect(await cache.get('tools')).to.deep.equal({ items: [{ id: 1 }] })
  })

  it('that wrap loads come back as copies too, at the first time as well', async () => {
    const loaded = { items: [1], at: new Date(5), gone: undefined }
    const first = await cache.wrap('tools', {}, () => loaded)
    expect(first).not.to.equal(loaded)
    expect(first).to.deep.equal({ items: [1], at: '1970-01-01T00:00:00.005Z' })
    loaded.items.push(2)
    expect(await cache.wrap('tools', {}, () => loaded)).to.deep.equal(first)
  })

  it('are JSON: toJSON applies and undefined members are left out', async () => {
    class Money {
      readonly cents = 5
      toJSON(): string {
        return '0.05'
      }
    }
    await cache.set('tools', { at: new Date(0), gone: undefined, price: new Money(), none: null, zero: 0, empty: '' })
    const got = (await cache.get('tools')) as object
    expect(got).to.deep.equal({ at: '1970-01-01T00:00:00.000Z', price: '0.05', none: null, zero: 0, empty: '' })
    expect(got).not.to.have.property('gone')
  })

  for (const value of [null, false, 0, '', [], {}, 'text', 1.5, [null], 'ä€😀\u2028']) {
    it(`may be ${JSON.stringify(value)}`, async () => {
      await cache.set('tools', value)
      expect(await cache.get('tools')).to.deep.equal(value)
    })
  }

  for (const [what, make, path] of refused) {
    it(`may not hold ${what}: the error names where`, async () => {
      for (const error of [
        await rejectionOf(cache.set('tools', make())),
        await rejectionOf(cache.wrap('tools', {}, make)),
      ]) {
        expect(error).to.include({ name: 'ValueError', code: 'ERR_VALUE_NOT_JSON', path })
        expect(error.message).to.contain(path)
      }
      expect(await cache.get('tools')).to.equal(undefined)
    })

    it(`have no filters with ${what}`, async () => {
      const filters = { filter: make() }
      const at = path.replace('$', '$.filter')
      expect(thrownBy(() => cache.hashFilters(filters))).to.include({ code: 'ERR_VALUE_NOT_JSON', path: at })
      expect(await rejectionOf(cache.get('tools', filters))).to.include({ path: at })
      expect(await rejectionOf(cache.set('tools', 1, filters))).to.include({ path: at })
      let loads = 0
      expect(await rejectionOf(cache.wrap('tools', filters, () => ++loads))).to.include({ path: at })
      expect(loads).to.equal(0)
    })
  }

  it('may hold the same object twice, which is no cycle', async () => {
    const shared = { id: 1 }
    await cache.set('tools', [shared, shared, { shared }])
    expect(await cache.get('tools')).to.deep.equal([{ id: 1 }, { id: 1 }, { shared: { id: 1 } }])
  })

  it('have no undefined among them', async () => {
    expect(await rejectionOf(cache.set('tools', undefined))).to.include({ code: 'ERR_VALUE_NOT_JSON' })
  })

  it('have filters that are an object', () => {
    for (const filters of [null, [], 'a', 5]) {
      expect(thrownBy(() => cache.hashFilters(filters as never))).to.include({ code: 'ERR_OPTION_TYPE' })
    }
  })

  it('refuse bad names, TTLs, tags and loaders before anything is loaded', async () => {
    let loads = 0
    const load = (): number => ++loads
    const rejected = async (run: Promise<unknown>): Promise<unknown> => {
      const { code, option } = await rejectionOf(run)
      return [code, option]
    }
    expect(await rejected(cache.get('a b'))).to.deep.equal(['ERR_TYPE_NAME', 'type'])
    expect(await rejected(cache.wrap('', {}, load))).to.deep.equal(['ERR_TYPE_NAME', 'type'])
    expect(await rejected(cache.wrap('tools', {}, load, { ttl: 0 }))).to.deep.equal(['ERR_OPTION_RANGE', 'ttl'])
    expect(await rejected(cache.wrap('tools', {}, load, { negativeTtl: Number.NaN }))).to.deep.equal([
      'ERR_OPTION_RANGE',
      'negativeTtl',
    ])
    expect(await rejected(cache.wrap('tools', {}, load, { tags: [''] }))).to.deep.equal(['ERR_TAG_NAME', 'tags[0]'])
    expect(await rejected(cache.wrap('tools', {}, load, { tag: [] } as never))).to.deep.equal([
      'ERR_OPTION_UNKNOWN',
      'options.tag',
    ])
    expect(await rejected(cache.wrap('tools', {}, 5 as never))).to.deep.equal(['ERR_OPTION_TYPE', 'load'])
    expect(await rejected(cache.set('tools', 1, {}, { ttl: '5' as never }))).to.deep.equal(['ERR_OPTION_TYPE', 'ttl'])
    expect(await rejected(cache.set('tools', 1, {}, { tags: 'a' as never }))).to.deep.equal(['ERR_OPTION_TYPE', 'tags'])
    expect(loads).to.equal(0)
  })
})

describe('wrap', () => {
  it('loads once per worker for 500 callers at once', async () => {
    const cache = createRegistryCache()
    const data = deferred<string>()
    let loads = 0
    const callers = Array.from({ length: 500 }, () =>
      cache.wrap('tools', { page: 1 }, () => {
        loads++
        return data.promise
      }),
    )
    await settle()
    data.resolve('loaded')
    expect(new Set(await Promise.all(callers))).to.deep.equal(new Set(['loaded']))
    expect(loads).to.equal(1)
    expect(cache.stats()).to.include({ misses: 500, coalesced: 499, hits: 0 })
    expect(await cache.wrap('tools', { page: 1 }, () => 'other')).to.equal('loaded')
  })

  it('throws what load throws to all who wait, stores nothing, and loads anew for the next', async () => {
    const cache = createRegistryCache()
    const data = deferred<string>()
    let loads = 0
    const load = (): Promise<string> => {
      loads++
      return data.promise
    }
    const callers = [1, 2, 3].map(() => rejectionOf(cache.wrap('tools', {}, load)))
    await settle()
    const failure = new RangeError('no database')
    data.reject(failure)
    for (const error of await Promise.all(callers)) expect(error).to.equal(failure)
    expect(loads).to.equal(1)
    expect(await cache.wrap('tools', {}, () => 'again')).to.equal('again')
  })

  it('throws what load throws at once', async () => {
    const cache = createRegistryCache()
    const failure = new Error('sync')
    const load = (): never => {
      throw failure
    }
    expect(await rejectionOf(cache.wrap('tools', {}, load))).to.equal(failure)
  })

  it('keeps a null for negativeTtl, and for ttl where there is none', async () => {
    const clock = createFakeClock()
    const cache = createRegistryCache({ clock })
    let loads = 0
    const load = (): null => {
      loads++
      return null
    }
    const ask = (filters: object, options: object): Promise<unknown> =>
      cache.wrap('tool_lookup', { ...filters }, load, { ttl: 60, ...options })
    await ask({ n: 1 }, { negativeTtl: 10 })
    await ask({ n: 2 }, {})
    expect(loads).to.equal(2)
    clock.advance(9999)
    expect([await ask({ n: 1 }, { negativeTtl: 10 }), await ask({ n: 2 }, {}), loads]).to.deep.equal([null, null, 2])
    clock.advance(1)
    await ask({ n: 1 }, { negativeTtl: 10 })
    await ask({ n: 2 }, {})
    expect(loads).to.equal(3)
    clock.advance(50_000)
    await ask({ n: 2 }, {})
    expect(loads).to.equal(4)
  })

  it('keeps a value for ttl whatever negativeTtl is', async () => {
    const clock = createFakeClock()
    const cache = createRegistryCache({ clock })
    let loads = 0
    const ask = (): Promise<number> => cache.wrap('tools', {}, () => ++loads, { ttl: 60, negativeTtl: 1 })
    await ask()
    clock.advance(59_999)
    expect(await ask()).to.equal(1)
    clock.advance(1)
    expect(await ask()).to.equal(2)
  })

  it('returns undefined to all who wait, and does not store it', async () => {
    const cache = createRegistryCache()
    const data = deferred<undefined>()
    let loads = 0
    const ask = (): Promise<undefined> =>
      cache.wrap('tools', {}, () => {
        loads++
        return data.promise
      })
    const callers = [ask(), ask()]
    await settle()
    data.resolve(undefined)
    expect([await Promise.all(callers), loads]).to.deep.equal([[undefined, undefined], 1])
    await ask()
    expect(loads).to.equal(2)
    expect(cache.stats().entries).to.equal(0)
    expect(cache.stats().notStored).to.deep.equal({ undefined: 2 })
  })

  it('lets a silent load keep its followers no longer than lockTtl', async () => {
    const clock = createFakeClock()
    const cache = createRegistryCache({ clock, lockTtl: 2 })
    const silent = deferred<string>()
    void cache.wrap('tools', {}, () => silent.promise)
    await clock.advanceAsync(0)
    let loads = 0
    const follower = cache.wrap('tools', {}, () => `second ${++loads}`)
    await clock.advanceAsync(1999)
    expect(loads).to.equal(0)
    await clock.advanceAsync(1)
    expect(await follower).to.equal('second 1')
    silent.resolve('first')
    await settle()
  })

  it('does not let a load that an invalidation overtook be joined, nor store what it gives', async () => {
    // Time stands still: nobody who joined would be let go.
    const cache = createRegistryCache({ clock: createFakeClock() })
    const old = deferred<string>()
    const before = cache.wrap('tools', {}, () => old.promise)
    await settle()
    await cache.invalidate('tools')
    expect(await cache.wrap('tools', {}, () => 'new')).to.equal('new')
    old.resolve('old')
    expect(await before).to.equal('old')
    expect(await cache.get('tools')).to.equal('new')
    expect(cache.stats().notStored).to.deep.equal({ invalidated: 1 })
  })

  it('counts one hit or one miss per call', async () => {
    const cache = createRegistryCache()
    for (let i = 0; i < 3; i++) await cache.wrap('tools', {}, () => 1)
    await cache.get('tools', { other: true })
    expect(cache.stats()).to.include({ hits: 2, misses: 2, stores: 1 })
  })
})
