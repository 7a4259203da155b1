/*
 * The processes of a benchmark: started on free loopback ports, each on the servers' core, ended by their own id.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pinned, tools } from './machine.js'

const running = new Set()
const folders = new Set()

function launch(role, command, args, options) {
  const [program, all] = pinned(role, command, args)
  const child = spawn(program, all, options)
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}

/**
 * V8 collects a process thoroughly once it has idled for a while, or 100 s after a full collection, if it ever had one: a matter of chance
 * in a benchmark. From then on each call of Node's `process.nextTick` is slower for good, by 2 µs in each request (bench/README.md).
 */
const STEADY = ['--no-memory-reducer']

/** One of bench/servers. `ask(question)` sends a message and resolves to its reply. */
export async function startServer(file, { args = [], env = {}, execArgv = STEADY, role = 'server' } = {}) {
  const path = fileURLToPath(new URL(`../servers/${file}`, import.meta.url))
  const child = launch(role, process.execPath, [...execArgv, path, ...args], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, NODE_ENV: 'production', ...env },
  })
  const { port } = await reply(child, 'port', `${file} ${args.join(' ')}`)
  return {
    port,
    pid: child.pid,
    ask: async (question, content) => {
      const answer = reply(child, question, file)
      child.send({ question, content })
      return await answer
    },
    stop: () => end(child),
  }
}

function reply(child, name, who) {
  return new Promise((resolve, reject) => {
    const onExit = (code) => reject(new Error(`${who} ended with ${code} before it said ${name}`))
    const onMessage = (message) => {
      if (!(name in message)) return
      child.off('message', onMessage)
      child.off('exit', onExit)
      resolve(message)
    }
    child.on('message', onMessage)
    child.once('exit', onExit)
  })
}

/** A redis-server without persistence. */
export async function startRedis() {
  const dir = temporaryFolder()
  const port = await freePort()
  const quiet = ['--save', '', '--appendonly', 'no', '--bind', '127.0.0.1', '--dir', dir, '--port', `${port}`]
  const binary = process.env.REDIS_SERVER_BIN ?? 'redis-server'
  const child = launch('load', binary, quiet, { stdio: 'ignore' })
  await isListening(child, port, binary)
  return { port, url: `redis://127.0.0.1:${port}`, pid: child.pid, stop: () => end(child) }
}

/** nginx with proxy_cache before a server, one worker. Undefined where nginx is not installed. */
export async function startNginx(backendPort) {
  if (tools.nginx === undefined) return undefined
  const dir = temporaryFolder()
  const port = await freePort()
  const config = join(dir, 'nginx.conf')
  writeFileSync(
    config,
    `daemon off; worker_processes 1; pid ${dir}/pid; error_log ${dir}/error.log crit;
${process.getuid?.() === 0 ? 'user root;' : ''}
events { worker_connections 4096; }
http {
  access_log off; client_body_temp_path ${dir}/b; proxy_temp_path ${dir}/p;
  fastcgi_temp_path ${dir}/f; uwsgi_temp_path ${dir}/u; scgi_temp_path ${dir}/s;
  keepalive_requests 100000000; sendfile on; tcp_nopush on;
  proxy_cache_path ${dir}/cache keys_zone=bench:10m max_size=512m;
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://127.0.0.1:${backendPort}; proxy_cache bench; proxy_cache_valid 200 1h;
      proxy_ignore_headers Cache-Control Expires; add_header X-Cache $upstream_cache_status;
    }
  }
}
`,
  )
  const child = launch('server', 'nginx', ['-c', config, '-p', dir, '-e', join(dir, 'error.log')], { stdio: 'inherit' })
  await isListening(child, port, 'nginx')
  return { port, pid: child.pid, stop: () => end(child, 'SIGQUIT') }
}

/** varnishd in memory before a server. Undefined where it is not installed. */
export async function startVarnish(backendPort) {
  if (tools.varnishd === undefined) return undefined
  const dir = temporaryFolder()
  const port = await freePort()
  // As root it gives up its rights, and then its own folder is somebody else's.
  chmodSync(dir, 0o755)
  const args = ['-F', '-a', `127.0.0.1:${port}`, '-b', `127.0.0.1:${backendPort}`, '-s', 'malloc,256m', '-n', dir]
  const child = launch('server', 'varnishd', [...args, '-t', '3600', '-T', 'none'], { stdio: 'ignore' })
  await isListening(child, port, 'varnishd')
  return { port, pid: child.pid, stop: () => end(child) }
}

function temporaryFolder() {
  const dir = mkdtempSync(join(tmpdir(), 'registry-bench-'))
  folders.add(dir)
  return dir
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

async function isListening(child, port, who) {
  for (const deadline = Date.now() + 10_000; Date.now() < deadline; ) {
    if (child.exitCode !== null) throw new Error(`${who} ended at once`)
    if (await accepts(port)) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error(`${who} does not listen on ${port}`)
}

function accepts(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('connect', () => resolve(true)).on('error', () => resolve(false))
    socket.on('connect', () => socket.destroy())
  })
}

async function end(child, signal = 'SIGTERM') {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill(signal)
  const impatient = setTimeout(() => child.kill('SIGKILL'), 3000)
  await exited
  clearTimeout(impatient)
}

/** Ends whatever is still there; what others depend on was started first, and goes last. */
export async function endAll() {
  for (const child of [...running].reverse()) await end(child)
  for (const dir of folders) rmSync(dir, { recursive: true, force: true })
  folders.clear()
}
