/**
 * Runs the packed tarball, installed by npm, on the versions of everything that it claims to work with: Node, Express, Redis clients,
 * servers, module styles and NestJS.
 *
 *   node scripts/matrix.js           all of it; prints the tables and writes docs/compatibility.md
 *   node scripts/matrix.js --quick   on the running Node alone; writes nothing
 *
 * A cell is two workers of an application (test/packaging/apps/worker-*) over one Redis: see matrix-cell.js. What the registry or the
 * machine does not have is said, not passed over. Fails when a cell fails, or when a version of Node could not be had.
 */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { runCell } from './matrix-cell.js'
import { page, table } from './matrix-report.js'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const isQuick = process.argv.includes('--quick')
const folder = mkdtempSync(join(tmpdir(), 'matrix-'))

/** The oldest that engines takes on, then the newest of each. */
const nodes = isQuick ? [] : ['20.19.0', '20', '22', '24', '26']
const clients = { 'ioredis 5': ['ioredis', '^5'], 'ioredis 6': ['ioredis', '^6'], iovalkey: ['iovalkey', '^0.4'] }
const expresses = { 4: '^4', 5: '^5' }
const newest = { express: '5', client: 'ioredis 6' }

/** What is installed together; `styles` are the applications that are run on it. */
const layouts = [
  ...Object.entries(expresses).flatMap(([express, range]) =>
    Object.entries(clients).map(([client, [name, version]]) => ({
      title: `Express ${express}, ${client}`,
      styles:
        !isQuick || (express === newest.express && client === newest.client)
          ? ['js-esm', 'js-cjs', 'ts-esm', 'ts-cjs']
          : ['js-esm'],
      client: name,
      packages: { express: range, [name]: version, '@types/express': range, '@types/node': '^22' },
    })),
  ),
  {
    title: 'the oldest: Express 4.18.0, ioredis 5.4.0',
    styles: isQuick ? [] : ['js-esm', 'js-cjs'],
    client: 'ioredis',
    packages: { express: '4.18.0', ioredis: '5.4.0' },
  },
  {
    title: 'NestJS on Express 5, ioredis 6',
    styles: isQuick ? [] : ['nest'],
    client: 'ioredis',
    packages: {
      '@nestjs/common': '*',
      '@nestjs/core': '*',
      '@nestjs/platform-express': '*',
      express: '^5',
      ioredis: '^6',
      'reflect-metadata': '*',
      rxjs: '^7',
      '@types/node': '^22',
    },
  },
].filter(({ styles }) => styles.length > 0)

const sources = { 'ts-esm': 'worker-ts', 'ts-cjs': 'worker-ts', nest: 'worker-nest' }

async function succeed(cwd, command, ...args) {
  try {
    return (await promisify(execFile)(command, args, { cwd, timeout: 300_000, killSignal: 'SIGKILL' })).stdout.trim()
  } catch (error) {
    throw new Error(`${command} ${args.join(' ')} failed:\n${error.stdout ?? ''}${error.stderr || error.message}`)
  }
}

async function pack() {
  await succeed(root, process.execPath, join('scripts', 'build.js'), '--if-needed')
  await succeed(root, 'npm', 'pack', '--ignore-scripts', '--loglevel=error', '--pack-destination', folder)
  return join(
    folder,
    readdirSync(folder).find((name) => name.endsWith('.tgz')),
  )
}

/** The applications of a layout, installed and compiled, with the versions that npm chose. */
async function install(layout, tarball) {
  const to = join(folder, layout.title.replace(/\W+/g, '-'))
  mkdirSync(to)
  const dependencies = { ...layout.packages, 'express-registry-cache': `file:${tarball}` }
  writeFileSync(join(to, 'package.json'), JSON.stringify({ private: true, dependencies }))
  await succeed(to, 'npm', 'install', '--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error')
  for (const style of layout.styles) {
    const app = join(to, style)
    cpSync(join(root, 'test', 'packaging', 'apps', sources[style] ?? `worker-${style}`), app, { recursive: true })
    if (style.startsWith('ts-'))
      writeFileSync(join(app, 'package.json'), `{"type":"${style === 'ts-cjs' ? 'commonjs' : 'module'}"}`)
    for (const name of readdirSync(app).filter((each) => each.startsWith('worker.'))) {
      const text = readFileSync(join(app, name), 'utf8')
      writeFileSync(join(app, name), text.replace(/'ioredis'/g, `'${layout.client}'`))
    }
    const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
    if (existsSync(join(app, 'tsconfig.json'))) await succeed(app, process.execPath, tsc, '-p', '.')
  }
  const versions = Object.keys(layout.packages)
    .filter((name) => !name.startsWith('@types/') && !['rxjs', 'reflect-metadata', '@nestjs/common'].includes(name))
    .map((name) => [name, JSON.parse(readFileSync(join(to, 'node_modules', name, 'package.json'), 'utf8')).version])
  return { ...layout, folder: to, versions: Object.fromEntries(versions) }
}

/** A Node of that version from the npm registry, or why there is none. */
async function node(version) {
  try {
    const path = await succeed(folder, 'npx', '-y', `node@${version}`, '-p', 'process.execPath')
    return { path, version: await succeed(folder, path, '-p', 'process.version') }
  } catch (error) {
    // The page names no host, so what npm says of it stays on the screen.
    console.error(error.message)
    return { version, problem: 'npx did not get it from the registry' }
  }
}

const inPath = (name) =>
  (process.env.PATH ?? '')
    .split(delimiter)
    .map((each) => join(each, name))
    .find((path) => existsSync(path))

/** A server that the tests' helper starts: it finds, or installs, the binary. */
async function startServer(env = {}) {
  const script = `
    import { startRedis } from './test/helpers/redis-server.ts'
    const server = await startRedis()
    const info = String(await server.command('INFO', 'server'))
    const find = (name) => new RegExp('^' + name + ':(.*?)\\\\r?$', 'm').exec(info)?.[1]
    const valkey = find('valkey_version')
    console.log(JSON.stringify({ url: server.url, title: valkey ? 'Valkey ' + valkey : 'Redis ' + find('redis_version') }))
    process.stdin.resume().once('end', () => server.stop())`
  const args = ['--import', 'ts-blank-space/register', '--input-type=module', '-e', script]
  const child = spawn(process.execPath, args, { cwd: root, env: { ...process.env, ...env }, stdio: 'pipe' })
  child.stderr.pipe(process.stderr)
  for await (const line of createInterface(child.stdout)) return { ...JSON.parse(line), child }
  throw new Error('the server did not start')
}

/** Ends by itself when it is let go of, and its server with it. */
async function stopServer({ child }) {
  const exited = once(child, 'exit')
  child.stdin.end()
  await exited
}

async function startServers() {
  const valkey = process.env.VALKEY_SERVER_BIN ?? inPath('valkey-server')
  const servers = [await startServer()]
  if (valkey !== undefined && !isQuick) servers.push(await startServer({ REDIS_SERVER_BIN: valkey }))
  return servers
}

async function main() {
  const startedAt = performance.now()
  const tarball = await pack()
  const servers = await startServers()
  try {
    const running = { path: process.execPath, version: process.version }
    const runtimes = isQuick ? [running] : await Promise.all(nodes.map(node))
    const installed = []
    for (const layout of layouts) installed.push(await install(layout, tarball))
    const results = []
    for (const server of servers) {
      for (const layout of installed) {
        for (const runtime of runtimes.filter(({ problem }) => problem === undefined)) {
          for (const style of layout.styles) {
            const problem = await runCell(runtime.path, join(layout.folder, style, 'worker.js'), server.url)
            results.push({
              server: server.title,
              layout: layout.title,
              node: runtime.version,
              style,
              problem: problem?.replaceAll(folder, ''),
            })
            if (problem !== undefined)
              console.error(`${server.title}, ${layout.title}, Node ${runtime.version}, ${style}: ${problem}`)
          }
        }
      }
    }
    const outcome = { results, runtimes, layouts: installed, servers: servers.map(({ title }) => title) }
    console.log(table(outcome))
    const failed = results.filter(({ problem }) => problem !== undefined).length
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(0)
    console.log(`${results.length - failed} of ${results.length} passed in ${seconds} s`)
    if (!isQuick) writeFileSync(join(root, 'docs', 'compatibility.md'), page(outcome))
    if (failed > 0 || runtimes.some(({ problem }) => problem !== undefined)) process.exitCode = 1
  } finally {
    await Promise.all(servers.map(stopServer))
  }
}

try {
  await main()
} finally {
  rmSync(folder, { recursive: true, force: true })
}
