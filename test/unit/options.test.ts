/* The options of a cache: each bad form is refused where it is given, with code, option, what came and what was expected. */
import { expect } from 'chai'
import { createRegistryCache, type RegistryCacheOptions } from '../../lib/index.ts'
import { BUILT_IN_TYPES, dependents, resolveOptions } from '../../lib/options.ts'
import { thrownBy } from '../helpers/failures.ts'

interface Bad {
  readonly options: unknown
  readonly code: string
  readonly option: string
  readonly received?: unknown
  readonly expected: RegExp
}

const SECONDS = /^a number of seconds above 0/

const bad: Record<string, Bad> = {
  'options that are no object': { options: 5, code: 'ERR_OPTION_TYPE', option: '', received: 5, expected: /an object/ },
  'options that are null': { options: null, code: 'ERR_OPTION_TYPE', option: '', received: null, expected: /object/ },
  'an unknown option, with the known ones': {
    options: { colour: 'red' },
    code: 'ERR_OPTION_UNKNOWN',
    option: 'colour',
    received: 'colour',
    expected: /^one of redis, enabled, prefix/,
  },
  'a misspelt option, with a suggestion': {
    options: { defaultTTl: 5 },
    code: 'ERR_OPTION_UNKNOWN',
    option: 'defaultTTl',
    received: 'defaultTTl',
    expected: /did you mean "defaultTtl"\?/,
  },
  'a misspelt member, with its path': {
    options: { memory: { maxByte: 5 } },
    code: 'ERR_OPTION_UNKNOWN',
    option: 'memory.maxByte',
    received: 'maxByte',
    expected: /did you mean "maxBytes"\?/,
  },
  'a misspelt field of a type': {
    options: { types: { tools: { dependson: [] } } },
    code: 'ERR_OPTION_UNKNOWN',
    option: 'types.tools.dependson',
    received: 'dependson',
    expected: /did you mean "dependsOn"\?/,
  },
  'a redis that is a URL': { options: { redis: 'redis://127.0.0.1' }, ...refusedClient(/it is no object/) },
  'a redis that is null': { options: { redis: null }, ...refusedClient(/it is no object/) },
  'a redis that is a set of options': {
    options: { redis: { host: '127.0.0.1' } },
    ...refusedClient(/no method defineCommand\(\)/),
  },
  'a prefix that is no string': { options: { prefix: 5 }, ...wrongType('prefix', 5, /a string/) },
  'a prefix that is null': { options: { prefix: null }, ...wrongType('prefix', null, /a string/) },
  'a boolean as text': { options: { enabled: 'false' }, ...wrongType('enabled', 'false', /true or false/) },
  'headers as a number': { options: { headers: 1 }, ...wrongType('headers', 1, /true or false/) },
  'sweepForeignKeys as text': { options: { sweepForeignKeys: '' }, ...wrongType('sweepForeignKeys', '', /true or/) },
  'types that are a list': { options: { types: ['tools'] }, code: 'ERR_OPTION_TYPE', option: 'types', expected: /obj/ },
  'types that are null': { options: { types: null }, ...wrongType('types', null, /an object/) },
  'a type that is null': { options: { types: { tools: null } }, ...wrongType('types.tools', null, /an object/) },
  'a TTL of a type as text': { options: { types: { tools: '20' } }, ...wrongType('types.tools', '20', /an object/) },
  'a malformed name of a type': {
    options: { types: { 'my tools': 5 } },
    code: 'ERR_TYPE_NAME',
    option: 'types.my tools',
    received: 'my tools',
    expected: /1 to 64 characters/,
  },
  'an empty name of a type': {
    options: { types: { '': 5 } },
    code: 'ERR_TYPE_NAME',
    option: 'types.',
    received: '',
    expected: /1 to 64 characters/,
  },
  'dependsOn that is no list': {
    options: { types: { tools: { dependsOn: 'gateways' } } },
    ...wrongType('types.tools.dependsOn', 'gateways', /a list/),
  },
  'dependsOn with a malformed name': {
    options: { types: { tools: { dependsOn: ['gateways', 'a b'] } } },
    code: 'ERR_TYPE_NAME',
    option: 'types.tools.dependsOn[1]',
    received: 'a b',
    expected: /1 to 64 characters/,
  },
  'memory that is null': { options: { memory: null }, ...wrongType('memory', null, /an object/) },
  'a breaker that is null': { options: { breaker: null }, ...wrongType('breaker', null, /an object/) },
  'silence that is null': { options: { silence: null }, ...wrongType('silence', null, /a list/) },
  'silence that is no list': { options: { silence: 'ERR_X' }, ...wrongType('silence', 'ERR_X', /a list/) },
  'silence with something else than codes': { options: { silence: [5] }, ...wrongType('silence[0]', 5, /codes/) },
  'bytes that are no integer': { options: { memory: { maxBytes: 1.5 } }, ...outOfRange('memory.maxBytes', 1.5) },
  'room for no entry': { options: { memory: { maxEntries: 0 } }, ...outOfRange('memory.maxEntries', 0) },
  'entries larger than the memory': {
    options: { memory: { maxBytes: 1000, maxEntryBytes: 1001 } },
    code: 'ERR_OPTION_CONFLICT',
    option: 'memory.maxEntryBytes',
    received: 1001,
    expected: /at most maxBytes \(1000\)/,
  },
  'an unknown way to go without Redis': {
    options: { whenRedisIsDown: 'fail' },
    ...outOfRange('whenRedisIsDown', 'fail'),
    expected: /'serve-memory', 'bypass'/,
  },
  'no failures for the breaker': { options: { breaker: { failures: 0 } }, ...outOfRange('breaker.failures', 0) },
  'a breaker that never probes': { options: { breaker: { probeEvery: 0 } }, ...outOfRange('breaker.probeEvery', 0) },
  'a wait for Redis of 0': { options: { redisTimeout: 0 }, ...outOfRange('redisTimeout', 0), expected: SECONDS },
  'a negative lockTtl': { options: { lockTtl: -1 }, ...outOfRange('lockTtl', -1) },
  'a negative maxStaleness': { options: { maxStaleness: -0.5 }, ...outOfRange('maxStaleness', -0.5) },
  'a logger without error()': {
    options: { logger: { debug() {}, info() {}, warn() {} } },
    code: 'ERR_OPTION_TYPE',
    option: 'logger',
    expected: /methods debug, info, warn, error/,
  },
  'a logger that is null': { options: { logger: null }, ...wrongType('logger', null, /methods debug/) },
  'a clock without monotonic()': {
    options: { clock: { now: Date.now, setTimeout, clearTimeout } },
    code: 'ERR_OPTION_TYPE',
    option: 'clock',
    expected: /methods now, monotonic/,
  },
}

function wrongType(option: string, received: unknown, expected: RegExp): Omit<Bad, 'options'> {
  return { code: 'ERR_OPTION_TYPE', option, received, expected }
}

function outOfRange(option: string, received: unknown): Omit<Bad, 'options'> {
  return { code: 'ERR_OPTION_RANGE', option, received, expected: /./ }
}

function refusedClient(expected: RegExp): Omit<Bad, 'options'> {
  return { code: 'ERR_OPTION_REDIS', option: 'redis', expected }
}

describe('options of a cache', () => {
  for (const [what, { options, code, option, received, expected }] of Object.entries(bad)) {
    it(`refuse ${what}`, () => {
      const error = thrownBy(() => createRegistryCache(options as RegistryCacheOptions))
      expect(error.name).to.equal('OptionError')
      expect(error.code).to.equal(code)
      expect(error.option).to.equal(option)
      if (received !== undefined) expect(error.received).to.equal(received)
      expect(error.expected).to.match(expected)
      expect(error.message)
        .to.contain(code)
        .and.to.contain(error.expected as string)
    })
  }

  for (const ttl of [0, -1, Number.NaN, Number.POSITIVE_INFINITY, 315_360_001]) {
    for (const [option, options] of [
      ['defaultTtl', { defaultTtl: ttl }],
      ['types.tools', { types: { tools: ttl } }],
      ['types.tools.ttl', { types: { tools: { ttl } } }],
    ] as const) {
      it(`refuse a TTL of ${ttl} as ${option}`, () => {
        const error = thrownBy(() => createRegistryCache(options))
        expect(error.code).to.equal('ERR_OPTION_RANGE')
        expect(error.option).to.equal(option)
        expect(error.received).to.deep.equal(ttl)
        expect(error.expected).to.match(SECONDS)
      })
    }
  }

  it("refuse the TTL '20' and coerce nothing", () => {
    const error = thrownBy(() => createRegistryCache({ defaultTtl: '20' as unknown as number }))
    expect(error).to.include({ code: 'ERR_OPTION_TYPE', option: 'defaultTtl', received: '20' })
    expect(error.message).to.contain('received "20"')
  })

  it('do not repeat the password of a URL that was given as the client', () => {
    const url = 'redis://admin:s3cret@redis.example:6379'
    const error = thrownBy(() => createRegistryCache({ redis: url as never }))
    expect(error.code).to.equal('ERR_OPTION_REDIS')
    expect(`${error.message} ${String(error.received)} ${error.stack}`).not.to.contain('s3cret')
  })

  it('take undefined as omitted, and 0 and the empty string as values', () => {
    const resolved = resolveOptions({
      prefix: '',
      lockTtl: 0,
      maxStaleness: 0,
      defaultTtl: undefined,
      types: undefined,
    })
    expect(resolved).to.include({ prefix: '', lockTtlMs: 0, maxStalenessMs: 0, defaultTtlMs: 20_000 })
    expect(resolveOptions({}).prefix).to.equal('mcpgw:')
  })

  it('have the defaults that are documented', () => {
    const { memory, breaker, ...rest } = resolveOptions()
    expect(rest).to.include({
      redis: undefined,
      enabled: true,
      defaultTtlMs: 20_000,
      maxStalenessMs: 5000,
      whenRedisIsDown: 'serve-memory',
      redisTimeoutMs: 250,
      sweepForeignKeys: false,
      lockTtlMs: 5000,
      headers: true,
      logger: undefined,
    })
    expect(memory).to.deep.equal({ maxBytes: 64 * 1024 * 1024, maxEntryBytes: 1024 * 1024, maxEntries: 10_000 })
    expect(breaker).to.deep.equal({ failures: 3, probeEveryMs: 1000 })
  })

  it('are frozen once resolved', () => {
    const resolved = resolveOptions({ types: { tools: { dependsOn: ['agents'] } } })
    for (const part of [resolved, resolved.memory, resolved.breaker, resolved.types.get('tools')]) {
      expect(Object.isFrozen(part)).to.equal(true)
    }
    expect(Object.isFrozen(resolved.types.get('tools')?.dependsOn)).to.equal(true)
  })

  it('shrink the default size of an entry with a small memory, and conflict with nobody', () => {
    expect(resolveOptions({ memory: { maxBytes: 1000 } }).memory.maxEntryBytes).to.equal(1000)
  })
})

describe('types', () => {
  const ttls = (options?: RegistryCacheOptions): Record<string, number> => createRegistryCache(options).stats().ttls

  it('have the TTLs of the older system', () => {
    const builtIn = { tools: 20, prompts: 15, resources: 15, agents: 20, servers: 20, gateways: 20, catalog: 300 }
    expect(ttls()).to.deep.equal(builtIn)
  })

  it('have the dependencies of the older system', () => {
    const dependsOn = Object.fromEntries(Object.entries(BUILT_IN_TYPES).map(([type, known]) => [type, known.dependsOn]))
    expect(dependsOn).to.deep.equal({
      tools: ['gateways', 'agents'],
      prompts: ['gateways'],
      resources: ['gateways'],
      agents: [],
      servers: ['tools', 'prompts', 'resources', 'agents', 'gateways'],
      gateways: ['catalog'],
      catalog: ['gateways'],
    })
  })

  const reached = (type: string, options: RegistryCacheOptions = {}): string[] =>
    [...dependents(resolveOptions(options).types)(type)].sort()

  it('reach everything that depends on them, through a cycle, themselves left out', () => {
    expect(reached('gateways')).to.deep.equal(['catalog', 'prompts', 'resources', 'servers', 'tools'])
    expect(reached('catalog')).to.deep.equal(['gateways', 'prompts', 'resources', 'servers', 'tools'])
    expect(reached('agents')).to.deep.equal(['servers', 'tools'])
    expect(reached('tools')).to.deep.equal(['servers'])
    expect(reached('servers')).to.deep.equal([])
    expect(reached('never.heard.of')).to.deep.equal([])
  })

  it('may depend on themselves and on types that are not listed', () => {
    const options = { types: { a: { dependsOn: ['a', 'b'] }, c: { dependsOn: ['a'] } } }
    expect(reached('a', options)).to.deep.equal(['c'])
    expect(reached('b', options)).to.deep.equal(['a', 'c'])
  })

  it('are merged over the built-in ones field by field', () => {
    const { types } = resolveOptions({ types: { tools: 7, prompts: { maxStaleness: 1 }, catalog: { ttl: 60.5 } } })
    expect(types.get('tools')).to.deep.equal({ ttlMs: 7000, dependsOn: ['gateways', 'agents'], maxStalenessMs: 5000 })
    expect(types.get('prompts')).to.deep.equal({ ttlMs: 15_000, dependsOn: ['gateways'], maxStalenessMs: 1000 })
    expect(types.get('catalog')).to.deep.equal({ ttlMs: 60_500, dependsOn: ['gateways'], maxStalenessMs: 5000 })
    expect(types.get('agents')?.ttlMs).to.equal(20_000)
  })

  it('lose their dependencies to an empty list, and to nothing else', () => {
    expect(reached('gateways', { types: { tools: { dependsOn: [] } } })).not.to.include('tools')
    expect(reached('gateways', { types: { tools: { dependsOn: undefined as never } } })).to.include('tools')
  })

  it('that are not built in get the default TTL and staleness', () => {
    const { types } = resolveOptions({ defaultTtl: 3, maxStaleness: 2, types: { widgets: {}, gadgets: 9 } })
    expect(types.get('widgets')).to.deep.equal({ ttlMs: 3000, dependsOn: [], maxStalenessMs: 2000 })
    expect(types.get('gadgets')?.ttlMs).to.equal(9000)
  })

  it('may be called as members of every object are', () => {
    const { types } = resolveOptions({ defaultTtl: 4, types: { constructor: {}, toString: 5 } as never })
    expect(types.get('constructor')).to.deep.equal({ ttlMs: 4000, dependsOn: [], maxStalenessMs: 5000 })
    expect(types.get('toString')?.ttlMs).to.equal(5000)
  })

  it('close to a known one are warned about once, with the known one', () => {
    const warned: unknown[][] = []
    const log = (): void => {}
    const logger = { debug: log, info: log, error: log, warn: (...args: unknown[]) => void warned.push(args) }
    const cache = createRegistryCache({ logger })
    for (const type of ['tool', 'tool', 'widgets']) cache.middleware({ type })
    expect(warned).to.have.length(1)
    expect(warned[0]?.[0]).to.contain('type "tool" is not known: did you mean "tools"?')
    expect(warned[0]?.[1]).to.deep.equal({ code: 'ERR_TYPE_TYPO' })
  })

  it('close to a known one are accepted in silence where the code is silenced', () => {
    const warned: unknown[] = []
    const log = (): void => {}
    const logger = { debug: log, info: log, error: log, warn: (message: string) => void warned.push(message) }
    createRegistryCache({ logger, silence: ['ERR_TYPE_TYPO'] }).middleware({ type: 'tool' })
    expect(warned).to.deep.equal([])
  })
})
