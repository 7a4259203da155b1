/* Small parts by themselves: names, messages, the breaker, flights, marks. Time is a fake clock's. */
import { expect } from 'chai'
import fc from 'fast-check'
import type { Entry, makeEntry } from '../../lib/cache/entry.ts'
import { areSame, Flights, type Landing } from '../../lib/cache/flights.ts'
import { Marks } from '../../lib/cache/marks.ts'
import { isTag, isType } from '../../lib/cache/names.ts'
import { Breaker } from '../../lib/tiers/breaker.ts'
import { encodeCause, Pairing, parseEpochMessage } from '../../lib/tiers/messages.ts'
import { createFakeClock, type FakeClock, settle } from '../helpers/fake-clock.ts'

const seed = Math.trunc(Math.random() * 2 ** 31)

describe('names', () => {
  it('of types are 1 to 64 of A-Z a-z 0-9 _ . -', () => {
    for (const type of ['a', 'tools_v2', 'A.b-9', 'x'.repeat(64)]) expect(isType(type), type).to.equal(true)
    const bad = ['', 'x'.repeat(65), 'a b', 'a:b', 'a*', 'ä', 'a\n', 'a@b', undefined, null, 5, ['a']]
    for (const type of bad) expect(isType(type), String(type)).to.equal(false)
  })

  it('of tags are 1 to 512 bytes without control characters and :@', () => {
    for (const tag of ['a', ':', 'registry:', 'tool_lookup:a b:c', '@', 'a@b', 'ä'.repeat(256), '😀']) {
      expect(isTag(tag), tag).to.equal(true)
    }
    const bad = ['', 'x'.repeat(513), 'ä'.repeat(257), 'a:@epoch', ':@', 'a\u0000', 'a\tb', 'a\n', '\u007f', '\ud83d']
    for (const tag of [...bad, undefined, null, 5]) expect(isTag(tag), JSON.stringify(tag)).to.equal(false)
  })

  it('of tags are never the form of an epoch message', () => {
    expect(isTag('epoch 5 0123abcd x')).to.equal(false)
    expect(isTag('epoch five')).to.equal(true)
  })
})

describe('epoch messages', () => {
  it('carry epoch, space, worker, cause and a tag that may hold blanks', () => {
    expect(parseEpochMessage('epoch 1700000000000001 0123abcd w1 POST:/a%20b tool_lookup:a b:c')).to.deep.equal({
      epoch: 1_700_000_000_000_001,
      space: '0123abcd',
      worker: 'w1',
      cause: 'POST:/a b',
      tag: 'tool_lookup:a b:c',
    })
  })

  it('are nothing else', () => {
    const bad = [
      '',
      'registry:tools',
      'epoch',
      'epoch x 0123abcd w c t',
      'epoch 1 0123ABCD w c t',
      'epoch 1 0123abcd w c',
    ]
    bad.push(
      'epoch -1 0123abcd w c t',
      'epoch 12345678901234567 0123abcd w c t',
      'epoch 9999999999999999 0123abcd w c t',
    )
    for (const message of bad) expect(parseEpochMessage(message), message).to.equal(undefined)
  })

  it('bring any cause and any tag through, on one line without blanks in the cause', () => {
    const tags = fc.string({ minLength: 1, maxLength: 40, unit: 'grapheme' }).filter(isTag)
    fc.assert(
      fc.property(fc.string({ minLength: 1, maxLength: 60, unit: 'grapheme' }), tags, (cause, tag) => {
        const encoded = encodeCause(cause)
        expect(encoded).to.match(/^[\x21-\x7e]+$/)
        const told = parseEpochMessage(`epoch 5 0123abcd w ${encoded} ${tag}`)
        expect([told?.cause, told?.tag]).to.deep.equal([cause, tag])
      }),
      { seed, numRuns: 300 },
    )
  })

  it('have a cause even where none was given, and a bounded one', () => {
    expect(encodeCause('')).to.equal('api')
    expect(encodeCause('x'.repeat(1000))).to.have.length(200)
    expect(parseEpochMessage('epoch 5 0123abcd w %zz t')?.cause).to.equal('%zz')
  })
})

describe('the pairing of messages', () => {
  it('takes the bare message after an epoch message for ours, once', () => {
    const pairing = new Pairing()
    expect(pairing.bareMessage('a:b', 0)).to.equal(false)
    pairing.epochMessage('a:b', 0)
    expect(pairing.bareMessage('a:c', 1)).to.equal(false)
    expect([pairing.bareMessage('a:b', 2), pairing.bareMessage('a:b', 3)]).to.deep.equal([true, false])
  })

  it('never counts above 1', () => {
    const pairing = new Pairing()
    for (let i = 0; i < 5; i++) pairing.epochMessage('a:b', i)
    expect([pairing.bareMessage('a:b', 6), pairing.bareMessage('a:b', 7)]).to.deep.equal([true, false])
  })

  it('forgets after a second, and on reconnect', () => {
    const pairing = new Pairing()
    pairing.epochMessage('a:b', 0)
    expect(pairing.bareMessage('a:b', 1000)).to.equal(false)
    pairing.epochMessage('a:b', 2000)
    pairing.reset()
    expect(pairing.bareMessage('a:b', 2001)).to.equal(false)
  })

  it('is bounded, and forgets the oldest first', () => {
    const pairing = new Pairing()
    for (let i = 0; i <= 1000; i++) pairing.epochMessage(`a:${i}`, 0)
    expect([pairing.bareMessage('a:0', 1), pairing.bareMessage('a:1', 1)]).to.deep.equal([false, true])
  })
})

describe('the breaker', () => {
  let clock: FakeClock
  let answers: boolean[]
  let probes: number
  let changes: string[]
  let breaker: Breaker
  beforeEach(() => {
    clock = createFakeClock()
    answers = []
    probes = 0
    changes = []
    breaker = new Breaker({
      failures: 3,
      probeEveryMs: 1000,
      clock,
      probe: async () => {
        probes++
        return answers.shift() ?? false
      },
      onChange: (isOpen, reason) => changes.push(`${isOpen ? 'open' : 'closed'}: ${reason}`),
    })
  })
  afterEach(() => breaker.stop())

  it('opens at the third failure in a row, and says so once', () => {
    breaker.failure('a')
    breaker.failure('b')
    expect(breaker.isOpen).to.equal(false)
    breaker.failure('c')
    breaker.failure('d')
    breaker.open('e')
    expect([breaker.isOpen, changes]).to.deep.equal([true, ['open: c']])
  })

  it('counts failures in a row only', () => {
    for (let i = 0; i < 5; i++) {
      breaker.failure('a')
      breaker.failure('b')
      breaker.success()
    }
    expect(breaker.isOpen).to.equal(false)
  })

  it('probes once a second until it gets an answer, then counts from nothing', async () => {
    answers = [false, false, true]
    breaker.open('gone')
    await clock.advanceAsync(999)
    expect(probes).to.equal(0)
    await clock.advanceAsync(2001)
    expect([probes, breaker.isOpen, changes]).to.deep.equal([3, false, ['open: gone', 'closed: answers']])
    breaker.failure('a')
    breaker.failure('b')
    expect([breaker.isOpen, clock.pending]).to.deep.equal([false, 0])
  })

  it('probes at once when told that the connection is back, and again when told while it probes', async () => {
    answers = [false, true]
    breaker.open('gone')
    breaker.probeNow()
    breaker.probeNow()
    breaker.probeNow()
    await settle()
    expect([probes, breaker.isOpen, clock.monotonic()]).to.deep.equal([2, false, 0])
  })

  it('never probes while it is closed, nor after it was stopped', async () => {
    breaker.probeNow()
    breaker.open('gone')
    breaker.stop()
    breaker.probeNow()
    await clock.advanceAsync(5000)
    expect([probes, clock.pending]).to.deep.equal([0, 0])
  })

  it('goes on where it was stopped', async () => {
    answers = [true]
    breaker.open('gone')
    breaker.stop()
    breaker.start()
    await settle()
    expect([probes, breaker.isOpen]).to.deep.equal([1, false])
  })
})

describe('flights', () => {
  const stamps = (...epochs: number[]): { tags: string[]; epochs: number[] } => ({
    tags: epochs.map((_epoch, i) => `t:${i}`),
    epochs,
  })
  const entry = (): Entry => ({}) as unknown as ReturnType<typeof makeEntry>
  let clock: FakeClock
  let flights: Flights
  beforeEach(() => {
    clock = createFakeClock()
    flights = new Flights(clock, 5000)
  })

  it('are found under their key and exactly their stamps', () => {
    const flight = flights.lead('a', stamps(1, 2))
    expect(flights.find('a', stamps(1, 2))).to.equal(flight)
    for (const other of [stamps(1, 3), stamps(1), stamps(1, 2, 3), { tags: ['t:1', 't:0'], epochs: [1, 2] }]) {
      expect(flights.find('a', other)).to.equal(undefined)
    }
    expect(flights.find('b', stamps(1, 2))).to.equal(undefined)
  })

  it('end for all who wait, and for nobody afterwards', async () => {
    const flight = flights.lead('a', stamps(1))
    const landing: Landing = { kind: 'answered', entry: entry(), variant: undefined }
    const followers = [flight.landed, flight.landed]
    flight.land(landing)
    flight.land({ kind: 'abandoned' })
    expect(await Promise.all(followers)).to.deep.equal([landing, landing])
    expect([flights.find('a', stamps(1)), flights.size, flight.isOpen]).to.deep.equal([undefined, 0, false])
  })

  it('leave a newer flight of their key alone when they end', async () => {
    const older = flights.lead('a', stamps(1))
    const newer = flights.lead('a', stamps(2))
    expect(flights.find('a', stamps(1)), 'nobody joins the older one').to.equal(undefined)
    older.land({ kind: 'failed' })
    expect(flights.find('a', stamps(2))).to.equal(newer)
    expect([newer.isOpen, flights.size, (await older.landed).kind]).to.deep.equal([true, 1, 'failed'])
    newer.land({ kind: 'abandoned' })
    expect([flights.size, (await newer.landed).kind]).to.deep.equal([0, 'abandoned'])
  })

  it('are overdue when the handler is silent, counted from its start', async () => {
    const flight = flights.lead('a', stamps(1))
    await clock.advanceAsync(60_000)
    expect(flight.isOpen, 'before the handler started').to.equal(true)
    flights.handlerStarted(flight)
    await clock.advanceAsync(2000)
    const landing = flights.follow(flight)
    await clock.advanceAsync(2999)
    expect(flight.isOpen).to.equal(true)
    await clock.advanceAsync(1)
    expect([(await landing).kind, flights.size]).to.deep.equal(['overdue', 0])
  })

  it('are overdue for those who wait since before the handler started', async () => {
    const flight = flights.lead('a', stamps(1))
    const landing = flights.follow(flight)
    flights.handlerStarted(flight)
    await clock.advanceAsync(5000)
    expect((await landing).kind).to.equal('overdue')
  })

  it('are joined by nobody once they are overdue, and keep no timer while nobody waits', async () => {
    const flight = flights.lead('a', stamps(1))
    flights.handlerStarted(flight)
    expect(clock.pending).to.equal(0)
    await clock.advanceAsync(4999)
    expect(flights.find('a', stamps(1))).to.equal(flight)
    await clock.advanceAsync(1)
    expect([flights.find('a', stamps(1)), (await flight.landed).kind]).to.deep.equal([undefined, 'overdue'])
  })

  it('leave no timer behind', async () => {
    const flight = flights.lead('a', stamps(1))
    flights.handlerStarted(flight)
    void flights.follow(flight)
    flight.land({ kind: 'empty' })
    flights.handlerStarted(flight)
    await settle()
    expect(clock.pending).to.equal(0)
  })

  it('compare stamps pair by pair', () => {
    expect([areSame(stamps(1, 2), stamps(1, 2)), areSame(stamps(), stamps())]).to.deep.equal([true, true])
    expect([areSame(stamps(1), stamps(2)), areSame(stamps(1), stamps(1, 2))]).to.deep.equal([false, false])
  })
})

describe('marks of keys that can not be shared', () => {
  it('are forgotten after five seconds, when deleted, and when there are too many', () => {
    const clock = createFakeClock()
    const marks = new Marks(clock)
    marks.set('a')
    marks.set('b')
    marks.delete('b')
    clock.advance(4999)
    expect([marks.has('a'), marks.has('b'), marks.has('c')]).to.deep.equal([true, false, false])
    clock.advance(1)
    expect(marks.has('a')).to.equal(false)
    for (let i = 0; i <= 2000; i++) marks.set(`${i}`)
    expect([marks.has('0'), marks.has('2000')]).to.deep.equal([false, true])
  })
})
