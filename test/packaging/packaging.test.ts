/*
 * The tarball as users get it: packed, unpacked into small applications of every module style, type-checked strictly, and run. None of
 * them has ioredis installed. Dependencies are links into this project's node_modules, so nothing is downloaded.
 */
import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect } from 'chai'

const root = fileURLToPath(new URL('../..', import.meta.url))
const apps = fileURLToPath(new URL('./apps', import.meta.url))
const modules = join(root, 'node_modules')
const tsc = join(modules, 'typescript', 'bin', 'tsc')

/** The oldest TypeScript that is at hand: the one that attw judges with. */
const olderTsc = join(
  dirname(createRequire(createRequire(import.meta.url).resolve('@arethetypeswrong/core')).resolve('typescript')),
  'tsc.js',
)

interface InstallOptions {
  /** Folder name; default: the application's. */
  readonly name?: string
  /** Redis clients to install beside it; default: none. */
  readonly clients?: readonly string[]
}

interface Output {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program to its end, which must come by itself. */
async function run(cwd: string, command: string, ...args: string[]): Promise<Output> {
  try {
    const { stdout, stderr } = await promisify(execFile)(command, args, { cwd, timeout: 40_000, killSignal: 'SIGKILL' })
    return { code: 0, stdout, stderr }
  } catch (error) {
    const { code, stdout, stderr, message } = error as {
      code?: number
      stdout?: string
      stderr?: string
      message: string
    }
    return { code: code ?? -1, stdout: stdout ?? '', stderr: stderr || message }
  }
}

async function succeed(cwd: string, command: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(cwd, command, ...args)
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}:\n${stdout}${stderr}`)
  return stdout
}

/** A list route, read twice, written to, read twice. */
function expectCached(stdout: string): void {
  const seen = JSON.parse(stdout) as string[]
  expect(seen.filter((line) => line.startsWith('GET'))).to.deep.equal([
    'GET MISS {"names":["first"]}',
    'GET HIT {"names":["first"]}',
    'GET MISS {"names":["first","second"]}',
    'GET HIT {"names":["first","second"]}',
  ])
}

describe('the packed tarball', function () {
  this.timeout(60_000)
  let folder: string
  let unpacked: string

  before(async () => {
    folder = realpathSync(mkdtempSync(join(tmpdir(), 'packaging-')))
    await succeed(root, process.execPath, join('scripts', 'build.js'), '--if-needed')
    await succeed(root, 'npm', 'pack', '--ignore-scripts', '--loglevel=error', '--pack-destination', folder)
    const [tarball] = readdirSync(folder)
    if (tarball === undefined) throw new Error('npm packed nothing')
    await succeed(folder, 'tar', '-xzf', tarball)
    unpacked = join(folder, 'package')
  })

  after(() => rmSync(folder, { recursive: true, force: true }))

  /** An application of its own with the package as npm would lay it out, on the given Express. */
  function install(app: string, express: 'express4' | 'express', options: InstallOptions = {}): string {
    const { name = app, clients = [] } = options
    const to = join(folder, name)
    cpSync(join(apps, app), to, { recursive: true })
    mkdirSync(join(to, 'node_modules', '@types'), { recursive: true })
    cpSync(unpacked, join(to, 'node_modules', 'express-registry-cache'), { recursive: true })
    const { dependencies } = JSON.parse(readFileSync(join(unpacked, 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>
    }
    const links: [string, string][] = [...Object.keys(dependencies), ...clients].map((each) => [each, each])
    links.push(['express', express], ['@types/express', `@types/${express}`], ['@types/node', '@types/node'])
    for (const [link, source] of links) symlinkSync(realpathSync(join(modules, source)), join(to, 'node_modules', link))
    return to
  }

  it('caches in a JavaScript module, on Express 5', async () => {
    expectCached(await succeed(install('js-esm', 'express'), process.execPath, 'main.js'))
  })

  it('caches in a CommonJS script, on Express 4', async () => {
    expectCached(await succeed(install('js-cjs', 'express4'), process.execPath, 'main.js'))
  })

  it('shares the default cache between two installed copies', async () => {
    const app = install('js-mixed', 'express')
    cpSync(unpacked, join(app, 'node_modules', 'express-registry-cache-again'), { recursive: true })
    expectCached(await succeed(app, process.execPath, 'main.js'))
  })

  it('is one copy for modules and CommonJS scripts: what one throws is an instance of what the other exports', async () => {
    const app = install('js-mixed', 'express', { name: 'one-copy' })
    const script = `
      import { createRequire } from 'node:module'
      import { createRegistryCache, OptionError } from 'express-registry-cache'
      const required = createRequire(import.meta.url)('express-registry-cache')
      try {
        required.createRegistryCache({ nonsense: 1 })
      } catch (error) {
        console.log(error instanceof OptionError, required.createRegistryCache === createRegistryCache)
      }`
    expect(await succeed(app, process.execPath, '--input-type=module', '-e', script)).to.equal('true true\n')
  })

  it('has stack traces that name functions and classes, at lines that can be read', async () => {
    const app = install('js-cjs', 'express', { name: 'stack-traces' })
    const script = `
      const { createRegistryCache } = require('express-registry-cache')
      try {
        createRegistryCache({ types: { tools: { ttl: -1 } } })
      } catch (error) {
        console.log(error.stack)
      }
      console.log(createRegistryCache().middleware({ type: 'tools' }).constructor.name, createRegistryCache().constructor.name)`
    const output = await succeed(app, process.execPath, '--input-type=commonjs', '-e', script)
    expect(output).to.match(/^OptionError: /)
    expect(output).to.match(/ at (Object\.)?resolveOptions \(.*dist\/[\w-]+\.cjs:\d+:\d{1,3}\)/)
    expect(output).to.match(/ at new RegistryCache\w* \(/)
  })

  it('compiles strictly and caches in a TypeScript module, on Express 5', async () => {
    const app = install('ts-esm', 'express')
    await succeed(app, process.execPath, tsc, '-p', '.')
    expectCached(await succeed(app, process.execPath, join('out', 'main.js')))
  })

  it('compiles strictly and caches in a TypeScript CommonJS script, on Express 4', async () => {
    const app = install('ts-cjs', 'express4')
    await succeed(app, process.execPath, tsc, '-p', '.')
    expectCached(await succeed(app, process.execPath, join('out', 'main.js')))
  })

  for (const kind of ['module', 'commonjs']) {
    it(`serves the dashboard with all that its page loads, from a ${kind} script`, async () => {
      const app = install(kind === 'module' ? 'js-esm' : 'js-cjs', 'express', { name: `dashboard-${kind}` })
      const load = (name: string): string => (kind === 'module' ? `await import('${name}')` : `require('${name}')`)
      const script = `
        const { createServer } = ${load('node:http')}
        const { createRegistryCache } = ${load('express-registry-cache')}
        const { cacheDashboard } = ${load('express-registry-cache/dashboard')}
        const server = createServer(cacheDashboard(createRegistryCache(), { authorize: 'local' }))
        server.listen(0, '127.0.0.1', look)
        async function look() {
          const base = 'http://127.0.0.1:' + server.address().port + '/'
          const seen = []
          const get = async (path) => {
            const answer = await fetch(base + path)
            seen.push(answer.status + ' ' + answer.headers.get('content-type').split(';')[0] + ' ' + path)
            return await answer.text()
          }
          const html = await get('')
          for (const [, path] of html.matchAll(/(?:src|href)="([^":#]+)"/g)) await get(path)
          await get('vendor/uplot-license.txt')
          await get('api/snapshot')
          console.log(JSON.stringify(seen))
          server.close()
          server.closeAllConnections()
        }`
      const seen = JSON.parse(await succeed(app, process.execPath, `--input-type=${kind}`, '-e', script)) as string[]
      expect(seen.filter((line) => !line.startsWith('200 '))).to.deep.equal([])
      expect(seen).to.include('200 text/html ').and.include('200 text/plain vendor/uplot-license.txt')
      expect(seen.filter((line) => line.startsWith('200 text/javascript '))).not.to.have.lengthOf(0)
      expect(seen.filter((line) => line.startsWith('200 text/css '))).not.to.have.lengthOf(0)
    })
  }

  it('has declarations that an older TypeScript accepts', async () => {
    const projects = [
      install('ts-esm', 'express', { name: 'older-esm' }),
      install('ts-cjs', 'express4', { name: 'older-cjs' }),
    ]
    await Promise.all(projects.map((app) => succeed(app, process.execPath, olderTsc, '-p', '.', '--noEmit')))
  })

  it('accepts the clients of ioredis 5 and 6 and of iovalkey by their own types', async () => {
    const app = install('ts-clients', 'express', { clients: ['ioredis', 'ioredis5', 'iovalkey'] })
    await succeed(app, process.execPath, tsc, '-p', '.')
  })

  it('has declarations with docstrings, and code without comments', () => {
    const text = (name: string) => readFileSync(join(unpacked, 'dist', name), 'utf8')
    expect(text('types.d.cts')).to.match(/\/\*\*\s+\* Who may share an entry/)
    expect(text('registry-cache.cjs')).not.to.match(/^\s*\/[/*]/m)
  })

  it('names neither Express nor ioredis in its declarations', () => {
    const declarations = readdirSync(join(unpacked, 'dist'), { recursive: true, encoding: 'utf8' })
      .filter((name) => /\.d\.c?ts$/.test(name))
      .map((name) => readFileSync(join(unpacked, 'dist', name), 'utf8'))
    expect(declarations).not.to.have.lengthOf(0)
    for (const text of declarations) expect(text).not.to.match(/(from|import\()\s*['"](express|ioredis|iovalkey)['"/]/)
  })
})
