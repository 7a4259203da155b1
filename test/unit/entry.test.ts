/* The envelope in L2: what goes in comes out, and what somebody damaged is refused, never thrown nor half believed. */
import { expect } from 'chai'
import fc from 'fast-check'
import {
  ageMs,
  type Content,
  decodeEntry,
  encodeEntry,
  lifetimeMs,
  makeEntry,
  type Stamps,
} from '../../lib/cache/entry.ts'

const STAMPS: Stamps = { tags: ['registry:tools', 'registry:', 'tool_lookup:ä b:c'], epochs: [1.7e15, 5, 0] }
const RESPONSE: Content = {
  kind: 'response',
  body: Buffer.from('{"a":"ä€😀"}'),
  status: 200,
  headers: [
    ['Content-Type', 'application/json; charset=utf-8'],
    ['Link', ['<a>', '<b>']],
    ['X-Latin', 'caf\u00e9'],
  ],
  removed: ['x-powered-by'],
  vary: ['accept-language'],
  shareable: true,
  ttlMs: 20_000,
  staleWhileRevalidateMs: 5000,
  staleIfErrorMs: 60_000,
  initialAgeMs: 3000,
}

const name = fc.stringMatching(/^[A-Za-z][A-Za-z0-9-]{0,10}$/)
const headerText = fc.stringMatching(/^[\x20-\x7e\xa0-\xff]{0,20}$/)
const tag = fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme' })
const ms = fc.integer({ min: 0, max: 1e9 })
const contents: fc.Arbitrary<Content> = fc.record({
  kind: fc.constantFrom('response', 'value', 'vary'),
  body: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  status: fc.integer({ min: 200, max: 599 }),
  headers: fc.array(fc.tuple(name, fc.oneof(headerText, fc.array(headerText, { maxLength: 3 }))), { maxLength: 4 }),
  removed: fc.array(name, { maxLength: 2 }),
  vary: fc.array(name, { maxLength: 2 }),
  shareable: fc.boolean(),
  ttlMs: ms,
  staleWhileRevalidateMs: ms,
  staleIfErrorMs: ms,
  initialAgeMs: ms,
})
const stamps: fc.Arbitrary<Stamps> = fc
  .array(fc.tuple(tag, fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })), { minLength: 1, maxLength: 4 })
  .map((pairs) => ({ tags: pairs.map(([one]) => one), epochs: pairs.map(([, epoch]) => epoch) }))

/** Everything that the rest of the code relies on without looking. */
function expectWellFormed({ content, stamps }: { content: Content; stamps: Stamps }): void {
  expect(['response', 'value', 'vary']).to.include(content.kind)
  expect(stamps.tags).to.have.length(stamps.epochs.length).and.not.to.have.length(0)
  for (const text of [...stamps.tags, ...content.removed, ...content.vary]) expect(text).to.be.a('string')
  if (content.kind === 'response') expect(content.status).to.be.within(200, 599).and.satisfy(Number.isInteger)
  for (const [header, value] of content.headers) {
    expect(header).to.match(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/)
    for (const line of [value].flat()) expect(line).to.match(/^[\t\x20-\x7e\x80-\xff]*$/)
  }
  const { ttlMs, staleWhileRevalidateMs, staleIfErrorMs, initialAgeMs } = content
  for (const number of [ttlMs, staleWhileRevalidateMs, staleIfErrorMs, initialAgeMs, ...stamps.epochs]) {
    expect(number).to.be.at.least(0).and.satisfy(Number.isFinite)
  }
  expect(Buffer.isBuffer(content.body)).to.equal(true)
}

describe('the envelope of an entry', () => {
  it('gives back what was put in, as a copy of the bytes', () => {
    const envelope = Buffer.concat(encodeEntry(RESPONSE, STAMPS))
    const decoded = decodeEntry(envelope)
    expect(decoded).to.deep.equal({ content: RESPONSE, stamps: STAMPS })
    envelope.fill(0)
    expect(decoded?.content.body.toString()).to.equal('{"a":"ä€😀"}')
  })

  it('gives back any entry', () => {
    const seed = Math.trunc(Math.random() * 2 ** 31)
    fc.assert(
      fc.property(contents, stamps, (content, stamps) => {
        expect(decodeEntry(Buffer.concat(encodeEntry(content, stamps)))).to.deep.equal({ content, stamps })
      }),
      { seed, numRuns: 300 },
    )
  })

  it('is refused when it was cut short or has something appended', () => {
    const envelope = Buffer.concat(encodeEntry(RESPONSE, STAMPS))
    for (let length = 0; length < envelope.byteLength; length++) {
      expect(decodeEntry(envelope.subarray(0, length)), `${length} bytes`).to.equal(undefined)
    }
    expect(decodeEntry(Buffer.concat([envelope, Buffer.from('x')]))).to.equal(undefined)
  })

  it('is refused when it is of another version or another writer', () => {
    const envelope = Buffer.concat(encodeEntry(RESPONSE, STAMPS))
    envelope.write('ERC2')
    for (const foreign of [envelope, Buffer.from('[{"id":1}]'), Buffer.from('ERC1'), Buffer.from([0x80, 4, 0x95])]) {
      expect(decodeEntry(foreign)).to.equal(undefined)
    }
  })

  it('is refused when its head says what no entry has', () => {
    const head = ['response', ['registry:'], [1], 200, [], [], [], false, 1, 1, 1, 0, 0]
    const envelopeOf = (...changes: [at: number, value: unknown][]): Buffer => {
      const changed: unknown[] = [...head]
      for (const [at, value] of changes) changed[at] = value
      // 1e999 is what JSON has for infinity.
      const json = Buffer.from(JSON.stringify(changed).replaceAll('"∞"', '1e999'))
      const length = Buffer.alloc(4)
      length.writeUInt32BE(json.byteLength)
      return Buffer.concat([Buffer.from('ERC1'), length, json])
    }
    expect(decodeEntry(envelopeOf())).not.to.equal(undefined)
    const bad: [number, unknown][] = [
      [0, 'page'],
      [1, []],
      [1, ['a', 'b']],
      [1, [5]],
      [2, ['1']],
      [2, [-1]],
      [2, ['∞']],
      [3, 199],
      [3, 600],
      [3, 200.5],
      [4, [['a b', 'c']]],
      [4, [['a', 'b\r\nX: y']]],
      [4, [['a', '€']]],
      [4, [['a', 5]]],
      [4, [['a']]],
      [4, {}],
      [5, 'x'],
      [6, [null]],
      [7, 1],
      [8, -1],
      [8, '∞'],
      [9, null],
      [10, '5'],
      [11, '∞'],
      [12, 1],
      [13, 'one too many'],
    ]
    for (const change of bad) expect(decodeEntry(envelopeOf(change)), JSON.stringify(change)).to.equal(undefined)
  })

  it('never throws when bytes were changed, and gives no malformed entry', () => {
    const seed = Math.trunc(Math.random() * 2 ** 31)
    const change = fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }))
    const changes = fc.array(change, { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(contents, stamps, changes, (content, stamps, changes) => {
        const envelope = Buffer.concat(encodeEntry(content, stamps))
        for (const [at, byte] of changes) envelope[at % envelope.byteLength] = byte
        const decoded = decodeEntry(envelope)
        if (decoded) expectWellFormed(decoded)
      }),
      { seed, numRuns: 2000 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        const decoded = decodeEntry(Buffer.concat([Buffer.from('ERC1'), bytes]))
        if (decoded) expectWellFormed(decoded)
      }),
      { seed, numRuns: 1000 },
    )
  })
})

describe('an entry', () => {
  it('has the whole of its life when it is made', () => {
    const entry = makeEntry(RESPONSE, STAMPS, 1000)
    expect(lifetimeMs(RESPONSE)).to.equal(80_000)
    expect(entry).to.include({ storedAtMs: 1000, staleAtMs: 21_000, deleteAtMs: 81_000 })
    expect([ageMs(entry, 1000), ageMs(entry, 2500)]).to.deep.equal([3000, 4500])
  })

  it('has what is left of its life when it comes from the shared tier', () => {
    const entry = makeEntry(RESPONSE, STAMPS, 1000, 70_000)
    expect(entry).to.include({ storedAtMs: -9000, staleAtMs: 11_000, deleteAtMs: 71_000 })
    expect(ageMs(entry, 1000)).to.equal(13_000)
  })

  it('counts its body, headers, tags and names against the memory', () => {
    const bytes = (content: Partial<Content>, stamps = STAMPS): number =>
      makeEntry({ ...RESPONSE, ...content }, stamps, 0).bytes
    const all = bytes({})
    expect(bytes({ body: Buffer.alloc(1000) })).to.equal(all - RESPONSE.body.byteLength + 1000)
    expect(bytes({ headers: [] })).to.be.below(all - 60)
    expect(bytes({ vary: [] })).to.be.below(all)
    expect(bytes({}, { tags: ['registry:'], epochs: [1] })).to.be.below(all - 40)
  })
})
