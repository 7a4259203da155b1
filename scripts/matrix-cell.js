/**
 * One cell of the compatibility matrix: two workers of an application, under a given Node, over one Redis. What is read on one is a hit
 * on the other; what is written on one is read on both, at once here and when the message has arrived there; the handlers ran once per
 * state of the data; and the workers end by themselves when they are let go of.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'

const startMs = 30_000
/** Well under half of the 60 s for which the workers believe an epoch: what arrives in time came by message. */
const deliveryMs = 10_000
const endMs = 10_000

let cells = 0

/** Starts a worker and resolves when it listens. */
async function startWorker(execPath, script, env) {
  const child = fork(script, [], { execPath, execArgv: [], env, stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
  let words = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (said) => (words = `${words}${said}`.slice(-2_000)))
  const worker = { child, exited: once(child, 'exit'), words: () => words.trim() }
  const timeout = new AbortController()
  const first = await Promise.race([
    once(child, 'message').then(([message]) => message),
    worker.exited.then(([code]) => ({ problem: `ended with ${code}` })),
    pause(startMs, { problem: `said nothing for ${startMs} ms` }, { signal: timeout.signal }),
  ])
  timeout.abort()
  if (first.port !== undefined) return { ...worker, url: `http://127.0.0.1:${first.port}` }
  child.kill('SIGKILL')
  throw new Error(`a worker ${first.problem}: ${words.trim()}`)
}

/** Lets the worker go; throws when it stays, or ends badly. */
async function endWorker({ child, exited, words }) {
  if (child.connected) child.disconnect()
  const timeout = new AbortController()
  const [code] = await Promise.race([exited, pause(endMs, ['no end'], { signal: timeout.signal })])
  timeout.abort()
  if (code !== 0) throw new Error(`a worker that was let go of ended with ${code}: ${words()}`)
}

async function ask({ url }, path, method = 'GET') {
  const init = { method, headers: { connection: 'close' }, signal: AbortSignal.timeout(10_000) }
  const response = await fetch(url + path, init)
  return { outcome: response.headers.get('x-cache'), status: response.status, body: await response.json() }
}

function expect(what, seen, wanted) {
  const [found, right] = [JSON.stringify(seen), JSON.stringify(wanted)]
  if (found !== right) throw new Error(`${what}: ${found} instead of ${right}`)
}

async function read(worker, what, outcome, names) {
  const answer = await ask(worker, '/tools')
  expect(what, [answer.outcome, answer.body.names], [outcome, names])
}

async function check(a, b) {
  await read(a, 'first read', 'MISS', [])
  await read(a, 'second read', 'HIT', [])
  await read(b, 'read on the other worker, through Redis', 'HIT', [])
  await read(b, 'second read there', 'HIT', [])
  expect('the write', (await ask(b, '/tools?name=second', 'POST')).status, 201)
  await read(b, 'read after the own write', 'MISS', ['second'])
  const deadline = performance.now() + deliveryMs
  let answer = await ask(a, '/tools')
  while (answer.body.names.length === 0 && performance.now() < deadline) answer = await ask(a, '/tools')
  expect("read after the other worker's write", [answer.outcome, answer.body.names], ['HIT', ['second']])
  const runs = [(await ask(a, '/runs')).body.runs, (await ask(b, '/runs')).body.runs]
  expect('runs of the handler', runs, [1, 1])
}

/** What is wrong, or undefined. Never rejects. */
export async function runCell(execPath, script, redisUrl) {
  cells += 1
  const env = { ...process.env, REDIS_URL: redisUrl, PREFIX: `cell-${process.pid}-${cells}:`, NODE_ENV: 'production' }
  const started = await Promise.allSettled([1, 2].map(() => startWorker(execPath, script, env)))
  const workers = started.flatMap(({ value }) => value ?? [])
  try {
    for (const { reason } of started) if (reason !== undefined) throw reason
    const [a, b] = workers
    await check(a, b)
    await Promise.all(workers.map(endWorker))
    return undefined
  } catch (error) {
    return error.message
  } finally {
    for (const { child } of workers) child.kill('SIGKILL')
  }
}
