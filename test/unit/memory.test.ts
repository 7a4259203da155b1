/* L1: bounds, fairness between types, expiry by the injected clock, and exact accounts. */
import { expect } from 'chai'
import fc from 'fast-check'
import { type Content, type Entry, makeEntry } from '../../lib/cache/entry.ts'
import { createRegistryCache } from '../../lib/index.ts'
import { Memory, type MemoryBounds } from '../../lib/tiers/memory.ts'
import { Memos } from '../../lib/tiers/memos.ts'
import { createFakeClock, type FakeClock } from '../helpers/fake-clock.ts'

const STAMPS = { tags: ['registry:tools'], epochs: [1] }
const LARGE: MemoryBounds = { maxBytes: 1e9, maxEntryBytes: 1e8, maxEntries: 1e6 }

function content(bytes: number, ttlMs = 20_000, more: Partial<Content> = {}): Content {
  return {
    kind: 'value',
    body: Buffer.alloc(bytes),
    status: 0,
    headers: [],
    removed: [],
    vary: [],
    shareable: false,
    ttlMs,
    staleWhileRevalidateMs: 0,
    staleIfErrorMs: 0,
    initialAgeMs: 0,
    ...more,
  }
}

describe('L1', () => {
  let clock: FakeClock
  let evicted: string[]
  beforeEach(() => {
    clock = createFakeClock()
    evicted = []
  })
  const make = (bounds: Partial<MemoryBounds> = {}): Memory =>
    new Memory({ ...LARGE, ...bounds }, clock, (type, hash) => evicted.push(`${type}:${hash}`))
  const entry = (bytes: number, ttlMs?: number): Entry => makeEntry(content(bytes, ttlMs), STAMPS, clock.monotonic())

  it('gives back the very entry, per type and hash', () => {
    const memory = make()
    const one = entry(1)
    const two = entry(2)
    expect([memory.set('tools', 'a', one), memory.set('prompts', 'a', two)]).to.deep.equal([true, true])
    expect([memory.get('tools', 'a'), memory.peek('prompts', 'a')]).to.deep.equal([one, two])
    expect(memory.get('tools', 'b')).to.equal(undefined)
    memory.delete('tools', 'a')
    expect([memory.get('tools', 'a'), memory.get('prompts', 'a')]).to.deep.equal([undefined, two])
  })

  it('ends an entry at the very instant of its end', () => {
    const memory = make()
    memory.set('tools', 'a', entry(1, 1000))
    clock.advance(999)
    expect(memory.get('tools', 'a')).not.to.equal(undefined)
    clock.advance(1)
    expect([memory.get('tools', 'a'), memory.peek('tools', 'a')]).to.deep.equal([undefined, undefined])
  })

  it('keeps an entry past its freshness while it may be served stale', () => {
    const memory = make()
    const stale = makeEntry(content(1, 1000, { staleIfErrorMs: 500 }), STAMPS, clock.monotonic())
    memory.set('tools', 'a', stale)
    clock.advance(1499)
    expect(memory.get('tools', 'a')).to.equal(stale)
    clock.advance(1)
    expect(memory.get('tools', 'a')).to.equal(undefined)
  })

  it('does not notice when the wall clock is set', () => {
    const memory = make()
    memory.set('tools', 'a', entry(1, 1000))
    clock.setNow(0)
    clock.advance(999)
    clock.setNow(Date.UTC(2040, 0))
    expect(memory.get('tools', 'a')).not.to.equal(undefined)
  })

  it('refuses a body over maxEntryBytes, and forgets the one that it would have replaced', () => {
    const memory = make({ maxEntryBytes: 100 })
    expect(memory.set('tools', 'a', entry(100))).to.equal(true)
    expect(memory.set('tools', 'a', entry(101))).to.equal(false)
    expect(memory.get('tools', 'a')).to.equal(undefined)
    expect([memory.entries, memory.bytes, evicted]).to.deep.equal([0, 0, []])
  })

  it('refuses an entry that is larger than all of it', () => {
    const memory = make({ maxBytes: 500, maxEntryBytes: 500 })
    expect(memory.set('tools', 'a', entry(100))).to.equal(false)
    expect(memory.entries).to.equal(0)
  })

  it('stays within its bytes and gives up the least recently used', () => {
    const size = entry(1000).bytes
    const memory = make({ maxBytes: 3 * size })
    for (const hash of ['a', 'b', 'c']) memory.set('tools', hash, entry(1000))
    memory.get('tools', 'a')
    memory.peek('tools', 'b')
    memory.set('tools', 'd', entry(1000))
    expect(evicted).to.deep.equal(['tools:b'])
    expect([memory.entries, memory.bytes]).to.deep.equal([3, 3 * size])
  })

  it('stays within its number of entries', () => {
    const memory = make({ maxEntries: 10 })
    for (let i = 0; i < 100; i++) memory.set('tools', `${i}`, entry(1))
    expect(memory.entries).to.equal(10)
    expect(evicted).to.deep.equal(Array.from({ length: 90 }, (_, i) => `tools:${i}`))
  })

  for (const [bound, bounds] of [
    ['bytes', { maxBytes: 100 * 1640 }],
    ['entries', { maxEntries: 100 }],
  ] as const) {
    it(`leaves other types alone when one floods it over its ${bound}`, () => {
      const memory = make(bounds)
      for (let i = 0; i < 10; i++) memory.set('prompts', `${i}`, entry(900))
      for (let i = 0; i < 1000; i++) memory.set('tools', `${i}`, entry(900))
      for (let i = 0; i < 10; i++) expect(memory.get('prompts', `${i}`), `prompt ${i}`).not.to.equal(undefined)
      expect(evicted.every((key) => key.startsWith('tools:'))).to.equal(true)
      expect(memory.get('tools', '999')).not.to.equal(undefined)
    })
  }

  it('leaves nothing of 20,000 entries of one second once they ended and one more was stored', () => {
    const memory = make()
    for (let i = 0; i < 20_000; i++) memory.set('tools', `${i}`, entry(10, 1000))
    expect(memory.entries).to.equal(20_000)
    clock.advance(1000)
    const last = entry(10)
    memory.set('prompts', 'one', last)
    expect([memory.entries, memory.bytes]).to.deep.equal([1, last.bytes])
    expect([...memory.usage().keys()]).to.deep.equal(['prompts'])
    expect(evicted).to.deep.equal([])
  })

  it('leaves nothing of 20,000 values of one second through the public API', async () => {
    const cache = createRegistryCache({ clock, memory: { maxEntries: 30_000 } })
    for (let i = 0; i < 20_000; i++) await cache.set('tools', i, { i }, { ttl: 1 })
    expect(cache.stats().entries).to.equal(20_000)
    clock.advance(1000)
    await cache.set('tools', 'last')
    expect(cache.stats()).to.include({ entries: 1, evictions: 0 })
  })

  it('looks for ended entries at most once a second of the clock', () => {
    const memory = make()
    memory.set('tools', 'a', entry(1, 100))
    clock.advance(1000)
    memory.set('tools', 'b', entry(1, 100))
    expect(memory.entries, 'swept after a second').to.equal(1)
    clock.advance(999)
    memory.set('tools', 'c', entry(1))
    expect(memory.entries, 'not swept within a second').to.equal(2)
    clock.advance(1)
    memory.set('tools', 'd', entry(1))
    expect(memory.entries, 'swept again').to.equal(2)
    expect([memory.get('tools', 'b'), memory.peek('tools', 'c') === undefined]).to.deep.equal([undefined, false])
  })

  it('lists what has not ended, and nothing else', () => {
    const memory = make()
    memory.set('tools', 'a', entry(1, 10))
    memory.set('tools', 'b', entry(1, 20))
    memory.set('prompts', 'c', entry(1, 20))
    clock.advance(10)
    expect([...memory.list()].map(([type, hash]) => `${type}:${hash}`).sort()).to.deep.equal(['prompts:c', 'tools:b'])
  })

  it('clears one type or all of them', () => {
    const memory = make()
    for (const type of ['tools', 'tools_v2', 'prompts']) memory.set(type, 'a', entry(1))
    memory.clear('tools')
    memory.clear('never.heard.of')
    expect([...memory.usage().keys()]).to.deep.equal(['tools_v2', 'prompts'])
    memory.clear()
    expect([memory.entries, memory.bytes]).to.deep.equal([0, 0])
  })

  it('counts the same entry once when it is stored again', () => {
    const memory = make()
    const one = entry(10)
    memory.set('tools', 'a', one)
    memory.set('tools', 'a', one)
    expect([memory.entries, memory.bytes]).to.deep.equal([1, one.bytes])
    memory.delete('tools', 'a')
    expect([memory.entries, memory.bytes]).to.deep.equal([0, 0])
  })

  it('counts memos against the bytes, and gives up entries for them', () => {
    const size = entry(1000).bytes
    const memory = make({ maxBytes: 16 * size })
    const memos = new Memos(memory, 16 * size)
    for (let i = 0; i < 16; i++) memory.set('tools', `${i}`, entry(1000))
    const memo = memos.make()
    memo.set('/tools?a=1', 'x'.repeat(32))
    expect(evicted).to.deep.equal(['tools:0'])
    expect(memory.bytes)
      .to.be.above(15 * size)
      .and.at.most(16 * size)
    for (let i = 0; i < 1000; i++) memo.set(`/tools?page=${i}`, 'x'.repeat(32))
    expect(memory.entries, 'memos take a sixteenth at most').to.equal(15)
    expect([memo.get('/tools?page=999'), memo.get('/tools?a=1')]).to.deep.equal(['x'.repeat(32), undefined])
  })

  it('counts a memo once however often it is set, and keeps the memos of two routes apart', () => {
    const memory = make()
    const memos = new Memos(memory, LARGE.maxBytes)
    const [one, two] = [memos.make(), memos.make()]
    one.set('/a', 'hash')
    const bytes = memory.bytes
    one.set('/a', 'hash')
    one.set('/a', 'other')
    expect(memory.bytes).to.equal(bytes)
    expect([one.get('/a'), two.get('/a')]).to.deep.equal(['other', undefined])
  })

  it('has exact accounts and keeps its bounds after any operations', () => {
    const seed = Math.trunc(Math.random() * 2 ** 31)
    const types = fc.constantFrom('tools', 'prompts', 'a.b')
    const hashes = fc.integer({ min: 0, max: 12 }).map(String)
    const operation = fc.oneof(
      { weight: 6, arbitrary: fc.tuple(fc.constant('set' as const), types, hashes, fc.integer({ min: 0, max: 1200 })) },
      { weight: 2, arbitrary: fc.tuple(fc.constant('get' as const), types, hashes, fc.constant(0)) },
      { weight: 2, arbitrary: fc.tuple(fc.constant('delete' as const), types, hashes, fc.constant(0)) },
      { weight: 1, arbitrary: fc.tuple(fc.constant('clear' as const), types, fc.constant(''), fc.constant(0)) },
      {
        weight: 2,
        arbitrary: fc.tuple(fc.constant('advance' as const), types, hashes, fc.integer({ min: 0, max: 900 })),
      },
    )
    const bounds = { maxBytes: 20_000, maxEntryBytes: 1000, maxEntries: 15 }
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 120 }), (operations) => {
        clock = createFakeClock()
        const memory = make(bounds)
        for (const [name, type, hash, number] of operations) {
          if (name === 'set') memory.set(type, hash, entry(number, 1 + number))
          else if (name === 'get') memory.get(type, hash)
          else if (name === 'delete') memory.delete(type, hash)
          else if (name === 'clear') memory.clear(type)
          else clock.advance(number)
          const usage = [...memory.usage().values()]
          expect(memory.entries).to.equal(usage.reduce((sum, { entries }) => sum + entries, 0))
          expect(memory.bytes).to.equal(usage.reduce((sum, { bytes }) => sum + bytes, 0))
          expect(memory.bytes).to.be.within(0, bounds.maxBytes)
          expect(memory.entries).to.be.within(0, bounds.maxEntries)
          const listed = [...memory.list()].reduce((sum, [, , { bytes }]) => sum + bytes, 0)
          expect(listed).to.be.at.most(memory.bytes)
        }
        memory.clear()
        expect([memory.entries, memory.bytes]).to.deep.equal([0, 0])
      }),
      { seed, numRuns: 200 },
    )
  })
})
