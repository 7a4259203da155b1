import { readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { entityTypes } from '../../examples/express-gateway/entities.ts'
import { federate } from '../../examples/express-gateway/mcp.ts'
import type { Answer } from '../helpers/http.ts'
import { until } from '../helpers/until.ts'
import { asAdmin, type Gateway, startGateway } from './gateway.ts'

interface Item {
  id: string
  name: string
  tags: string[]
  gateway_id: string | null
  [field: string]: unknown
}
interface Page {
  items: Item[]
  next_cursor: string | null
}

for (const engine of ['PGlite', 'PostgreSQL'] as const) {
  describe(`the example's API on ${engine}`, function () {
    this.timeout(30_000)

    let gateway: Gateway

    before(async function () {
      // PostgreSQL may have to be installed first.
      this.timeout(180_000)
      gateway = await startGateway(engine)
    })
    after(() => gateway?.stop())
    beforeEach(() => gateway.empty())

    const get = (path: string, headers = {}) => gateway.request({ path: `/v1/${path}`, headers })
    const send = (method: string, path: string, body?: unknown, headers = {}) =>
      gateway.request({ method, path: `/v1/${path}`, body, headers })
    const create = async (type: string, body: object, headers = {}): Promise<Item> => {
      const answer = await send('POST', type, body, headers)
      expect(answer.status, answer.text).to.equal(201)
      return answer.json<Item>()
    }
    const namesIn = (answer: Answer): string[] => answer.json<Page>().items.map(({ name }) => name)
    const list = async (path: string) => namesIn(await get(path))

    describe('cached lists', () => {
      for (const type of entityTypes) {
        it(`answers the second GET /v1/${type} from the cache, byte for byte`, async () => {
          const miss = await get(type)
          const hit = await get(type)
          expect([miss.status, hit.status]).to.deep.equal([200, 200])
          expect([miss.headers['x-cache'], hit.headers['x-cache']]).to.deep.equal(['MISS', 'HIT'])
          expect(hit.headers['cache-status']).to.match(/; hit/)
          expect(hit.body.equals(miss.body)).to.equal(true)
          expect(hit.headers.etag).to.equal(miss.headers.etag)
        })
      }

      it('shares one entry between the orders of the same parameters', async () => {
        await create('tools', { name: 'one', tags: ['a'] })
        const miss = await get('tools?limit=5&tags=a')
        const hit = await get('tools?tags=a&limit=5')
        expect([miss.headers['x-cache'], hit.headers['x-cache']]).to.deep.equal(['MISS', 'HIT'])
        expect(hit.body.equals(miss.body)).to.equal(true)
        expect(namesIn(hit)).to.deep.equal(['one'])
      })

      it('keeps an entry of its own for the admin, who sees more', async () => {
        await get('tools')
        expect((await get('tools', asAdmin)).headers['x-cache']).to.equal('MISS')
        expect((await get('tools', asAdmin)).headers['x-cache']).to.equal('HIT')
      })

      for (const method of ['PUT', 'PATCH', 'DELETE']) {
        it(`misses after a ${method}, and shows what it did`, async () => {
          const { id } = await create('tools', { name: 'before' })
          await get('tools')
          await get(`tools/${id}`)
          const written = await send(method, `tools/${id}`, method === 'DELETE' ? undefined : { name: 'after' })
          expect(written.status).to.equal(method === 'DELETE' ? 204 : 200)
          const next = await get('tools')
          expect(next.headers['x-cache']).to.equal('MISS')
          expect(namesIn(next)).to.deep.equal(method === 'DELETE' ? [] : ['after'])
          expect((await get(`tools/${id}`)).status).to.equal(method === 'DELETE' ? 404 : 200)
        })
      }

      it('keeps the entry when a write was refused', async () => {
        await get('tools')
        expect((await send('POST', 'tools', {})).status).to.equal(400)
        expect((await get('tools')).headers['x-cache']).to.equal('HIT')
      })

      it('leaves the types alone that do not depend on what was written', async () => {
        await Promise.all(['tools', 'prompts', 'servers'].map(get))
        await create('tools', { name: 'new' })
        const outcomes = await Promise.all(['tools', 'prompts', 'servers'].map(get))
        expect(outcomes.map(({ headers }) => headers['x-cache'])).to.deep.equal(['MISS', 'HIT', 'MISS'])
      })
    })

    describe('entities', () => {
      for (const type of entityTypes.filter((type) => type !== 'gateways')) {
        it(`creates, reads, replaces, patches and deletes ${type}`, async () => {
          const uri = type === 'resources' ? { uri: 'file:///notes.txt' } : {}
          const made = await send('POST', type, { name: 'first', description: 'A first one', tags: ['a'], ...uri })
          expect(made.status, made.text).to.equal(201)
          const { id } = made.json<Item>()
          expect(made.headers.location).to.equal(`/v1/${type}/${id}`)
          expect(made.json()).to.include({
            name: 'first',
            description: 'A first one',
            visibility: 'public',
            active: true,
          })
          expect((await get(`${type}/${id}`)).json()).to.deep.equal(made.json())

          const patched = await send('PATCH', `${type}/${id}`, { active: false })
          expect(patched.json()).to.deep.include({ id, name: 'first', tags: ['a'], active: false })
          const replaced = await send('PUT', `${type}/${id}`, { name: 'second', ...uri })
          expect(replaced.json()).to.deep.include({ id, name: 'second', description: '', tags: [], active: true })
          expect(await list(type)).to.deep.equal(['second'])

          expect((await send('DELETE', `${type}/${id}`)).status).to.equal(204)
          expect(await list(type)).to.deep.equal([])
        })
      }

      it('loses no change of two concurrent patches', async () => {
        const { id } = await create('tools', { name: 'one' })
        await Promise.all([
          send('PATCH', `tools/${id}`, { description: 'changed' }),
          send('PATCH', `tools/${id}`, { tags: ['changed'] }),
        ])
        expect((await get(`tools/${id}`)).json()).to.deep.include({ description: 'changed', tags: ['changed'] })
      })

      it('keeps what it was given: JSON Schema, quotes, any script', async () => {
        const body = {
          name: `it's "quoted" \\ 名前 🛠`,
          tags: ['a,b', '{"x"}', "o'clock"],
          input_schema: { type: 'object', properties: { $ref: { enum: [1, null, 'x'] } } },
        }
        const { id } = await create('tools', body)
        expect((await get(`tools/${id}`)).json()).to.deep.include(body)
      })
    })

    describe('filters', () => {
      it('lists by tags (any of them), visibility, search and whether it is active', async () => {
        await create('tools', { name: 'Plain' })
        await create('tools', { name: 'tagged', tags: ['a', 'b'], description: 'Reads 100% of a_file' })
        const { headers } = await gateway.key('red')
        await create('tools', { name: 'other', tags: ['c'] }, headers)
        await create('tools', { name: 'hidden', visibility: 'team' }, headers)
        await create('tools', { name: 'asleep', tags: ['a'], active: false })

        expect(await list('tools')).to.deep.equal(['other', 'tagged', 'Plain'])
        expect(await list('tools?tags=a')).to.deep.equal(['tagged'])
        expect(await list('tools?tags=c,b')).to.deep.equal(['other', 'tagged'])
        expect(await list('tools?tags=c&tags=b')).to.deep.equal(['other', 'tagged'])
        expect(await list('tools?tags=')).to.have.length(3)
        expect(await list('tools?tags=a&include_inactive=true')).to.deep.equal(['asleep', 'tagged'])
        expect(await list('tools?visibility=public')).to.have.length(3)
        expect(await list('tools?visibility=team')).to.deep.equal([])
        expect(namesIn(await get('tools?visibility=team', headers))).to.deep.equal(['hidden'])
        expect(await list('tools?search=PLAIN')).to.deep.equal(['Plain'])
        expect(await list('tools?search=100%25%20of%20a_')).to.deep.equal(['tagged'])
        expect(await list('tools?search=1_0')).to.deep.equal([])
        expect(await list(`tools?search=${encodeURIComponent("' or 1=1 --")}`)).to.deep.equal([])
        expect(await list('tools?gateway_id=none')).to.deep.equal([])
      })

      it('walks pages without repeating or skipping, while rows come and go', async () => {
        const made: Item[] = []
        for (let i = 1; i <= 7; i++) made.push(await create('prompts', { name: `p${i}` }))
        const first = (await get('prompts?limit=3')).json<Page>()
        expect(first.items.map(({ name }) => name)).to.deep.equal(['p7', 'p6', 'p5'])

        await create('prompts', { name: 'p8' })
        await send('DELETE', `prompts/${made[4]?.id}`)
        const second = (await get(`prompts?limit=3&cursor=${first.next_cursor}`)).json<Page>()
        expect(second.items.map(({ name }) => name)).to.deep.equal(['p4', 'p3', 'p2'])
        const third = (await get(`prompts?limit=3&cursor=${second.next_cursor}`)).json<Page>()
        expect(third.items.map(({ name }) => name)).to.deep.equal(['p1'])
        expect(third.next_cursor).to.equal(null)
      })

      it('names no next page when the last one is full', async () => {
        await create('prompts', { name: 'p1' })
        await create('prompts', { name: 'p2' })
        expect((await get('prompts?limit=2')).json<Page>().next_cursor).to.equal(null)
      })
    })

    describe('what it refuses', () => {
      const codeOf = (answer: Answer) => {
        const { error } = answer.json<{ error: { code: string; message: string } }>()
        expect(error.message).to.be.a('string').and.not.equal('')
        return [answer.status, error.code]
      }

      for (const query of [
        'limit=0',
        'limit=501',
        'limit=2.5',
        'limit=x',
        'limit=1&limit=2',
        'cursor=!',
        'cursor=MTIzeA',
        'include_inactive=yes',
        'visibility=secret',
        'search=',
        'search=%00',
        'page=2',
      ]) {
        it(`answers 400 to a list with ${query}`, async () => {
          expect(codeOf(await get(`tools?${query}`))).to.deep.equal([400, 'invalid_request'])
        })
      }

      const bodies: [what: string, body: unknown, code: string][] = [
        ['no name', { description: 'x' }, 'invalid_request'],
        ['a blank name', { name: '  ' }, 'invalid_request'],
        ['a field that does not exist', { name: 'x', tgas: [] }, 'invalid_request'],
        ['tags that are no list', { name: 'x', tags: 'a' }, 'invalid_request'],
        ['an id of its own', { name: 'x', id: '1' }, 'invalid_request'],
        ['a NUL', { name: 'x\u0000' }, 'invalid_request'],
        ['a gateway that does not exist', { name: 'x', gateway_id: 'none' }, 'unknown_gateway'],
        ['an array', [], 'invalid_request'],
        ['no body', undefined, 'invalid_request'],
        ['half a body', '{"name":', 'malformed_json'],
      ]
      for (const [what, body, code] of bodies) {
        it(`answers 400 to a POST with ${what}`, async () => {
          const headers = body === undefined ? {} : { 'content-type': 'application/json' }
          expect(codeOf(await send('POST', 'tools', body, headers))).to.deep.equal([400, code])
        })
      }

      it('answers 415 to a body that does not say that it is JSON', async () => {
        const body = JSON.stringify({ name: 'x' })
        for (const headers of [{}, { 'content-type': 'text/plain' }, { 'transfer-encoding': 'chunked' }]) {
          expect(codeOf(await send('POST', 'tools', body, headers))).to.deep.equal([415, 'unsupported_media_type'])
        }
      })

      it('answers 404 to what does not exist', async () => {
        for (const method of ['GET', 'PUT', 'PATCH', 'DELETE']) {
          const body = method === 'PUT' || method === 'PATCH' ? { name: 'x' } : undefined
          expect(codeOf(await send(method, 'tools/none', body)), method).to.deep.equal([404, 'not_found'])
        }
        expect(codeOf(await get('widgets'))).to.deep.equal([404, 'not_found'])
      })

      it('answers 400 to a path that does not decode', async () => {
        expect(codeOf(await get('tools/%zz'))).to.deep.equal([400, 'bad_request'])
      })

      it('answers 413 to a body that is too large', async () => {
        const body = { name: 'x', description: 'x'.repeat(300_000) }
        expect(codeOf(await send('POST', 'tools', body))).to.deep.equal([413, 'body_too_large'])
      })

      it('answers 409 to a name that exists, but takes it in another type', async () => {
        await create('tools', { name: 'same' })
        const other = await create('tools', { name: 'other' })
        await create('prompts', { name: 'same' })
        expect(codeOf(await send('POST', 'tools', { name: 'same' }))).to.deep.equal([409, 'already_exists'])
        expect(codeOf(await send('PATCH', `tools/${other.id}`, { name: 'same' }))).to.deep.equal([
          409,
          'already_exists',
        ])
      })

      it('answers 401 to a write to gateways without the admin token', async () => {
        const body = { name: 'memory', command: 'mcp-server-memory' }
        expect(codeOf(await send('POST', 'gateways', body))).to.deep.equal([401, 'admin_token_required'])
        const wrong = { authorization: `${asAdmin.authorization}x` }
        expect(codeOf(await send('POST', 'gateways', body, wrong))).to.deep.equal([401, 'invalid_credentials'])
        const { headers } = await gateway.key('red')
        expect(codeOf(await send('POST', 'gateways', body, headers))).to.deep.equal([401, 'admin_token_required'])
        expect((await send('DELETE', 'gateways/x')).status).to.equal(401)
      })

      it('answers 403 to a command that is not on the list', async () => {
        for (const command of ['sh', process.execPath, 'mcp-server-memory ', '../mcp-server-memory']) {
          const answer = await send('POST', 'gateways', { name: 'x', command }, asAdmin)
          expect(codeOf(answer), command).to.deep.equal([403, 'command_not_allowed'])
        }
      })

      it('answers 502 when the MCP server does not start, and stores nothing', async () => {
        const body = { name: 'x', command: 'mcp-server-filesystem', args: ['/does/not/exist'] }
        expect(codeOf(await send('POST', 'gateways', body, asAdmin))).to.deep.equal([502, 'mcp_server_failed'])
        expect(await list('gateways')).to.deep.equal([])
      })
    })

    describe('federation', () => {
      const memory = { name: 'memory', command: 'mcp-server-memory', tags: ['storage'] }

      it('registers a real MCP server with its tools and resources, and deleting it removes them all', async () => {
        const types = ['gateways', 'tools', 'prompts', 'resources', 'servers', 'catalog']
        await create('tools', { name: 'by hand' })
        await Promise.all(types.map(get))

        const made = await send('POST', 'gateways', memory, asAdmin)
        expect(made.status, made.text).to.equal(201)
        const { id, registered } = made.json<Item & { registered: Record<string, number> }>()
        expect(registered).to.include({ resources: 1, servers: 1 })
        await create('catalog', { name: 'an offer', gateway_id: id })

        const tools = await get('tools?limit=500')
        expect(namesIn(tools)).to.include.members(['by hand', 'create_entities', 'read_graph'])
        const graph = tools.json<Page>().items.find(({ name }) => name === 'create_entities')
        expect(graph).to.deep.include({ gateway_id: id, tags: ['storage'] })
        expect(graph?.input_schema).to.have.nested.property('properties.entities')
        expect(await list(`tools?gateway_id=${id}`)).to.have.length(registered.tools ?? 0)
        expect((await get('resources')).json<Page>().items[0]).to.include({ uri: 'memory://knowledge-graph' })
        expect(await list('servers')).to.deep.equal(['memory-server'])
        await Promise.all(types.map(get))

        expect((await send('DELETE', `gateways/${id}`, undefined, asAdmin)).status).to.equal(204)
        for (const type of types) {
          const next = await get(type)
          expect(next.headers['x-cache'], type).to.equal('MISS')
          expect(namesIn(next), type).to.deep.equal(type === 'tools' ? ['by hand'] : [])
        }
      })

      it('refuses a gateway whose name exists', async () => {
        expect((await send('POST', 'gateways', memory, asAdmin)).status).to.equal(201)
        expect((await send('POST', 'gateways', memory, asAdmin)).status).to.equal(409)
        expect(await list('servers')).to.have.length(1)
      })

      it('lets its description be changed, but not its command', async () => {
        const { id } = (await send('POST', 'gateways', memory, asAdmin)).json<Item>()
        const replaced = await send('PUT', `gateways/${id}`, { name: 'memory', description: 'changed' }, asAdmin)
        expect(replaced.json()).to.include({ description: 'changed', command: 'mcp-server-memory' })
        const refused = await send('PATCH', `gateways/${id}`, { command: 'sh' }, asAdmin)
        expect(refused.status).to.equal(400)
      })

      if (engine === 'PGlite') {
        it('ends a server that does not answer, even one that ignores SIGTERM', async () => {
          const pidFile = join(tmpdir(), `silent-server-${process.pid}`)
          const script = `require('fs').writeFileSync(${JSON.stringify(pidFile)}, String(process.pid))
            process.on('SIGTERM', () => {}); setInterval(() => {}, 1000)`
          const signal = new AbortController().signal
          const federation = { db: gateway.db, allowedCommands: [process.execPath], timeoutMs: 400, signal }
          try {
            const failure = await federate(federation, {
              name: 'silent',
              command: process.execPath,
              args: ['-e', script],
            }).catch((error: Error) => error)
            expect(failure).to.have.property('message', 'no answer within 0.4 s')
            const pid = Number(readFileSync(pidFile, 'utf8'))
            await until(() => !isAlive(pid), { deadlineMs: 1_000, describe: 'the silent server to be gone' })
          } finally {
            rmSync(pidFile, { force: true })
          }
        })
      }
    })
  })
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
