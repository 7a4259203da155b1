/* registryCacheOptionsFromEnv: every variable, good and bad. */
import { expect } from 'chai'
import { createRegistryCache, registryCacheOptionsFromEnv } from '../../lib/index.ts'
import { thrownBy } from '../helpers/failures.ts'

const TTL_NAMES = ['TOOLS', 'PROMPTS', 'RESOURCES', 'AGENTS', 'SERVERS', 'GATEWAYS', 'CATALOG']

describe('registryCacheOptionsFromEnv', () => {
  it('gives no URL and no options for an empty environment', () => {
    expect(registryCacheOptionsFromEnv({})).to.deep.equal({ redisUrl: undefined, options: {} })
  })

  it('reads every variable', () => {
    const env = {
      REDIS_URL: 'rediss://user:pass@redis.example:6380/2',
      CACHE_PREFIX: 'gw[1]:',
      REGISTRY_CACHE_ENABLED: 'false',
      ...Object.fromEntries(TTL_NAMES.map((name, i) => [`REGISTRY_CACHE_${name}_TTL`, `${i + 1}.5`])),
      SOMETHING_ELSE: 'x',
    }
    const { redisUrl, options } = registryCacheOptionsFromEnv(env)
    expect(redisUrl).to.equal(env.REDIS_URL)
    expect(options).to.deep.equal({
      prefix: 'gw[1]:',
      enabled: false,
      types: { tools: 1.5, prompts: 2.5, resources: 3.5, agents: 4.5, servers: 5.5, gateways: 6.5, catalog: 7.5 },
    })
  })

  it('gives options that a cache takes', () => {
    const { options } = registryCacheOptionsFromEnv({ REGISTRY_CACHE_TOOLS_TTL: '7', REGISTRY_CACHE_ENABLED: '1' })
    expect(createRegistryCache(options).stats().ttls).to.include({ tools: 7, prompts: 15 })
  })

  for (const [text, enabled] of Object.entries({ true: true, '1': true, TRUE: true, false: false, '0': false })) {
    it(`reads REGISTRY_CACHE_ENABLED=${text} as ${enabled}`, () => {
      expect(registryCacheOptionsFromEnv({ REGISTRY_CACHE_ENABLED: text }).options).to.deep.equal({ enabled })
    })
  }

  it('takes an empty variable as one that is not set', () => {
    const env = { REDIS_URL: '', CACHE_PREFIX: ' ', REGISTRY_CACHE_ENABLED: '', REGISTRY_CACHE_TOOLS_TTL: '' }
    expect(registryCacheOptionsFromEnv(env)).to.deep.equal({ redisUrl: undefined, options: {} })
  })

  const bad: [name: string, value: string][] = [
    ...TTL_NAMES.map((name): [string, string] => [`REGISTRY_CACHE_${name}_TTL`, '0']),
    ...['-5', 'NaN', 'Infinity', '20s', '1e3', '0x10', '1,5', '999999999999'].map((text): [string, string] => [
      'REGISTRY_CACHE_TOOLS_TTL',
      text,
    ]),
    ...['yes', 'on', '2', 'truee'].map((text): [string, string] => ['REGISTRY_CACHE_ENABLED', text]),
  ]
  for (const [name, value] of bad) {
    it(`refuses ${name}=${value}, and names the variable`, () => {
      const error = thrownBy(() => registryCacheOptionsFromEnv({ [name]: value }))
      expect(error).to.include({ name: 'OptionError', code: 'ERR_OPTION_ENV', option: name, received: value })
      expect(error.message).to.contain(name)
      expect(error.expected).to.match(/^(a number of seconds above 0|true, false, 1 or 0)$/)
    })
  }

  it('takes each kind of address that the clients take', () => {
    for (const url of ['redis://h', 'rediss://h:1', 'redis://:p@h', 'unix:///run/redis.sock', '/run/redis.sock']) {
      expect(registryCacheOptionsFromEnv({ REDIS_URL: url }).redisUrl).to.equal(url)
    }
  })

  for (const url of ['http://admin:s3cret@host', 'admin:s3cret@host:6379', 'redis:/admin:s3cret@host']) {
    it(`refuses REDIS_URL=${url} without repeating what may be a password`, () => {
      const error = thrownBy(() => registryCacheOptionsFromEnv({ REDIS_URL: url }))
      expect(error).to.include({ code: 'ERR_OPTION_ENV', option: 'REDIS_URL' })
      expect(`${error.stack} ${JSON.stringify(error)} ${String(error.received)}`).not.to.contain('s3cret')
    })
  }
})
