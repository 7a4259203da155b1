/*
 * The command line's words: what it understands, and what it says of the rest.
 */
import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { readArguments, type Settings, UsageError } from '../../lib/cli/arguments.ts'
import { nameOf, withoutSecrets } from '../../lib/cli/connection.ts'
import { json, printable } from '../../lib/cli/output.ts'
import { buildProgram, run } from './program.ts'

function settings(args: string[], env: Record<string, string> = {}): Settings {
  const invocation = readArguments(args, env)
  if (invocation.kind !== 'run') throw new Error(`it is ${invocation.kind}`)
  return invocation.settings
}

function complaint(args: string[], env: Record<string, string> = {}): string {
  try {
    readArguments(args, env)
  } catch (error) {
    if (error instanceof UsageError) return error.message
    throw error
  }
  return 'none'
}

describe('The command line', function () {
  this.timeout(60_000)

  before(buildProgram)

  it('asks the local Redis under the usual prefix where nothing else is said', () => {
    const { redisUrl, prefix, timeoutMs } = settings(['watch'])
    expect([redisUrl, prefix, timeoutMs]).to.deep.equal(['redis://127.0.0.1:6379', 'mcpgw:', 5000])
  })

  it('takes REDIS_URL and CACHE_PREFIX, empty ones as not set, and an option before either', () => {
    const env = { REDIS_URL: 'redis://there:1', CACHE_PREFIX: 'app:' }
    expect(settings(['watch'], env)).to.include({ redisUrl: 'redis://there:1', prefix: 'app:' })
    expect(settings(['watch'], { REDIS_URL: '', CACHE_PREFIX: '' })).to.include({ prefix: 'mcpgw:' })
    const given = settings(['watch', '--redis', 'rediss://here:2', '--prefix=-x:', '--timeout', '0.5'], env)
    expect(given).to.include({ redisUrl: 'rediss://here:2', prefix: '-x:', timeoutMs: 500 })
  })

  const wrong: [args: string[], says: RegExp][] = [
    [[], /^a command is missing: invalidate, watch, stats, inspect, doctor$/],
    [['invlidate', 'tools'], /^unknown command "invlidate": did you mean invalidate\?$/],
    [['restart'], /^unknown command "restart": there are invalidate, /],
    [['stats', 'tools'], /^stats takes no arguments, received "tools"$/],
    [['stats', '--all'], /^--all is an option of invalidate, not of stats$/],
    [['watch', '--jsn'], /^unknown option "--jsn": did you mean --json\?$/],
    [['watch', '--frobnicate'], /^unknown option "--frobnicate": see --help$/],
    [['watch', '-x'], /^unknown option "-x"/],
    [['watch', '--json=yes'], /^--json takes no value$/],
    [['watch', '--prefix'], /^--prefix needs a value$/],
    [['watch', '--prefix', '--json'], /^--prefix needs a value; one that begins with -: --prefix=/],
    [['watch', 'tools'], /^watch takes no arguments, received "tools"$/],
    [['watch', '--body'], /^--body is an option of inspect, not of watch$/],
    [['doctor', '--all'], /^--all is an option of invalidate, not of doctor$/],
    [['watch', '--timeout', 'soon'], /^--timeout: expected seconds above 0 and at most 60, received "soon"$/],
    [['watch', '--timeout', '0'], /^--timeout: /],
    [['watch', '--timeout', '61'], /^--timeout: /],
    [['watch', '--redis', 'localhost:6379'], /^--redis: expected a URL that begins with redis:\/\/ or rediss:\/\//],
    [['invalidate'], /^invalidate needs TYPE\.\.\., --tag TAG or --all$/],
    [['invalidate', 'tools', '--all'], /^--all is everything/],
    [['invalidate', 'registry:tools'], /^"registry:tools" is no type: .*; for a tag: --tag$/],
    [['invalidate', '--tag', 'a:@b'], /^"a:@b" is no tag/],
    [['invalidate', '--tag', ''], /^"" is no tag/],
    [['inspect'], /^inspect takes one KEY, or TYPE:HASH$/],
    [['inspect', 'a', 'b'], /^inspect takes one KEY/],
  ]
  for (const [args, says] of wrong) {
    it(`says in one line what is wrong with: ${args.join(' ') || 'nothing at all'}`, () => {
      expect(complaint(args)).to.match(says).and.not.include('\n')
    })
  }

  it('names the variable whose URL is none, without its value', () => {
    const said = complaint(['watch'], { REDIS_URL: 'http://:sesame@there' })
    expect(said)
      .to.match(/^REDIS_URL: expected a URL/)
      .and.not.include('sesame')
  })

  it('repeats no URL that stands in the wrong place', () => {
    for (const args of [
      ['redis://:sesame@there'],
      ['watch', 'redis://:sesame@there'],
      ['--redis://:sesame@there', 'watch'],
    ]) {
      expect(complaint(args)).to.not.equal('none').and.not.include('sesame')
    }
    expect(complaint(['watch', '--redsi=redis://:sesame@there']))
      .to.match(/did you mean --redis/)
      .and.not.include('sesame')
  })

  it('names a server without user, password and query', () => {
    expect(nameOf('redis://me:sesame@there:7/3?password=sesame')).to.equal('redis://there:7/3')
    expect(nameOf('/run/redis.sock?password=sesame')).to.equal('/run/redis.sock')
    // A password with a slash: what looks like a host is a part of it.
    expect(nameOf('redis://ses:1/ame@there')).to.equal('Redis')
    expect(nameOf('redis://me:ses/ame@there')).to.equal('Redis')
  })

  it('takes passwords, as written and as meant, out of what others say', () => {
    const url = 'redis://me:open%20sesame@there?password=abracadabra'
    const said = withoutSecrets(`bad: ${url}, open%20sesame, open sesame, abracadabra`, url)
    expect(said).to.equal('bad: (URL), ***, ***, ***')
  })

  it('lets nothing from Redis speak to the terminal', () => {
    expect(printable('a\u001b[2J\u009b\u202eb\nc')).to.equal('a\\u001b[2J\\u009b\\u202eb\\u000ac')
    expect(printable('a\nb\tc\r', { lines: true })).to.equal('a\nb\tc\\u000d')
    expect(JSON.parse(json({ text: 'a\u009b\u202e"\u001b' }))).to.deep.equal({ text: 'a\u009b\u202e"\u001b' })
    expect(json({ text: '\u009b' })).to.equal('{"text":"\\u009b"}')
  })

  it('ends with 2 and one line where it is misused', async () => {
    const { code, out, err } = await run(['wach'])
    expect([code, out]).to.deep.equal([2, ''])
    expect(err).to.equal('express-registry-cache: unknown command "wach": did you mean watch?\n')
  })

  it('prints its version, and help for all and for each command', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string
    }
    expect(await run(['--version'])).to.deep.equal({ code: 0, out: `${version}\n`, err: '' })
    const { code, out } = await run(['--help'])
    expect(code).to.equal(0)
    for (const word of ['invalidate', 'watch', 'inspect', 'doctor', '--redis', '--prefix', '--timeout', '--json']) {
      expect(out).to.include(word)
    }
    expect((await run(['inspect', '--help'])).out).to.match(/^Usage: express-registry-cache inspect/)
    expect((await run(['help', 'doctor'])).out).to.match(/^Usage: express-registry-cache doctor/)
  })
})
