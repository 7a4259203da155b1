/*
 * A real PostgreSQL server of the test's own: its binaries found or installed, its data in a temporary folder, on a free
 * loopback port, gone with everything at the end. fsync is off: what a crash would lose is of no interest.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { freePort } from '../helpers/ports.ts'
import { track } from '../helpers/tracked.ts'

export interface PostgresServer {
  /** `postgres://…` with an empty database. */
  readonly url: string
  /** Ends the server and removes its data. Idempotent. */
  stop(): Promise<void>
}

/** Rejects with one line when there is no PostgreSQL and none can be installed. */
export async function startPostgres(): Promise<PostgresServer> {
  const binaries = findBinaries() ?? installBinaries()
  const folder = mkdtempSync(join(tmpdir(), 'postgres-test-'))
  const identity = unprivileged()
  if (identity) chownSync(folder, identity.uid, identity.gid)
  const data = join(folder, 'data')
  const environment = {
    ...identity,
    cwd: folder,
    env: { PATH: process.env.PATH, HOME: folder, LC_ALL: 'C', TZ: 'UTC' },
  }
  const removeFolder = () => rmSync(folder, { recursive: true, force: true })
  try {
    execFileSync(
      join(binaries, 'initdb'),
      ['--pgdata', data, '--username', 'gateway', '--auth', 'trust', '--encoding', 'UTF8', '--no-locale', '--no-sync'],
      { ...environment, stdio: ['ignore', 'ignore', 'pipe'] },
    )
    let server: ChildProcess | undefined
    const port = await freePort(async (candidate) => {
      const settings = [
        'listen_addresses=127.0.0.1',
        `port=${candidate}`,
        'unix_socket_directories=',
        'fsync=off',
        'synchronous_commit=off',
        'full_page_writes=off',
        'shared_buffers=16MB',
        'max_connections=50',
      ]
      const child = spawn(join(binaries, 'postgres'), ['-D', data, ...settings.flatMap((setting) => ['-c', setting])], {
        ...environment,
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      const untrack = track(`PostgreSQL on port ${candidate}`, () => {
        child.kill('SIGQUIT')
        removeFolder()
      })
      child.once('exit', untrack)
      const isReady = await becomesReady(child)
      if (isReady) server = child
      return isReady
    })
    let stopping: Promise<void> | undefined
    return {
      url: `postgres://gateway@127.0.0.1:${port}/postgres`,
      stop() {
        stopping ??= end(server).finally(removeFolder)
        return stopping
      },
    }
  } catch (error) {
    removeFolder()
    throw error
  }
}

/** False when its port is taken; rejects when it ends for another reason. */
async function becomesReady(child: ChildProcess): Promise<boolean> {
  let log = ''
  return await new Promise<boolean>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => {
      if (log.includes('could not bind')) resolve(false)
      else reject(new Error(`postgres ended with ${code}: ${log.trim()}`))
    })
    // Read on after it is ready, or the pipe fills and the server stops writing its log, and then everything.
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      if (log.length < 10_000) log += text
      if (log.includes('ready to accept connections')) resolve(true)
    })
  })
}

async function end(child: ChildProcess | undefined): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  // The fast shutdown: connections are ended, nothing is waited for.
  child.kill('SIGINT')
  await gone
}

/** The server refuses to run as root. */
function unprivileged(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined
  const user = spawnSync('id', ['-u', 'postgres']).status === 0 ? 'postgres' : 'nobody'
  const idOf = (flag: string) => Number(execFileSync('id', [flag, user], { encoding: 'utf8' }))
  return { uid: idOf('-u'), gid: idOf('-g') }
}

function findBinaries(): string | undefined {
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : []
  const onPath = (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, 'initdb'))
  return [
    ...versions.map((version) => join(debian, version, 'bin')),
    // A link on the PATH may lead to a folder that has both programs.
    ...onPath.filter((file) => existsSync(file)).map((file) => dirname(realpathSync(file))),
  ].find((folder) => existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'postgres')))
}

function installBinaries(): string {
  const isDebian = existsSync('/etc/debian_version')
  if (isDebian && process.getuid?.() === 0) {
    // Only the programs: without this file the package makes a database cluster and starts it.
    const settings = '/etc/postgresql-common/createcluster.conf'
    if (!existsSync(settings)) {
      mkdirSync(dirname(settings), { recursive: true })
      writeFileSync(settings, 'create_main_cluster = false\n')
    }
    const aptGet = (...args: string[]) =>
      spawnSync('apt-get', args, { stdio: 'ignore', env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } })
    const install = () => aptGet('install', '-y', '--no-install-recommends', 'postgresql')
    if (install().status !== 0) {
      aptGet('update')
      install()
    }
  }
  const found = findBinaries()
  if (found) return found
  const how = isDebian
    ? 'run as root: apt-get install postgresql'
    : 'install PostgreSQL 15 or later and put initdb on the PATH'
  throw new Error(`these tests need a PostgreSQL server: ${how}`)
}
