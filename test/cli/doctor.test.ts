/*
 * doctor, on servers and for users that are fit for the cache and that are not.
 */
import { expect } from 'chai'
import { aclLine, FLEET_COMMANDS } from '../../lib/cli/acl.ts'
import { checkVersion } from '../../lib/cli/doctor.ts'
import { page } from '../docs/blocks.ts'
import { type RedisServer, startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'
import { buildProgram, type Ended, run, start } from './program.ts'

interface Report {
  readonly ok: boolean
  readonly checks: { readonly name: string; readonly status: string; readonly detail: string }[]
  readonly acl: string
}

describe('doctor', function () {
  this.timeout(60_000)
  let server: RedisServer

  before(async () => {
    await buildProgram()
    server = await startRedis({ args: ['--maxmemory', '64mb', '--maxmemory-policy', 'allkeys-lru'] })
  })
  after(() => server.stop())

  /** The check of a name, as `status: detail`. */
  function check({ out }: Ended, name: string): string {
    const found = (JSON.parse(out) as Report).checks.find((one) => one.name === name)
    return `${found?.status}: ${found?.detail}`
  }

  /** Makes `rules` those of a user, and asks the doctor as that user. */
  async function asUser(rules: readonly string[], ...args: string[]): Promise<Ended> {
    await server.command('ACL', 'SETUSER', 'registry-cache', 'reset', ...rules)
    const url = `redis://registry-cache:sesame@127.0.0.1:${server.port}`
    return await run(['doctor', '--json', '--redis', url, ...args])
  }

  const rulesIn = (line: string): string[] =>
    line.replace('ACL SETUSER registry-cache ', '').replace('>PASSWORD', '>sesame').split(' ')

  it('finds a fit server fit, and ends with 0', async () => {
    const ended = await run(['doctor', '--json', '--redis', server.url])
    const { ok, checks } = JSON.parse(ended.out) as Report
    expect([ended.code, ended.err, ok]).to.deep.equal([0, '', true])
    expect(checks.filter(({ status }) => status !== 'ok')).to.deep.equal([])
    expect(check(ended, 'version')).to.match(/^ok: Redis \d+\.\d+/)
    expect(check(ended, 'eviction')).to.match(/^ok: allkeys-lru, maxmemory 64 MiB: .*a lost epoch costs misses/)
    expect(check(ended, 'latency')).to.match(/^ok: PING p50 \d+\.\d\d ms, p99 \d+\.\d\d ms \(\d+ times\)/)
    expect(check(ended, 'clock')).to.match(/^ok: Redis is \d+ ms (behind|ahead of) this machine/)
    expect(check(ended, 'notifications')).to.match(/not needed/)
  })

  it('prints one line for each check, and the ACL line of the documentation', async () => {
    const { out } = await run(['doctor', '--redis', server.url])
    const schema = page('docs/redis-schema.md')
    const line = schema.lines[schema.lines.indexOf('<!-- acl -->') + 2] ?? ''
    expect(out.trimEnd().split('\n').at(-1)).to.equal(line)
    for (const name of ['connection', 'version', 'eviction', 'latency', 'clock', 'permissions', 'notifications']) {
      expect(out).to.match(new RegExp(`^ok +${name} +\\S`, 'm'))
    }
  })

  it('finds nothing to complain of in the user of its own ACL line, whatever the prefix', async () => {
    for (const prefix of ['mcpgw:', 'a[b]*?\\:', 'two words:']) {
      const args = ['--prefix', prefix]
      const { acl } = JSON.parse((await run(['doctor', '--json', '--redis', server.url, ...args])).out) as Report
      const ended = await asUser(rulesIn(acl), ...args)
      expect([ended.code, check(ended, 'permissions').slice(0, 3)], `${acl}\n${ended.out}`).to.deep.equal([0, 'ok:'])
    }
    expect(await server.command('ACL', 'LOG')).to.deep.equal([])
  })

  it('counts the database and the key prefix of the URL in', async () => {
    const url = `redis://registry-cache:sesame@127.0.0.1:${server.port}/3?keyPrefix=k:`
    const acl = aclLine({ prefix: 'mcpgw:', keyPrefix: 'k:', database: 3 })
    expect(acl)
      .to.include(
        ' ~k:mcpgw:registry:* ~k:mcpgw:*:@epoch ~k:mcpgw:@worker:* ~k:mcpgw:@workers &mcpgw:cache:invalidate ',
      )
      .and.match(/ \+select$/)
    await server.command('ACL', 'SETUSER', 'registry-cache', 'reset', ...rulesIn(acl))
    const ended = await run(['doctor', '--json', '--redis', url])
    expect([ended.code, (JSON.parse(ended.out) as Report).acl], ended.out).to.deep.equal([0, acl])
  })

  it('names each command that a user lacks, and ends with 1', async () => {
    const full = rulesIn(aclLine({ prefix: 'mcpgw:', keyPrefix: '', database: 0 }))
    for (const command of full.filter((rule) => rule.startsWith('+')).map((rule) => rule.slice(1))) {
      const ended = await asUser(full.filter((rule) => rule !== `+${command}`))
      // Without INFO the cache works: it is the client that asks for it. Without heartbeats it is not seen, and works.
      const isNeeded = command !== 'info' && !FLEET_COMMANDS.some((one) => one === command)
      const status = isNeeded ? 'fail' : 'warn'
      expect(check(ended, 'permissions'), command).to.match(new RegExp(`^${status}: (.*; )?${command}: .*NOPERM`, 'i'))
      expect(ended.code, command).to.equal(isNeeded ? 1 : 0)
    }
  })

  it('finds out that a user may not use the keys or the channel', async () => {
    const full = rulesIn(aclLine({ prefix: 'mcpgw:', keyPrefix: '', database: 0 }))
    for (const rule of full.filter((one) => /^[~&]/.test(one))) {
      const ended = await asUser(full.filter((one) => one !== rule))
      const isForFleet = rule.includes('@worker')
      const expected = isForFleet ? [0, 'warn:'] : [1, 'fail:']
      expect([ended.code, check(ended, 'permissions').slice(0, 5)], rule).to.deep.equal(expected)
      const lacks = isForFleet ? /hset: |zadd: / : /set: .*get: /
      expect(check(ended, 'permissions'), rule).to.match(rule.startsWith('&') ? /publish: .*subscribe: / : lacks)
    }
  })

  it('leaves no key behind, and tells workers nothing that they would act on', async () => {
    await server.command('FLUSHALL')
    const watching = start(['watch', '--json', '--redis', server.url])
    await until(() => watching.err.includes('watching'), { deadlineMs: 15_000 })
    await run(['doctor', '--redis', server.url])
    await until(() => watching.lines().length > 0)
    watching.signal('SIGINT')
    const { out } = await watching.ended()
    expect(out.trimEnd().split('\n')).to.have.lengthOf(1)
    expect(JSON.parse(out)).to.include({ kind: 'ignored' })
    expect(await server.command('KEYS', '*')).to.deep.equal([])
  })

  it('lets its keys expire where it may not remove them', async () => {
    await server.command('FLUSHALL')
    const full = rulesIn(aclLine({ prefix: 'mcpgw:', keyPrefix: '', database: 0 }))
    await asUser(full.filter((rule) => !['+del', '+expire'].includes(rule)))
    const keys = (await server.command('KEYS', '*')) as string[]
    expect(keys).to.have.lengthOf(4)
    for (const key of keys) expect(await server.command('TTL', key), key).to.be.within(0, 60)
  })

  it('warns of an eviction policy that costs something, and says what', async () => {
    const { config } = server
    try {
      await config({ 'maxmemory-policy': 'noeviction' })
      const full = await run(['doctor', '--json', '--redis', server.url])
      expect([full.code, check(full, 'eviction')[0]]).to.deep.equal([0, 'w'])
      expect(check(full, 'eviction')).to.include('a full Redis refuses writes')
      await config({ 'maxmemory-policy': 'volatile-random' })
      expect(check(await run(['doctor', '--json', '--redis', server.url]), 'eviction')).to.include('each costs misses')
      await config({ maxmemory: '0' })
      expect(check(await run(['doctor', '--json', '--redis', server.url]), 'eviction')).to.include('set maxmemory')
    } finally {
      await config({ maxmemory: '64mb', 'maxmemory-policy': 'allkeys-lru' })
    }
  })

  it('wants Redis 6.2, or a Valkey that speaks as one does', () => {
    const judged = (fields: Record<string, string>): string => checkVersion(new Map(Object.entries(fields))).status
    expect(
      ['5.0.14', '6.0.20', '6.2.0', '7.0.15', '10.0.0'].map((redis_version) => judged({ redis_version })),
    ).to.deep.equal(['fail', 'fail', 'ok', 'ok', 'ok'])
    expect(judged({ redis_version: '7.2.4', server_name: 'valkey', valkey_version: '8.1.1' })).to.equal('ok')
    expect(judged({})).to.equal('fail')
  })

  it('refuses a replica', async () => {
    const replica = await startRedis({ args: ['--replicaof', '127.0.0.1', String(server.port)] })
    try {
      const ended = await run(['doctor', '--json', '--redis', replica.url])
      expect(ended.code).to.equal(1)
      expect(check(ended, 'role')).to.match(/^fail: a replica/)
    } finally {
      await replica.stop()
    }
  })

  it('ends with 1, and still prints the ACL line, where Redis can not be reached', async () => {
    const ended = await run(['doctor', '--json', '--redis', 'redis://me:sesame@127.0.0.1:1'])
    expect(ended.code).to.equal(1)
    expect(check(ended, 'connection')).to.match(/^fail: redis:\/\/127\.0\.0\.1:1 can not be used: .*ECONNREFUSED/)
    expect(ended.out).to.include('ACL SETUSER').and.not.include('sesame')
  })
})
