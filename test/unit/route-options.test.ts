/* The options of a cache middleware and of invalidateOn: what is refused, and what the defaults come to. */
import { expect } from 'chai'
import { resolveInvalidateOn } from '../../lib/http/invalidate-on.ts'
import { resolveRouteOptions } from '../../lib/http/route-options.ts'
import { type CacheMiddlewareOptions, createRegistryCache, type InvalidateOnOptions } from '../../lib/index.ts'
import { thrownBy } from '../helpers/failures.ts'

type Refusal = readonly [options: object, code: string, option: string]

const refusedByMiddleware: Record<string, Refusal> = {
  'no type': [{}, 'ERR_OPTION_MISSING', 'type'],
  'an empty type': [{ type: '' }, 'ERR_TYPE_NAME', 'type'],
  'a type with a blank': [{ type: 'my tools' }, 'ERR_TYPE_NAME', 'type'],
  'a type with a colon': [{ type: 'tools:1' }, 'ERR_TYPE_NAME', 'type'],
  'a type with a glob': [{ type: 'tools*' }, 'ERR_TYPE_NAME', 'type'],
  'a type of 65 characters': [{ type: 'x'.repeat(65) }, 'ERR_TYPE_NAME', 'type'],
  'a type that is no string': [{ type: 5 }, 'ERR_TYPE_NAME', 'type'],
  'an unknown option': [{ type: 'tools', ttls: 5 }, 'ERR_OPTION_UNKNOWN', 'ttls'],
  'an unknown member of query': [{ type: 'tools', query: { alow: [] } }, 'ERR_OPTION_UNKNOWN', 'query.alow'],
  'a TTL of 0': [{ type: 'tools', ttl: 0 }, 'ERR_OPTION_RANGE', 'ttl'],
  'a negative TTL': [{ type: 'tools', ttl: -5 }, 'ERR_OPTION_RANGE', 'ttl'],
  'a TTL of NaN': [{ type: 'tools', ttl: Number.NaN }, 'ERR_OPTION_RANGE', 'ttl'],
  'an infinite TTL': [{ type: 'tools', ttl: Number.POSITIVE_INFINITY }, 'ERR_OPTION_RANGE', 'ttl'],
  'a TTL as text': [{ type: 'tools', ttl: '20' }, 'ERR_OPTION_TYPE', 'ttl'],
  'a TTL of null': [{ type: 'tools', ttl: null }, 'ERR_OPTION_TYPE', 'ttl'],
  'another word than public as scope': [{ type: 'tools', scope: 'private' }, 'ERR_OPTION_TYPE', 'scope'],
  'a query that is null': [{ type: 'tools', query: null }, 'ERR_OPTION_TYPE', 'query'],
  'allowed parameters that are no list': [{ type: 'tools', query: { allow: 'a' } }, 'ERR_OPTION_TYPE', 'query.allow'],
  'no list beside a list': [{ type: 'tools', query: { allow: 5, ignore: ['a'] } }, 'ERR_OPTION_TYPE', 'query.allow'],
  'ignored parameters that are null': [{ type: 'tools', query: { ignore: null } }, 'ERR_OPTION_TYPE', 'query.ignore'],
  'a parameter both allowed and ignored': [
    { type: 'tools', query: { allow: ['a', 'b'], ignore: ['b'] } },
    'ERR_OPTION_CONFLICT',
    'query',
  ],
  'a header name with a blank': [{ type: 'tools', vary: ['accept language'] }, 'ERR_OPTION_TYPE', 'vary[0]'],
  'vary as one name': [{ type: 'tools', vary: 'accept' }, 'ERR_OPTION_TYPE', 'vary'],
  'vary that is null': [{ type: 'tools', vary: null }, 'ERR_OPTION_TYPE', 'vary'],
  'an unknown way with Cache-Control': [
    { type: 'tools', responseCacheControl: 'obey' },
    'ERR_OPTION_RANGE',
    'responseCacheControl',
  ],
  "an unknown way with the client's Cache-Control": [
    { type: 'tools', requestCacheControl: true },
    'ERR_OPTION_RANGE',
    'requestCacheControl',
  ],
  'a list of tags, which a function gives': [{ type: 'tools', tags: ['a:b'] }, 'ERR_OPTION_TYPE', 'tags'],
  'the status 206': [{ type: 'tools', status: [200, 206] }, 'ERR_OPTION_RANGE', 'status[1]'],
  'the status 304': [{ type: 'tools', status: [304] }, 'ERR_OPTION_RANGE', 'status[0]'],
  'a status as text': [{ type: 'tools', status: ['200'] }, 'ERR_OPTION_RANGE', 'status[0]'],
  'one status without a list': [{ type: 'tools', status: 200 }, 'ERR_OPTION_TYPE', 'status'],
  'a negative maxStaleness': [{ type: 'tools', maxStaleness: -1 }, 'ERR_OPTION_RANGE', 'maxStaleness'],
  'a negative stale window': [{ type: 'tools', staleIfError: -1 }, 'ERR_OPTION_RANGE', 'staleIfError'],
  'a stale window as text': [{ type: 'tools', staleWhileRevalidate: '5' }, 'ERR_OPTION_TYPE', 'staleWhileRevalidate'],
  'a jitter above 1': [{ type: 'tools', jitter: 1.1 }, 'ERR_OPTION_RANGE', 'jitter'],
  'a bypass that is no function': [{ type: 'tools', bypass: true }, 'ERR_OPTION_TYPE', 'bypass'],
  'a refresh that is no function': [{ type: 'tools', refresh: true }, 'ERR_OPTION_TYPE', 'refresh'],
}

const refusedByInvalidateOn: Record<string, Refusal> = {
  'an unknown option': [{ method: ['POST'] }, 'ERR_OPTION_UNKNOWN', 'method'],
  'methods that are no list': [{ methods: 'POST' }, 'ERR_OPTION_TYPE', 'methods'],
  'methods that are null': [{ methods: null }, 'ERR_OPTION_TYPE', 'methods'],
  'a method with a blank': [{ methods: ['PO ST'] }, 'ERR_OPTION_TYPE', 'methods[0]'],
  'one type without a list': [{ types: 'tools' }, 'ERR_OPTION_TYPE', 'types'],
  'an empty name for types': [{ types: '' }, 'ERR_OPTION_TYPE', 'types'],
  'a malformed type': [{ types: ['tools', 'a b'] }, 'ERR_TYPE_NAME', 'types[1]'],
  'an empty tag': [{ types: [], tags: [''] }, 'ERR_TAG_NAME', 'tags[0]'],
  'a tag with what separates our own keys': [{ tags: ['a:@epoch'] }, 'ERR_TAG_NAME', 'tags[0]'],
  'one tag without a list': [{ tags: 'a:b' }, 'ERR_OPTION_TYPE', 'tags'],
  'neither types nor tags': [{ types: [] }, 'ERR_OPTION_CONFLICT', 'types'],
  'no types and no tags': [{ types: [], tags: [] }, 'ERR_OPTION_CONFLICT', 'types'],
  'a when that is no function': [{ when: true }, 'ERR_OPTION_TYPE', 'when'],
  'a negative replicaLag': [{ replicaLag: -1 }, 'ERR_OPTION_RANGE', 'replicaLag'],
}

function expectRefusal(run: () => unknown, [, code, option]: Refusal): void {
  const error = thrownBy(run)
  expect(error).to.include({ name: 'OptionError', code, option })
  expect(error).to.have.property('received')
  expect(error.expected).to.be.a('string').and.not.equal('')
}

describe('options of a middleware', () => {
  const cache = createRegistryCache()

  for (const [what, refusal] of Object.entries(refusedByMiddleware)) {
    it(`refuse ${what}`, () => {
      expectRefusal(() => cache.middleware(refusal[0] as CacheMiddlewareOptions), refusal)
    })
  }

  it('suggest the known name for a misspelt one', () => {
    const error = thrownBy(() => cache.middleware({ type: 'tools', requestCachecontrol: 'honour' } as never))
    expect(error.expected).to.contain('did you mean "requestCacheControl"?')
  })

  it('accept every type that the grammar allows', () => {
    for (const type of ['a', 'A-Z_0.9', 'x'.repeat(64), '..']) cache.middleware({ type })
  })

  it('come to documented defaults, in milliseconds and frozen', () => {
    const resolved = resolveRouteOptions({ type: 'tools' }, () => ({ ttlMs: 20_000, maxStalenessMs: 5000 }))
    expect(resolved).to.include({
      ttlMs: 20_000,
      maxStalenessMs: 5000,
      scope: undefined,
      allow: undefined,
      honoursResponse: true,
      honoursRequest: false,
      staleWhileRevalidateMs: 0,
      staleIfErrorMs: 0,
      jitter: 0,
    })
    expect([[...resolved.status], [...resolved.ignore], resolved.vary]).to.deep.equal([[200], [], []])
    expect(Object.isFrozen(resolved)).to.equal(true)
  })

  it("go before the type's and the cache's", () => {
    const options: CacheMiddlewareOptions = { type: 'tools', ttl: 0.5, maxStaleness: 0, vary: ['Accept-Language'] }
    const resolved = resolveRouteOptions(options, () => ({ ttlMs: 20_000, maxStalenessMs: 5000 }))
    expect(resolved).to.include({ ttlMs: 500, maxStalenessMs: 0 })
    expect(resolved.vary).to.deep.equal(['accept-language'])
  })

  it('take an explicit undefined as omitted', () => {
    const names = ['ttl', 'scope', 'query', 'vary', 'status', 'tags', 'jitter', 'bypass', 'maxStaleness']
    const options = { type: 'tools', ...Object.fromEntries(names.map((name) => [name, undefined])) }
    const defaults = (): { ttlMs: number; maxStalenessMs: number } => ({ ttlMs: 1000, maxStalenessMs: 1 })
    expect(resolveRouteOptions(options, defaults)).to.deep.equal(resolveRouteOptions({ type: 'tools' }, defaults))
  })
})

describe('options of invalidateOn', () => {
  const cache = createRegistryCache()

  for (const [what, refusal] of Object.entries(refusedByInvalidateOn)) {
    it(`refuse ${what}`, () => {
      expectRefusal(() => cache.invalidateOn(refusal[0] as InvalidateOnOptions), refusal)
    })
  }

  it('refuse an object followed by methods', () => {
    const run = (): unknown => (cache.invalidateOn as (...args: unknown[]) => unknown)({ types: ['tools'] }, 'POST')
    expectRefusal(run, [{}, 'ERR_OPTION_CONFLICT', 'methods'])
  })

  it('refuse null', () => {
    expectRefusal(() => cache.invalidateOn(null as never), [{}, 'ERR_OPTION_TYPE', 'methods[0]'])
  })

  it('take methods in any case, and no methods as every unsafe one', () => {
    expect([...(resolveInvalidateOn('post', ['Put']).methods ?? [])]).to.deep.equal(['POST', 'PUT'])
    expect(resolveInvalidateOn(undefined, []).methods).to.equal(undefined)
    expect(resolveInvalidateOn({ methods: [] }, []).methods).to.equal(undefined)
  })

  it('allow tags alone, as a list or as a function', () => {
    expect(resolveInvalidateOn({ types: [], tags: ['a b:c'] }, []).tags).to.deep.equal(['a b:c'])
    expect(resolveInvalidateOn({ types: [], tags: () => [] }, []).types).to.deep.equal([])
  })
})

describe('arguments of invalidate', () => {
  const cache = createRegistryCache()
  const rejected = async (target: unknown): Promise<unknown> => {
    try {
      return await cache.invalidate(target as string)
    } catch (error) {
      return (error as { code: string }).code
    }
  }

  it('refuse an empty or malformed type', async () => {
    for (const type of ['', 'a b', 'tools*', undefined, null, 5]) {
      expect(await rejected(type), String(type)).to.equal('ERR_TYPE_NAME')
    }
  })

  it('refuse an empty or malformed tag', async () => {
    for (const tag of ['', 'a\nb', 'a:@b', '\ud800', 'x'.repeat(513), 'é'.repeat(257), undefined, 5]) {
      expect(await rejected({ tag }), String(tag)).to.equal('ERR_TAG_NAME')
    }
  })

  it('refuse a type beside a tag', async () => {
    expect(await rejected({ tag: 'a:b', type: 'tools' })).to.equal('ERR_OPTION_UNKNOWN')
  })

  it('accept a tag of 512 bytes, with blanks and colons', async () => {
    for (const tag of ['x'.repeat(512), 'é'.repeat(256), 'a b:c d', ':', 'tool_lookup:a:b:c']) {
      expect(await rejected({ tag })).to.deep.equal({ shared: true })
    }
  })
})
