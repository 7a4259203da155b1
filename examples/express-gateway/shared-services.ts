/** What workers share where the environment names none: the primary's own PGlite, and a redis-server that it starts. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import type { CleanUp } from './gateway.ts'

/**
 * `pglite://HOST:PORT` for db.ts. PGlite belongs to one process: the workers talk to it as to a PostgreSQL, on loopback and
 * without a password, so any user of this machine can. For more than a try, give DATABASE_URL.
 */
export async function servePglite(folder: string | undefined, workers: number, cleanUp: CleanUp): Promise<string> {
  const { PGlite } = await import('@electric-sql/pglite')
  const { PGLiteSocketServer } = await import('@electric-sql/pglite-socket')
  const db = await (folder ? PGlite.create(folder) : PGlite.create())
  cleanUp.unshift(() => db.close())
  // pg's pools have at most 10 each: those of the workers, of the primary, and of a worker whose end was not noticed yet.
  const server = new PGLiteSocketServer({ db, host: '127.0.0.1', port: 0, maxConnections: 10 * (workers + 2) })
  await server.start()
  cleanUp.unshift(() => server.stop())
  return `pglite://${server.getServerConn()}`
}

/** Starts a redis-server of our own, without persistence; rejects with one line, and the cure, where none is installed. */
export async function startRedis(cleanUp: CleanUp): Promise<{ url: string; pid: number }> {
  const port = await freePort('127.0.0.1')
  const options = { port, bind: '127.0.0.1', save: '', appendonly: 'no', dir: tmpdir() }
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)])
  const server = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'ignore'] })
  const exited = once(server, 'exit')
  const ready = new Promise<void>((resolve, reject) => {
    // Read to the end: a full pipe would stop it.
    server.stdout.setEncoding('utf8').on('data', (text: string) => text.includes('Ready to accept') && resolve())
    exited.then(([code]) => reject(new Error(`the redis-server for the workers ended with ${code}`)), reject)
  })
  await ready.catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
    throw new Error(
      'several WORKERS need a Redis to share: set REDIS_URL=redis://…, or install redis-server (it is started for you)',
    )
  })
  cleanUp.unshift(async () => {
    server.kill()
    await exited
  })
  return { url: `redis://127.0.0.1:${port}`, pid: server.pid ?? 0 }
}

export async function freePort(host: string): Promise<number> {
  const server = createServer().listen(0, host)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}
