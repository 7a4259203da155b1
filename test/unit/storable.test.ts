/* The decisions of RFC 9111 (caching), 9110 (semantics) and 6839 (+json) as pure predicates, section by section. */
import { expect } from 'chai'
import fc from 'fast-check'
import {
  ageOf,
  allowsCredentials,
  forbidden,
  freshnessMs,
  isJsonType,
  isNotModified,
  mayBeServedStale,
  notReplayed,
  parseCacheControl,
  parseRequest,
  type ResponseHead,
  toSeconds,
  toTime,
  varyNames,
} from '../../lib/http/storable.ts'

const NOW_MS = Date.UTC(2026, 0, 1)
const head = (headers: Record<string, string | string[]> = {}): ResponseHead => ({
  status: 200,
  get: (name) => headers[name],
})
const parsed = (value: string | string[]): Record<string, string> => Object.fromEntries(parseCacheControl(value))
const fresh = (cacheControl: string | string[], headers: Record<string, string | string[]> = {}): number | undefined =>
  freshnessMs(parseCacheControl(cacheControl), head(headers), NOW_MS)

describe('Cache-Control (RFC 9111 section 5.2)', () => {
  const lines: [string | string[], Record<string, string>][] = [
    ['', {}],
    ['max-age=5', { 'max-age': '5' }],
    ['Max-Age=5, NO-STORE', { 'max-age': '5', 'no-store': '' }],
    ['  max-age = 5 ,,, private ', { 'max-age': '5', private: '' }],
    ['max-age="5"', { 'max-age': '5' }],
    ['private="set-cookie, x-user", max-age=5', { private: 'set-cookie, x-user', 'max-age': '5' }],
    ['ext="no-store, private"', { ext: 'no-store, private' }],
    ['ext="a\\"b, no-store", public', { ext: 'a"b, no-store', public: '' }],
    [['max-age=5', 'no-cache'], { 'max-age': '5', 'no-cache': '' }],
    ['max-age=5, max-age=3', { 'max-age': '3' }],
    ['max-age=3, max-age=5', { 'max-age': '3' }],
    ['max-age=3, max-age=oops', { 'max-age': 'oops' }],
    ['max-age', { 'max-age': '' }],
  ]
  for (const [line, directives] of lines) {
    it(`reads ${JSON.stringify(line)}`, () => {
      expect(parsed(line)).to.deep.equal(directives)
    })
  }

  it('sees a prohibition behind garbage', () => {
    for (const line of ['=, no-store', '"", no-store', 'a=b=c, no-store', ';;, no-store', 'max-age=", no-store']) {
      expect(forbidden(parseCacheControl(line)), line).to.equal('no-store')
    }
  })

  it('reads any text without throwing, in time that grows with its length', () => {
    const seed = Math.trunc(Math.random() * 2 ** 31)
    const hostile = fc.array(fc.constantFrom('a', '=', '"', '\\', ',', ' ', ';', 'max-age', '0', '\t'), {
      maxLength: 60,
    })
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          hostile.map((parts) => parts.join('')),
        ),
        (text) => {
          parseCacheControl(text)
        },
      ),
      { seed, numRuns: 500 },
    )
    for (const part of ['a="', 'a="\\', 'a =', '"', 'a ', '\\"', 'a="\\",']) {
      const startedAt = performance.now()
      parseCacheControl(part.repeat(20_000))
      expect(performance.now() - startedAt, part).to.be.below(2000)
    }
  })
})

describe('delta-seconds (RFC 9111 section 1.2.2)', () => {
  it('are non-negative integers, at most 2^31', () => {
    expect(['0', '5', '007'].map(toSeconds)).to.deep.equal([0, 5, 7])
    expect(toSeconds('99999999999999999999')).to.equal(2 ** 31)
    for (const bad of [undefined, '', '-1', '1.5', '1e3', ' 5', '5s', '٥']) expect(toSeconds(bad)).to.equal(undefined)
  })
})

describe('HTTP dates (RFC 9110 section 5.6.7)', () => {
  it('have three forms', () => {
    const time = Date.UTC(1994, 10, 6, 8, 49, 37)
    for (const text of [
      'Sun, 06 Nov 1994 08:49:37 GMT',
      'Sunday, 06-Nov-94 08:49:37 GMT',
      'Sun Nov  6 08:49:37 1994',
    ]) {
      expect(toTime(text), text).to.equal(time)
    }
  })

  it('have no other form, though Date.parse would take it', () => {
    const others = ['0', '-1', '2099-01-01', 'March 5 2099', 'Sun, 06 Nov 2094', 'Sun, 06 Nov 2094 08:49:37 +0100', '']
    for (const text of [...others, 'Sun, 31 Foo 2094 08:49:37 GMT']) expect(toTime(text), text).to.equal(undefined)
    expect(toTime(['Sun, 06 Nov 1994 08:49:37 GMT'])).to.equal(undefined)
  })
})

describe('freshness (RFC 9111 section 4.2.1)', () => {
  it('is that of s-maxage before max-age before Expires', () => {
    const expires = { expires: 'Thu, 01 Jan 2026 00:00:09 GMT' }
    expect(fresh('s-maxage=1, max-age=5', expires)).to.equal(1000)
    expect(fresh('max-age=5', expires)).to.equal(5000)
    expect(fresh('', expires)).to.equal(9000)
    expect(fresh('public')).to.equal(undefined)
  })

  it('counts Expires from Date, and from now without one', () => {
    const expires = 'Thu, 01 Jan 2026 00:01:00 GMT'
    expect(fresh('', { expires, date: 'Thu, 01 Jan 2026 00:00:50 GMT' })).to.equal(10_000)
    expect(fresh('', { expires, date: 'nonsense' })).to.equal(60_000)
  })

  it('is 0 where the value can not be used', () => {
    for (const line of ['max-age=-5', 'max-age=1.5', 'max-age', 'max-age=a', 'max-age="', 's-maxage=x, max-age=5']) {
      expect(fresh(line), line).to.equal(0)
    }
    for (const expires of ['0', '-1', 'tomorrow', 'Wed, 31 Dec 2025 23:59:59 GMT', 'March 5 2099']) {
      expect(fresh('', { expires }), expires).to.equal(0)
    }
    expect(fresh('', { expires: ['Thu, 01 Jan 2026 00:01:00 GMT', '0'] })).to.equal(0)
  })
})

describe('Age (RFC 9111 section 5.1)', () => {
  it('is what the response says, and 0 where that can not be used', () => {
    expect(
      [{ age: '5' }, { age: ' 5 ' }, {}, { age: 'old' }, { age: '-1' }].map((headers) => ageOf(head(headers))),
    ).to.deep.equal([5000, 5000, 0, 0, 0])
  })
})

describe('storing (RFC 9111 section 3)', () => {
  it('is forbidden by no-store, private and no-cache, in any case, with or without an argument', () => {
    for (const [line, reason] of [
      ['No-Store', 'no-store'],
      ['max-age=5, PRIVATE', 'private'],
      ['private="x"', 'private'],
      ['no-cache="set-cookie"', 'no-cache'],
      ['public, max-age=5', undefined],
      ['x-no-store, no-stores', undefined],
    ]) {
      expect(forbidden(parseCacheControl(line)), line).to.equal(reason)
    }
  })

  it('of answers to requests with Authorization takes public, s-maxage or must-revalidate (section 3.5)', () => {
    for (const line of ['public', 's-maxage=5', 'must-revalidate']) {
      expect(allowsCredentials(parseCacheControl(line)), line).to.equal(true)
    }
    for (const line of ['', 'max-age=5', 'proxy-revalidate', 'ext="public"']) {
      expect(allowsCredentials(parseCacheControl(line)), line).to.equal(false)
    }
  })
})

describe('serving stale (RFC 9111 section 4.2.4)', () => {
  it('is forbidden by must-revalidate, proxy-revalidate, no-cache and s-maxage', () => {
    for (const line of ['must-revalidate', 'Proxy-Revalidate', 'no-cache', 's-maxage=5']) {
      expect(mayBeServedStale(parseCacheControl(line)), line).to.equal(false)
    }
    expect(mayBeServedStale(parseCacheControl('public, max-age=5'))).to.equal(true)
  })
})

describe('Vary (RFC 9111 section 4.1)', () => {
  it('is a list of names in any case; with * anywhere it is *', () => {
    expect(varyNames(undefined)).to.deep.equal([])
    expect(varyNames('Accept, ,X-Team ')).to.deep.equal(['accept', 'x-team'])
    expect(varyNames(['Accept', 'Origin, X'])).to.deep.equal(['accept', 'origin', 'x'])
    for (const value of ['*', 'Accept, *', ['Accept', ' * ']]) expect(varyNames(value)).to.equal('*')
  })
})

describe('headers that are not replayed (RFC 9110 section 7.6.1)', () => {
  it('are those of one connection, those that Connection names, and what is made anew', () => {
    const isDropped = notReplayed(head({ connection: 'close, X-Hop' }))
    for (const name of ['connection', 'transfer-encoding', 'set-cookie', 'x-hop', 'content-length', 'age', 'upgrade']) {
      expect(isDropped(name), name).to.equal(true)
    }
    for (const name of ['etag', 'content-type', 'x-total', 'date', 'cache-control', 'link']) {
      expect(isDropped(name), name).to.equal(false)
    }
  })
})

describe('JSON (RFC 6839 section 3.1)', () => {
  it('is application/json, or a type with the suffix +json', () => {
    for (const type of ['application/json', 'Application/JSON; charset=utf-8', 'application/problem+json;x=y']) {
      expect(isJsonType(type), type).to.equal(true)
    }
    const others = ['text/html', 'application/jsonp', 'application/json5', 'text/json', 'application/x; y=+json', '']
    for (const type of [...others, undefined, 5, ['application/json']]) expect(isJsonType(type)).to.equal(false)
  })
})

describe('conditional requests (RFC 9110 section 13.2.2)', () => {
  const etag = 'W/"a,b"'
  const modifiedAt = Date.UTC(2026, 0, 1)

  it('compare If-None-Match weakly, in lists, and * with anything', () => {
    for (const value of ['"a,b"', 'W/"a,b"', '"x", W/"a,b"', '"x","a,b" , "y"', '*', ' * ']) {
      expect(isNotModified(value, undefined, etag, undefined), value).to.equal(true)
    }
    for (const value of ['"a"', '"b"', '"x", "y"', 'a,b', '', '"a,b', '"A,B"', 'w/"a,b"x']) {
      expect(isNotModified(value, undefined, etag, undefined), value).to.equal(false)
    }
    expect(isNotModified('"x"', undefined, undefined, undefined)).to.equal(false)
  })

  it('prefer If-None-Match to If-Modified-Since', () => {
    expect(isNotModified('"other"', 'Fri, 02 Jan 2026 00:00:00 GMT', etag, modifiedAt)).to.equal(false)
  })

  it('compare dates by the second, and ignore what is none', () => {
    expect(isNotModified(undefined, 'Thu, 01 Jan 2026 00:00:00 GMT', etag, modifiedAt)).to.equal(true)
    expect(isNotModified(undefined, 'Wed, 31 Dec 2025 23:59:59 GMT', etag, modifiedAt)).to.equal(false)
    expect(isNotModified(undefined, '2027', etag, modifiedAt)).to.equal(false)
    expect(isNotModified(undefined, 'Thu, 01 Jan 2026 00:00:00 GMT', etag, undefined)).to.equal(false)
    expect(isNotModified(undefined, undefined, etag, modifiedAt)).to.equal(false)
  })
})

describe('request directives (RFC 9111 section 5.2.1)', () => {
  it('are read', () => {
    expect(parseRequest('no-cache, No-Store, only-if-cached, max-age=5, min-fresh=3', undefined)).to.deep.equal({
      noCache: true,
      noStore: true,
      onlyIfCached: true,
      maxAgeMs: 5000,
      minFreshMs: 3000,
    })
    expect(parseRequest(undefined, undefined).maxAgeMs).to.equal(undefined)
    expect(parseRequest('max-age=x', undefined).maxAgeMs).to.equal(0)
  })

  it('heed Pragma only where there is no Cache-Control (section 5.4)', () => {
    expect(parseRequest(undefined, 'no-cache').noCache).to.equal(true)
    expect(parseRequest('max-age=5', 'no-cache').noCache).to.equal(false)
  })
})
