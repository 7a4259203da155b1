import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { readConfig } from '../../examples/express-gateway/config.ts'
import { request } from '../helpers/http.ts'
import { type Program, runExample } from './program.ts'

interface Page {
  items: { id: string; name: string; [field: string]: unknown }[]
}

describe('the example as a program', function () {
  this.timeout(90_000)

  let program: Program | undefined
  let folder: string

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'example-test-'))
  })
  after(() => rmSync(folder, { recursive: true, force: true }))
  afterEach(async () => {
    await program?.stop('SIGKILL')
    program = undefined
  })

  it('registers the bundled MCP servers, serves them, and ends with 0 at SIGTERM without leaving a child', async () => {
    program = runExample()
    const gateway = await program.ready()
    for (const name of ['everything', 'memory', 'filesystem', 'sequential-thinking']) {
      expect(program.output.stdout).to.match(new RegExp(`^Registered ${name}: tools [1-9]\\d*, `, 'm'))
    }
    expect(program.output.stdout).to.contain(`curl -i 'http://127.0.0.1:${gateway.port}/v1/tools?limit=2'`)
    expect(program.output.stderr).to.equal('')
    expect(program.processes(), 'the MCP servers are ended after they were listed').to.have.length(1)

    const miss = await request(gateway, { path: '/v1/tools?limit=500' })
    const hit = await request(gateway, { path: '/v1/tools?limit=500' })
    expect([miss.headers['x-cache'], hit.headers['x-cache']]).to.deep.equal(['MISS', 'HIT'])
    expect(hit.body.equals(miss.body)).to.equal(true)
    const names = hit.json<Page>().items.map(({ name }) => name)
    expect(names).to.include.members(['echo', 'read_graph', 'list_directory', 'sequentialthinking'])

    // The token that it made up, since none was given.
    const token = /ADMIN_TOKEN=(\S+)/.exec(program.output.stdout)?.[1]
    const gateways = (await request(gateway, { path: '/v1/gateways' })).json<Page>()
    const everything = gateways.items.find(({ name }) => name === 'everything')
    const headers = { authorization: `Bearer ${token}` }
    const gone = await request(gateway, { method: 'DELETE', path: `/v1/gateways/${everything?.id}`, headers })
    expect(gone.status).to.equal(204)
    const next = await request(gateway, { path: '/v1/tools?limit=500' })
    expect(next.headers['x-cache']).to.equal('MISS')
    expect(next.json<Page>().items.map(({ name }) => name)).to.not.include('echo')

    expect(await program.stop('SIGTERM')).to.equal(0)
    expect(program.processes()).to.deep.equal([])
    expect(program.output.stderr).to.equal('')
  })

  it('loads a registry dump into the catalog and keeps its data directory over a restart', async () => {
    const catalogFile = join(folder, 'catalog.json')
    const named = { id: 'c0ffee', name: 'io.github.example/one', description: 'One', packages: [{ name: 'one' }] }
    const nameless = { id: '', name: '', description: '', repository: {}, version_detail: {} }
    writeFileSync(catalogFile, JSON.stringify([named, nameless, null]))
    const env = { CATALOG_FILE: catalogFile, DATA_DIR: join(folder, 'data'), MCP_SERVERS: '' }

    program = runExample(env)
    const first = await program.ready()
    expect(program.output.stdout).to.contain(`Read 1 of the 3 catalog entries in ${catalogFile}`)
    const { items } = (await request(first, { path: '/v1/catalog' })).json<Page>()
    expect(items).to.have.length(1)
    expect(items[0]).to.deep.include(named)
    await request(first, { method: 'POST', path: '/v1/agents', body: { name: 'kept' } })
    expect(await program.stop()).to.equal(0)

    writeFileSync(catalogFile, JSON.stringify([{ ...named, description: 'Newer' }]))
    program = runExample(env)
    const second = await program.ready()
    const agents = (await request(second, { path: '/v1/agents' })).json<Page>()
    expect(agents.items.map(({ name }) => name)).to.deep.equal(['kept'])
    const reloaded = (await request(second, { path: '/v1/catalog' })).json<Page>()
    expect(reloaded.items.map(({ id, description }) => [id, description])).to.deep.equal([['c0ffee', 'Newer']])
    expect(await program.stop()).to.equal(0)
  })

  const refusals: [what: string, env: Record<string, string>, line: RegExp][] = [
    ['a Redis without a shared database', { REDIS_URL: 'redis://127.0.0.1:1' }, /REDIS_URL .* DATABASE_URL/],
    ['a PostgreSQL that does not answer', { DATABASE_URL: 'postgres://127.0.0.1:1/x' }, /ECONNREFUSED/],
    ['a catalog that is not there', { CATALOG_FILE: '/does/not/exist.json' }, /CATALOG_FILE .*ENOENT/],
  ]
  for (const [what, env, line] of refusals) {
    it(`refuses ${what} in one line, with exit code 1`, async () => {
      program = runExample(env)
      expect(await program.exited).to.equal(1)
      expect(program.output.stderr.trim().split('\n')).to.have.length(1)
      expect(program.output.stderr).to.match(line)
      expect(program.output.stdout).to.equal('')
    })
  }
})

describe("the example's configuration", () => {
  const wrong: [variable: string, env: Record<string, string>][] = [
    ['PORT', { PORT: '70000' }],
    ['PORT', { PORT: 'http' }],
    ['DATABASE_URL', { DATABASE_URL: 'mysql://127.0.0.1/x' }],
    ['DATA_DIR', { DATABASE_URL: 'postgres://127.0.0.1/x', DATA_DIR: 'x' }],
    ['WORKERS', { WORKERS: '0' }],
    ['WORKERS', { WORKERS: 'all' }],
    ['OPEN_WRITES', { OPEN_WRITES: 'yes' }],
    ['RATE_LIMIT', { RATE_LIMIT: '0' }],
    ['TRUST_PROXY', { TRUST_PROXY: 'true' }],
    ['LOG_LEVEL', { LOG_LEVEL: 'loud' }],
    ['ADMIN_TOKEN', { ADMIN_TOKEN: 'short' }],
    ['MCP_SERVERS', { MCP_SERVERS: 'memory,unknown' }],
    ['ALLOWED_COMMANDS', { ALLOWED_COMMANDS: 'sh' }],
    ['REGISTRY_CACHE_TOOLS_TTL', { REGISTRY_CACHE_TOOLS_TTL: 'soon' }],
    ['REDIS_URL', { REDIS_URL: 'http://127.0.0.1', DATABASE_URL: 'postgres://127.0.0.1/x' }],
  ]
  for (const [variable, env] of wrong) {
    it(`refuses ${JSON.stringify(env)} and names ${variable}`, () => {
      expect(() => readConfig(env)).to.throw(variable)
    })
  }

  it('leaves writes open only where nobody else can connect, unless it is told', () => {
    for (const HOST of ['127.0.0.1', '127.1.2.3', '::1', 'localhost'])
      expect(readConfig({ HOST }).openWrites).to.equal(true)
    for (const HOST of ['0.0.0.0', '::', '10.0.0.1', 'gateway.example', 'localhost.example', '127.example']) {
      expect(readConfig({ HOST }).openWrites, HOST).to.equal(false)
      expect(readConfig({ HOST, OPEN_WRITES: 'true' }).openWrites, HOST).to.equal(true)
    }
    expect(readConfig({ OPEN_WRITES: 'false' }).openWrites).to.equal(false)
  })

  it('lets several workers share a Redis without a DATABASE_URL, since they share the PGlite of their primary', () => {
    expect(readConfig({ WORKERS: '2', REDIS_URL: 'redis://127.0.0.1' })).to.include({ redisUrl: 'redis://127.0.0.1' })
  })

  it('takes an empty variable for none, but no MCP servers for an empty list of them', () => {
    const config = readConfig({ PORT: '', REDIS_URL: '', DATABASE_URL: '', MCP_SERVERS: '' })
    expect(config).to.deep.include({ PORT: 3000, HOST: '127.0.0.1', redisUrl: undefined, MCP_SERVERS: [] })
    expect(config).to.not.have.property('DATABASE_URL')
    expect(readConfig({}).MCP_SERVERS).to.have.length(4)
  })
})
