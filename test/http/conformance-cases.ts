/*
 * The table of test/http/conformance.test.ts: what RFC 9110, 9111 and 9211 expect of a shared cache, by section. After the ideas of
 * the cache-tests suite.
 */
import { expect } from 'chai'
import type { CacheMiddlewareOptions } from '../../lib/index.ts'
import type { Answer, RequestOptions } from '../helpers/http.ts'

type Lines = Record<string, string | string[]>

interface Step extends RequestOptions {
  /** What the handler answers, if it is asked. */
  readonly answer?: Lines
  readonly status?: number
  /** Seconds that pass before it. */
  readonly after?: number
  readonly expect?: 'cached' | 'handler'
  readonly gives?: (answer: Answer) => void
}

export interface Case {
  readonly section: string
  readonly name: string
  readonly steps: readonly Step[]
  readonly options?: Partial<CacheMiddlewareOptions>
}

export const NOW = Date.UTC(2026, 0, 1)
const at = (seconds: number): string => new Date(NOW + seconds * 1000).toUTCString()

/** A first answer with these headers is, or is not, used for a second request. */
function reuse(
  section: string,
  cached: boolean,
  answer: Lines,
  more: Partial<Case> & { readonly status?: number } = {},
): Case {
  const words = Object.entries(answer).map(([name, value]) => `${name}: ${JSON.stringify(value).slice(1, -1)}`)
  const { status, ...rest } = more
  const first: Step = { answer, ...(status === undefined ? {} : { status }) }
  return {
    section,
    name: `${cached ? 'uses' : 'does not use'} again ${[status ?? '', ...words].join(' ').trim() || 'an answer that says nothing'}`,
    steps: [first, { expect: cached ? 'cached' : 'handler' }],
    ...rest,
  }
}

const statuses = [200, 203, 204, 299, 301, 302, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599]

export const cases: readonly Case[] = [
  // --- 9111 4.2: freshness ---
  reuse('RFC 9111 4.2.1', true, { 'Cache-Control': 'max-age=3600' }),
  reuse('RFC 9111 4.2.1', false, { 'Cache-Control': 'max-age=0' }),
  reuse('RFC 9111 4.2.1', true, { 'Cache-Control': 's-maxage=3600, max-age=0' }),
  reuse('RFC 9111 4.2.1', false, { 'Cache-Control': 's-maxage=0, max-age=3600' }),
  reuse('RFC 9111 4.2.1', true, { 'Cache-Control': 'max-age=3600', Expires: at(-10), Date: at(0) }),
  reuse('RFC 9111 4.2.1', false, { 'Cache-Control': 'max-age=0', Expires: at(3600), Date: at(0) }),
  reuse('RFC 9111 4.2.1', false, { 'Cache-Control': ['max-age=3600', 'max-age=0'] }),
  reuse('RFC 9111 4.2.1', false, { 'Cache-Control': 'max-age=0, max-age=3600' }),
  reuse('RFC 9111 4.2.1', true, { 'Cache-Control': 'max-age=3600, max-age=3600' }),
  reuse('RFC 9111 5.3', true, { Expires: at(3600), Date: at(0) }),
  reuse('RFC 9111 5.3', false, { Expires: at(0), Date: at(0) }),
  reuse('RFC 9111 5.3', false, { Expires: at(-3600), Date: at(0) }),
  reuse('RFC 9111 5.3', true, { Expires: at(-3500), Date: at(-7200) }),
  reuse('RFC 9111 5.3', false, { Expires: '0' }),
  reuse('RFC 9111 5.3', false, { Expires: '-1' }),
  reuse('RFC 9111 5.3', false, { Expires: 'Thu, 18 Aug 2050 02:01' }),
  reuse('RFC 9111 5.3', false, { Expires: '2050-01-01T00:00:00Z' }),
  reuse('RFC 9111 5.3', true, { Expires: 'Friday, 01-Jan-49 00:00:00 GMT' }),
  reuse('RFC 9111 5.3', true, { Expires: 'Fri Jan  1 00:00:00 2049' }),
  // --- 9111 1.2.2, 5.2: parsing ---
  ...[
    'MAX-AGE=3600',
    'MaX-aGe=3600',
    '  max-age=3600  ',
    'a,b;c, max-age=3600',
    'max-age="3600"',
    'foo="max-age=0", max-age=3600',
    "foo='bar', max-age=3600",
    'max-age=3600, foo=bar',
    'max-age=99999999999',
    'max-age=2147483648',
  ].map((value) => reuse('RFC 9111 5.2', true, { 'Cache-Control': value })),
  ...['max-age=-3600', 'max-age=abc', 'max-age', 'max-age=', 'max-age=1.5.6', 'max-age=3600a', "max-age='3600'"].map(
    (value) => reuse('RFC 9111 4.2.1', false, { 'Cache-Control': value }),
  ),
  reuse('RFC 9111 5.2', true, { 'Cache-Control': 'x-no-store="no-store", max-age=3600' }),
  reuse('RFC 9111 5.2', true, { 'Cache-Control': 'no-store-x, private-y, max-age=3600' }),
  // --- 9111 5.2.2: directives of the response ---
  ...[
    'no-store',
    'No-StOrE',
    'max-age=3600, no-store',
    'private',
    'PRIVATE, max-age=3600',
    'private="x-a", max-age=3600',
    'no-cache',
    'max-age=3600, no-cache',
    'NO-CACHE="x-a"',
  ].map((value) => reuse('RFC 9111 5.2.2', false, { 'Cache-Control': value })),
  reuse('RFC 9111 5.2.2', false, { 'Cache-Control': ['max-age=3600', 'private'] }),
  reuse('RFC 9111 5.2.2', true, { 'Cache-Control': 'max-age=3600, must-revalidate' }),
  reuse('RFC 9111 5.2.2', true, { 'Cache-Control': 'max-age=3600, immutable, no-transform' }),
  reuse('RFC 9111 5.2.2.3', true, { 'Cache-Control': 'max-age=3600, must-understand' }),
  reuse(
    'RFC 9111 5.2.2.3',
    false,
    { 'Cache-Control': 'max-age=3600, must-understand' },
    { status: 599, options: { status: [599] } },
  ),
  // --- 9111 5.1: Age ---
  reuse('RFC 9111 5.1', false, { 'Cache-Control': 'max-age=3600', Age: '7200' }),
  reuse('RFC 9111 5.1', false, { 'Cache-Control': 'max-age=3600', Age: '3600' }),
  reuse('RFC 9111 5.1', true, { 'Cache-Control': 'max-age=3600', Age: '1800' }),
  reuse('RFC 9111 5.1', false, { 'Cache-Control': 'max-age=3600', Age: '7200, 0' }),
  reuse('RFC 9111 5.1', false, { 'Cache-Control': 'max-age=3600', Age: ['7200', '0'] }),
  reuse('RFC 9111 5.1', true, { 'Cache-Control': 'max-age=3600', Age: '0, 7200' }),
  reuse('RFC 9111 5.1', false, { 'Cache-Control': 'max-age=3600', Age: '99999999999' }),
  ...['abc', '-7200', '7200.0', '7200a'].map((Age) =>
    reuse('RFC 9111 5.1', true, { 'Cache-Control': 'max-age=3600', Age }),
  ),
  {
    section: 'RFC 9111 4.2.3',
    name: 'adds the time that it has kept the answer to the Age that it came with, and expires by it',
    steps: [
      { answer: { 'Cache-Control': 'max-age=100', Age: '90' } },
      { after: 4, expect: 'cached', gives: ({ headers }) => expect(headers.age).to.equal('94') },
      { after: 5, expect: 'cached', gives: ({ headers }) => expect(headers.age).to.equal('99') },
      { after: 1, expect: 'handler' },
    ],
  },
  {
    section: 'RFC 9111 4.2.4',
    name: 'does not answer from a stale entry',
    steps: [
      { answer: { 'Cache-Control': 'max-age=10' } },
      { after: 9.9, expect: 'cached' },
      { after: 0.1, expect: 'handler' },
    ],
  },
  {
    section: 'RFC 9110 6.6.1',
    name: 'keeps the Date of the answer',
    steps: [
      { answer: { Date: at(-100) } },
      { expect: 'cached', gives: ({ headers }) => expect(headers.date).to.equal(at(-100)) },
    ],
  },
  // --- 9111 3: storing ---
  ...statuses.map((status) =>
    reuse('RFC 9111 3', true, { 'Cache-Control': 'max-age=3600' }, { status, options: { status: statuses } }),
  ),
  ...statuses.map((status) =>
    reuse('RFC 9111 4.2', false, { 'Cache-Control': 'max-age=0' }, { status, options: { status: statuses } }),
  ),
  reuse('RFC 9111 3.3', false, { 'Content-Range': 'items 0-1/5' }, { status: 206 }),
  reuse('RFC 9111 7.3', false, { 'Cache-Control': 'max-age=3600', 'Set-Cookie': 'a=b' }),
  reuse('RFC 9111 5.4', true, { Pragma: 'no-cache', 'Cache-Control': 'max-age=3600' }),
  reuse('RFC 9213 3', true, {
    'CDN-Cache-Control': 'max-age=0',
    'Surrogate-Control': 'no-store',
    'Cache-Control': 'max-age=3600',
  }),
  // --- 9111 3.1: headers ---
  {
    section: 'RFC 9111 3.1',
    name: 'replays all headers, but those of the connection and those that Connection names',
    steps: [
      {
        answer: {
          'Test-Header': 'a',
          'X-List': ['1', '2'],
          'Content-Location': '/y',
          'Content-MD5': 'x',
          Connection: 'close, X-Hop',
          'X-Hop': '1',
          'Proxy-Authenticate': 'Basic',
        },
      },
      {
        expect: 'cached',
        gives: ({ headers }) => {
          expect(headers).to.include({
            'test-header': 'a',
            'x-list': '1, 2',
            'content-location': '/y',
            'content-md5': 'x',
          })
          expect(headers).to.not.have.any.keys('x-hop', 'proxy-authenticate')
        },
      },
    ],
  },
  // --- 9111 3.5: Authorization ---
  ...(['public', 'must-revalidate', 's-maxage=3600'] as const).map(
    (value): Case => ({
      section: 'RFC 9111 3.5',
      name: `uses again an answer to Authorization that says ${value}`,
      steps: [
        { headers: { Authorization: 'a' }, answer: { 'Cache-Control': `max-age=3600, ${value}` } },
        { headers: { Authorization: 'b' }, expect: 'cached' },
      ],
    }),
  ),
  {
    section: 'RFC 9111 3.5',
    name: 'does not use again an answer to Authorization that does not allow it',
    steps: [{ headers: { Authorization: 'a' }, answer: { 'Cache-Control': 'max-age=3600' } }, { expect: 'handler' }],
  },
  // --- 9111 4.1: Vary ---
  ...(
    [
      ['the same value', { Foo: '1' }, { Foo: '1' }, 'Foo', true],
      ['another value', { Foo: '1' }, { Foo: '2' }, 'Foo', false],
      ['no value', { Foo: '1' }, {}, 'Foo', false],
      ['a value, after none', {}, { Foo: '1' }, 'Foo', false],
      ['neither value', {}, {}, 'Foo', true],
      ['the same value, in another spelling of the name', { Foo: '1' }, { fOO: '1' }, 'foo', true],
      ['one value of two that differs', { Foo: '1', Bar: '1' }, { Foo: '1', Bar: '2' }, 'Foo, Bar', false],
      ['another value that does not count', { Foo: '1', Bar: '1' }, { Foo: '1', Bar: '2' }, 'Foo', true],
      ['two lines for a list', { Foo: ['1', '2'] }, { Foo: '1, 2' }, 'Foo', true],
      ['everything equal under *', { Foo: '1' }, { Foo: '1' }, '*', false],
      ['everything equal under a list with *', { Foo: '1' }, { Foo: '1' }, 'Foo, *', false],
      ['everything equal under an empty list', { Foo: '1' }, { Foo: '1' }, ',', true],
    ] as [string, Lines, Lines, string, boolean][]
  ).map(
    ([name, first, second, vary, cached]): Case => ({
      section: 'RFC 9111 4.1',
      name: `${cached ? 'matches' : 'does not match'} ${name} (Vary: ${vary})`,
      steps: [
        { headers: first, answer: { Vary: vary } },
        { headers: second, expect: cached ? 'cached' : 'handler' },
      ],
    }),
  ),
  {
    section: 'RFC 9111 4.1',
    name: 'keeps the variants side by side',
    steps: [
      { headers: { Foo: '1' }, answer: { Vary: 'Foo' } },
      { headers: { Foo: '2' }, answer: { Vary: 'Foo' }, expect: 'handler' },
      { headers: { Foo: '1' }, expect: 'cached' },
      { headers: { Foo: '2' }, expect: 'cached' },
      { headers: { Foo: '3' }, answer: { Vary: 'Foo' }, expect: 'handler' },
    ],
  },
  // --- 9111 4.3.2, 9110 13: conditions ---
  ...(
    [
      ['"a"', 304],
      ['W/"a"', 304],
      ['"b", "a"', 304],
      ['"b","a"', 304],
      ['*', 304],
      ['"b"', 200],
      ['"A"', 200],
    ] as [string, number][]
  ).flatMap(([condition, status]) =>
    ['"a"', 'W/"a"'].map(
      (etag): Case => ({
        section: 'RFC 9110 13.1.2',
        name: `answers If-None-Match: ${condition} with ${status} from an entry with ETag: ${etag}`,
        steps: [
          { answer: { ETag: etag } },
          {
            headers: { 'If-None-Match': condition },
            expect: 'cached',
            gives: (answer) => {
              expect(answer.status).to.equal(status)
              expect(answer.headers.etag).to.equal(etag)
            },
          },
        ],
      }),
    ),
  ),
  ...(
    [
      [at(-3000), 304],
      [at(-2000), 304],
      [at(-4000), 200],
      ['nonsense', 200],
    ] as [string, number][]
  ).map(
    ([since, status]): Case => ({
      section: 'RFC 9110 13.1.3',
      name: `answers If-Modified-Since: ${since} with ${status}`,
      steps: [
        { answer: { 'Last-Modified': at(-3000) } },
        {
          headers: { 'If-Modified-Since': since },
          expect: 'cached',
          gives: (answer) => expect(answer.status).to.equal(status),
        },
      ],
    }),
  ),
  {
    section: 'RFC 9110 13.2.2',
    name: 'lets If-None-Match go before If-Modified-Since',
    steps: [
      { answer: { ETag: '"a"', 'Last-Modified': at(-3000) } },
      {
        headers: { 'If-None-Match': '"b"', 'If-Modified-Since': at(0) },
        expect: 'cached',
        gives: ({ status }) => expect(status).to.equal(200),
      },
    ],
  },
  // --- 9110 9: methods ---
  {
    section: 'RFC 9110 9.3.2',
    name: 'answers HEAD from what GET has stored',
    steps: [
      { answer: { 'X-A': '1' } },
      {
        method: 'HEAD',
        expect: 'cached',
        gives: ({ headers, text }) => expect([headers['x-a'], text]).to.deep.equal(['1', '']),
      },
    ],
  },
  {
    section: 'RFC 9111 4',
    name: 'does not answer GET from what HEAD was told',
    steps: [{ method: 'HEAD', answer: {} }, { expect: 'handler' }],
  },
  ...['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'].map(
    (method): Case => ({
      section: 'RFC 9111 4',
      name: `answers ${method} neither from an entry, nor stores its answer`,
      steps: [
        { answer: {} },
        { method, answer: { 'Cache-Control': 'max-age=3600' }, expect: 'handler' },
        { method, answer: {}, expect: 'handler' },
      ],
    }),
  ),
  ...['POST', 'PUT', 'PATCH', 'DELETE'].map(
    (method): Case => ({
      section: 'RFC 9111 4.4',
      name: `invalidates after a successful ${method}`,
      steps: [{ answer: {} }, { expect: 'cached' }, { method, answer: {}, expect: 'handler' }, { expect: 'handler' }],
    }),
  ),
  ...['GET', 'HEAD', 'OPTIONS'].map(
    (method): Case => ({
      section: 'RFC 9111 4.4',
      name: `does not invalidate after ${method}`,
      steps: [{ answer: {} }, { method, answer: {} }, { expect: 'cached' }],
    }),
  ),
  {
    section: 'RFC 9111 4.4',
    name: 'does not invalidate after a 4xx',
    steps: [{ answer: {} }, { method: 'POST', status: 400, answer: {}, expect: 'handler' }, { expect: 'cached' }],
  },
  // --- 9111 2: the key ---
  {
    section: 'RFC 9111 2',
    name: 'takes another query for another key',
    steps: [
      { path: '/x?a=1', answer: {} },
      { path: '/x?a=2', answer: {}, expect: 'handler' },
      { path: '/x?a=1', expect: 'cached' },
    ],
  },
  // --- 9111 5.2.1: directives of the request ---
  ...(
    [
      ['no-cache', false],
      ['max-age=0', false],
      ['max-age=3600', true],
      ['min-fresh=10', true],
      ['min-fresh=999999999', false],
      ['no-store', true],
      ['only-if-cached', true],
    ] as [string, boolean][]
  ).map(
    ([directive, cached]): Case => ({
      section: 'RFC 9111 5.2.1',
      name: `${cached ? 'answers' : 'does not answer'} from the entry a request that says ${directive}, where they are honoured`,
      options: { requestCacheControl: 'honour' },
      steps: [
        { answer: {} },
        {
          headers: { 'Cache-Control': directive },
          ...(directive === 'max-age=0' ? { after: 1 } : {}),
          expect: cached ? 'cached' : 'handler',
        },
      ],
    }),
  ),
  {
    section: 'RFC 9111 5.2.1.7',
    name: 'answers 504 where only-if-cached finds nothing',
    options: { requestCacheControl: 'honour' },
    steps: [{ headers: { 'Cache-Control': 'only-if-cached' }, gives: ({ status }) => expect(status).to.equal(504) }],
  },
  // --- 9211 ---
  {
    section: 'RFC 9211 2',
    name: 'says in Cache-Status what it did',
    steps: [
      {
        answer: { 'Cache-Control': 'max-age=10' },
        gives: ({ headers }) => expect(headers['cache-status']).to.equal('registry-cache; fwd=uri-miss; stored'),
      },
      {
        expect: 'cached',
        gives: ({ headers }) => expect(headers['cache-status']).to.match(/^registry-cache; hit; ttl=(9|10)$/),
      },
    ],
  },
]
