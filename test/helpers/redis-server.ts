/*
 * Real redis-servers for tests: on free loopback ports, without persistence, in temporary folders. They can be frozen, killed and started
 * again on the same port. Sentinels and clusters are in redis-topologies.ts.
 *
 * The binary is looked for when this file is imported, before any test's time limit runs: REDIS_SERVER_BIN, then PATH, then, as root on
 * Debian, it is installed. What is not there throws one line that says how to get it.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis, type RedisOptions } from 'ioredis'
import { freePort } from './ports.ts'
import { fail, inPath, installFromDebian, isExecutable } from './programs.ts'
import { track } from './tracked.ts'
import { until } from './until.ts'

export interface StartOptions {
  /** Further command line arguments, as in `['--maxmemory', '4mb']`. */
  args?: readonly string[]
  /** Default: a free one. */
  port?: number
}

/** What `new Redis()` takes. */
export type ClientOptions = Omit<RedisOptions, 'replyMapping'>

export interface RedisServer {
  readonly port: number
  /** `redis://127.0.0.1:PORT` */
  readonly url: string
  /** Of the process that runs now; another one after a restart. */
  readonly pid: number
  /** Its temporary folder. */
  readonly dir: string
  readonly isRunning: boolean
  /** An ioredis 6 client of this server; `stop()` disconnects it. Its connection errors are nobody's concern and stay silent. */
  client(options?: ClientOptions): Redis
  /** Sends one command on a connection of its own and resolves to the reply. */
  command(name: string, ...parts: string[]): Promise<unknown>
  /** CONFIG SET, name by name. */
  config(settings: Readonly<Record<string, string>>): Promise<void>
  /** SIGSTOP: sockets stay open, nothing is answered. */
  freeze(): void
  /** SIGCONT: what came in meanwhile is answered now. */
  thaw(): void
  /** SIGKILL; resolves when the process is gone. The port stays reserved for `restart`. */
  kill(): Promise<void>
  /** The same port and arguments again. `empty: false` saves first and loads what was saved (the server must be running). Default: empty. */
  restart(options?: { empty?: boolean }): Promise<void>
  /** Ends the process, its clients and its folder. Idempotent. */
  stop(): Promise<void>
}

interface Binary {
  readonly path: string
  /** What the binary is to believe it is called; Debian's redis-check-rdb is the server under another name. */
  readonly argv0: string
}

const binary = locateBinary()

/** The binary, for programs that start a server by themselves; it goes by its name, so link to it as `redis-server`. */
export const redisServerBinary: string = binary.path

function locateBinary(): Binary {
  const named = process.env.REDIS_SERVER_BIN
  if (named !== undefined && named !== '') {
    if (!isExecutable(named)) fail(`REDIS_SERVER_BIN is ${named}, which is no executable file`)
    return { path: named, argv0: named }
  }
  const found = inPath('redis-server') ?? inPath('valkey-server')
  if (found !== undefined) return { path: found, argv0: found }
  return (
    installBinary() ??
    fail('redis-server not found: `apt-get install redis-server` or set REDIS_SERVER_BIN to its path')
  )
}

/** Debian's redis-tools holds the server's binary without the package that would start a service. */
function installBinary(): Binary | undefined {
  if (!installFromDebian('redis-tools', 'redis-server not found')) return undefined
  const path = inPath('redis-check-rdb')
  return path === undefined ? undefined : { path, argv0: 'redis-server' }
}

/** Starts a redis-server and resolves once it answers. Without `port`, on a free one. */
export async function startRedis(options: StartOptions = {}): Promise<RedisServer> {
  const { args = [], port } = options
  const quiet = ['--save', '', '--appendonly', 'no', '--bind', '127.0.0.1', '--protected-mode', 'no', '--logfile', '']
  return await startProcess((candidate, dir) => ['--port', `${candidate}`, '--dir', dir, ...quiet, ...args], port)
}

/** The whole command line, for a port and the server's own folder; asked again at a restart. */
export type CommandLine = (port: number, dir: string) => readonly string[]

/** `startRedis` for whoever needs another command line altogether, as a Sentinel does. */
export async function startProcess(commandLine: CommandLine, fixedPort?: number): Promise<RedisServer> {
  const dir = mkdtempSync(join(tmpdir(), 'redis-test-'))
  try {
    let child: ChildProcess | undefined
    const tryPort = async (port: number): Promise<boolean> => {
      child = await launch(port, commandLine(port, dir))
      return child !== undefined
    }
    let port = fixedPort
    if (port === undefined) port = await freePort(tryPort)
    else await tryPort(port)
    if (child === undefined) throw new Error(`port ${port} is taken`)
    return serverOf(child, port, dir, commandLine)
  } catch (error) {
    rmSync(dir, { recursive: true, force: true })
    throw error
  }
}

function serverOf(first: ChildProcess, port: number, dir: string, commandLine: CommandLine): RedisServer {
  let child = first
  let isStopped = false
  const clients = new Set<Redis>()
  const password = passwordIn(commandLine(port, dir))
  const address = { port, host: '127.0.0.1', ...(password === undefined ? {} : { password }) }
  const gone = track(`redis-server on port ${port}`, () => {
    child.kill('SIGKILL')
    rmSync(dir, { recursive: true, force: true })
  })

  async function command(name: string, ...parts: string[]): Promise<unknown> {
    const client = new Redis({ ...address, retryStrategy: () => null })
    client.on('error', () => {})
    try {
      return await client.call(name, ...parts)
    } finally {
      client.disconnect()
    }
  }

  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    dir,
    get pid() {
      return pidOf(child)
    },
    get isRunning() {
      return !hasExited(child)
    },
    client(options = {}) {
      const client = new Redis({ ...address, ...options })
      client.on('error', () => {})
      clients.add(client)
      return client
    },
    command,
    async config(settings) {
      for (const [name, value] of Object.entries(settings)) await command('CONFIG', 'SET', name, value)
    },
    freeze: () => signal(child, 'SIGSTOP'),
    thaw: () => signal(child, 'SIGCONT'),
    kill: () => end(child, 'SIGKILL'),
    async restart({ empty = true } = {}) {
      if (isStopped)
        throw new Error(`the redis-server on port ${port} was stopped and its folder removed: start another`)
      if (!empty) await command('SAVE')
      await end(child, 'SIGKILL')
      if (empty) {
        for (const data of ['dump.rdb', 'appendonlydir']) rmSync(join(dir, data), { recursive: true, force: true })
      }
      const next = await launch(port, commandLine(port, dir))
      if (next === undefined) throw new Error(`port ${port} was taken while its redis-server was down`)
      child = next
    },
    async stop() {
      isStopped = true
      for (const client of clients) client.disconnect()
      clients.clear()
      await end(child, 'SIGTERM')
      rmSync(dir, { recursive: true, force: true })
      gone()
    },
  }
}

/** Starts the process and waits until it answers; `undefined` when the port is taken. Rejects with its last words otherwise. */
async function launch(port: number, args: readonly string[]): Promise<ChildProcess | undefined> {
  const child = spawn(binary.path, args, { argv0: binary.argv0, stdio: ['ignore', 'pipe', 'pipe'] })
  const untrack = track(`redis-server starting on port ${port}`, () => child.kill('SIGKILL'))
  let words = ''
  const note = (said: unknown): void => {
    words = `${words}${said}`.slice(-4_000)
  }
  child.stdout.on('data', note)
  child.stderr.on('data', note)
  child.on('error', note)
  try {
    await until(() => hasExited(child) || isAnswering(port, child.pid), {
      deadlineMs: 8_000,
      describe: () => `redis-server on port ${port}; its last words:\n${words}\n`,
    })
    if (!hasExited(child)) return child
    if (/address already in use/i.test(words)) return undefined
    throw new Error(`redis-server on port ${port} ended at once; its last words:\n${words}`)
  } catch (error) {
    child.kill('SIGKILL')
    throw error
  } finally {
    untrack()
  }
}

/** PING with a look at who answers: a stranger on the port is not our server. One that asks for a password is up. */
async function isAnswering(port: number, pid: number | undefined): Promise<boolean> {
  const reply = await new Promise<string>((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' })
    let heard = ''
    socket.setTimeout(500, () => socket.destroy())
    socket.on('connect', () => socket.write('INFO server\r\nPING\r\n'))
    socket.on('data', (chunk) => {
      heard += chunk.toString('latin1')
      if (/\+PONG\r\n|-NOAUTH.*\r\n-NOAUTH/s.test(heard)) socket.destroy()
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(heard))
  })
  return reply.startsWith('-NOAUTH') || (reply.includes(`process_id:${pid}\r\n`) && reply.includes('+PONG'))
}

function passwordIn(args: readonly string[]): string | undefined {
  const at = args.indexOf('--requirepass')
  return at === -1 ? undefined : args[at + 1]
}

function pidOf(child: ChildProcess): number {
  if (child.pid === undefined) throw new Error('this process was never started')
  return child.pid
}

function hasExited(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null
}

function signal(child: ChildProcess, name: NodeJS.Signals): void {
  if (hasExited(child)) throw new Error(`process ${child.pid} is gone, so it gets no ${name}`)
  child.kill(name)
}

async function end(child: ChildProcess, name: NodeJS.Signals): Promise<void> {
  if (hasExited(child)) return
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.kill(name)
  // A stopped process dies of SIGKILL alone; it hears the others when it goes on.
  child.kill('SIGCONT')
  const impatient = setTimeout(() => child.kill('SIGKILL'), 2_000)
  await exited
  clearTimeout(impatient)
}
