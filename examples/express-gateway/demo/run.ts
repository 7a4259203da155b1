/**
 * `npm run example:demo`: starts the gateway, drives it for 30 seconds (DEMO_SECONDS), and prints a line a second of what the
 * cache does. Every write is followed by reads that must show it. Ends by itself: with 1 when a read was stale or a request failed.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { oneLine } from '../errors.ts'
import { drive } from './drive.ts'
import { header, row, summary } from './table.ts'

/** With one worker there is nobody else to be stale; with several a Redis is needed, ours if one is installed. */
const hasRedis = process.env.REDIS_URL || spawnSync('redis-server', ['--version'], { stdio: 'ignore' }).status === 0

const environment = z.object({
  DEMO_SECONDS: z.coerce.number().min(1).max(600).default(30),
  WORKERS: z.coerce
    .number()
    .int()
    .min(1)
    .max(64)
    .default(hasRedis ? 2 : 1),
})

const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())
let gateway: ChildProcess | undefined
try {
  const { DEMO_SECONDS: seconds, WORKERS: workers } = environment.parse(process.env)
  gateway = start(workers)
  const target = await ready(gateway, stop.signal)
  console.log(`Driving ${target.hostname}:${target.port}, ${workers} of it, for ${seconds} s\n\n${header}`)
  const figures = await drive(target, {
    seconds,
    workers,
    signal: stop.signal,
    onSecond: (one) => console.log(row(one)),
  })
  console.log(`\n${summary(figures)}`)
  if (figures.stale.length > 0 || figures.failed > 0) process.exitCode = 1
} catch (error) {
  if (!stop.signal.aborted) console.error(`The demo can not go on: ${oneLine(error)}`)
  process.exitCode = 1
}
if (gateway && gateway.exitCode === null && gateway.signalCode === null) {
  gateway.kill('SIGTERM')
  await once(gateway, 'exit')
}

function start(workers: number): ChildProcess {
  const server = fileURLToPath(new URL('../server.ts', import.meta.url))
  return spawn(process.execPath, [...process.execArgv, server], {
    env: {
      ...process.env,
      PORT: '0',
      HOST: '127.0.0.1',
      WORKERS: String(workers),
      LOG_LEVEL: 'warn',
      // All requests come from one address here.
      RATE_LIMIT: '1000000',
      // So that it ends with us even if we are killed: server.ts then looks after its parent.
      npm_lifecycle_event: 'example:demo',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

async function ready(child: ChildProcess, signal: AbortSignal): Promise<URL> {
  let output = ''
  return await new Promise<URL>((resolve, reject) => {
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      output = `${output}${text}`.slice(-10_000)
      const [, url] = /Ready on (http:\S+)/.exec(output) ?? []
      if (url) resolve(new URL(url))
    })
    child.once('exit', (code) => reject(new Error(`the gateway ended with ${code}`)))
    signal.addEventListener('abort', () => reject(new Error('it was stopped')), { once: true })
  })
}
