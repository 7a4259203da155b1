/*
 * The program as it comes out of the tarball, beside the Redis client that the user has installed, or has not.
 */
import { execFile } from 'node:child_process'
import {
  constants,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { type RedisServer, startRedis } from '../helpers/redis-server.ts'
import { buildProgram, type Ended, run } from './program.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const exec = promisify(execFile)
const bounds = { timeout: 40_000, killSignal: 'SIGKILL' } as const

describe('The program of the packed tarball', function () {
  this.timeout(60_000)
  let folder: string
  let main: string
  let server: RedisServer

  before(async () => {
    folder = realpathSync(mkdtempSync(join(tmpdir(), 'packed-cli-')))
    await buildProgram()
    await exec('npm', ['pack', '--ignore-scripts', '--loglevel=error', '--pack-destination', folder], {
      cwd: root,
      ...bounds,
    })
    await exec('tar', ['-xzf', readdirSync(folder)[0] ?? ''], { cwd: folder, ...bounds })
    // As npx keeps it: with its dependencies, and without optional peers.
    const modules = join(folder, 'npx', 'node_modules')
    mkdirSync(modules, { recursive: true })
    renameSync(join(folder, 'package'), join(modules, 'express-registry-cache'))
    for (const name of ['fast-json-stable-stringify', 'lru-cache']) link(name, modules)
    main = join(modules, 'express-registry-cache', 'dist', 'cli', 'main.cjs')
    for (const place of [modules, join(folder, 'empty', 'node_modules')]) hideClients(place)
    server = await startRedis()
  })
  after(async () => {
    await server?.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  /** A machine may have clients in a folder further up: packages that export nothing stand before them. */
  function hideClients(modules: string): void {
    for (const name of ['ioredis', 'iovalkey']) {
      mkdirSync(join(modules, name), { recursive: true })
      writeFileSync(join(modules, name, 'package.json'), JSON.stringify({ name, version: '0.0.0', exports: {} }))
    }
  }

  function link(name: string, modules: string): void {
    mkdirSync(modules, { recursive: true })
    symlinkSync(realpathSync(join(root, 'node_modules', name)), join(modules, name))
  }

  function invalidate(cwd: string): Promise<Ended> {
    return run(['invalidate', 'agents'], { main, cwd: join(folder, cwd), env: { REDIS_URL: server.url } })
  }

  it('is executable, and runs by its first line', async () => {
    expect(statSync(main).mode & constants.S_IXUSR).to.not.equal(0)
    expect((await exec(main, ['--version'], bounds)).stdout).to.match(/^\d+\.\d+\.\d+\S*\n$/)
  })

  it('says what to install where there is no Redis client', async () => {
    expect(await invalidate('empty')).to.deep.equal({
      code: 1,
      out: '',
      err: 'express-registry-cache: a Redis client is needed and none is installed: npm install ioredis\n',
    })
  })

  for (const client of ['ioredis', 'ioredis5', 'iovalkey']) {
    it(`takes the application's ${client}, in whose folder it is run`, async () => {
      const modules = join(folder, client, 'node_modules')
      mkdirSync(modules, { recursive: true })
      symlinkSync(realpathSync(join(root, 'node_modules', client)), join(modules, client.replace('5', '')))
      expect(await invalidate(client)).to.deep.equal({
        code: 0,
        out: 'invalidated: registry:agents, registry:tools, registry:servers\n',
        err: '',
      })
    })
  }

  it('takes the client that is installed beside it', async () => {
    const modules = join(folder, 'npx', 'node_modules')
    rmSync(join(modules, 'ioredis'), { recursive: true })
    link('ioredis', modules)
    expect((await invalidate('empty')).code).to.equal(0)
  })
})
