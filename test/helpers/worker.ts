/*
 * Worker processes for tests of a fleet. A worker file ends in `serve({ name: (…) => … })`; the test forks it and calls those functions
 * by name. Arguments and results travel as JSON. A worker dies with its parent, and is killed at the end of the run.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { track } from './tracked.ts'

/** What a worker offers: functions of JSON values. */
export type Handlers = Record<string, (...args: never[]) => unknown>

export interface Worker<H extends Handlers> {
  readonly pid: number
  readonly isRunning: boolean
  /** Runs a function in the worker. Rejects with its error (name, message, code), or when the worker ends before it answers. */
  call<N extends keyof H & string>(name: N, ...args: Parameters<H[N]>): Promise<Awaited<ReturnType<H[N]>>>
  /** SIGSTOP. */
  freeze(): void
  /** SIGCONT. */
  thaw(): void
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>
  /** Lets the worker end by itself: closes its channel, then SIGKILL after `deadlineMs` (default 3,000). Resolves to its exit code. */
  stop(options?: { deadlineMs?: number }): Promise<number | null>
}

interface Call {
  readonly id: number
  readonly name: string
  readonly args: unknown[]
}

interface Reply {
  readonly id: number
  readonly value?: unknown
  readonly error?: { name: string; message: string; code?: unknown; stack?: string }
}

const ready = 'ready'

/**
 * Forks a .ts file with the loader that mocha uses, and resolves once it has called `serve`.
 * `forkWorker<typeof handlers>(new URL('./worker.ts', import.meta.url))` types the calls.
 */
export async function forkWorker<H extends Handlers>(
  file: string | URL,
  options: { env?: Readonly<Record<string, string>>; args?: readonly string[] } = {},
): Promise<Worker<H>> {
  const path = file instanceof URL ? fileURLToPath(file) : file
  const child = fork(path, [...(options.args ?? [])], {
    execArgv: ['--import', import.meta.resolve('ts-blank-space/register')],
    env: { ...process.env, ...options.env },
    serialization: 'json',
  })
  const gone = track(`worker ${child.pid} (${path})`, () => child.kill('SIGKILL'))
  const waiting = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>()
  let lastId = 0

  const exited = new Promise<number | null>((resolve) => {
    child.once('exit', (code, signal) => {
      gone()
      for (const { reject } of waiting.values()) reject(new Error(`worker ${child.pid} ended (${signal ?? code})`))
      waiting.clear()
      resolve(code)
    })
  })
  const started = new Promise<void>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => reject(new Error(`worker ${path} ended (${signal ?? code}) before it served`)))
    child.on('message', (message) => {
      if (message === ready) return resolve()
      const { id, value, error } = message as Reply
      const call = waiting.get(id)
      waiting.delete(id)
      if (error === undefined) call?.resolve(value as never)
      else call?.reject(Object.assign(new Error(error.message), error))
    })
  })
  await started

  return {
    pid: child.pid as number,
    get isRunning() {
      return isRunning(child)
    },
    call(name, ...args) {
      if (!child.connected) return Promise.reject(new Error(`worker ${child.pid} is gone`))
      return new Promise((resolve, reject) => {
        const id = ++lastId
        waiting.set(id, { resolve, reject })
        child.send({ id, name, args } satisfies Call, (error) => {
          if (error === null || error === undefined) return
          waiting.delete(id)
          reject(error)
        })
      })
    },
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
    async kill() {
      child.kill('SIGKILL')
      await exited
    },
    async stop({ deadlineMs = 3_000 } = {}) {
      if (child.connected) child.disconnect()
      const impatient = setTimeout(() => child.kill('SIGKILL'), deadlineMs)
      const code = await exited
      clearTimeout(impatient)
      return code
    },
  }
}

function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null
}

/**
 * Called by the worker file, once: answers the parent's calls with these functions. When the parent closes the channel or dies, `onStop`
 * runs (close what you opened); a worker with nothing left to do then ends by itself, and one that hangs is ended.
 */
export function serve(handlers: Handlers, onStop: () => unknown = () => {}): void {
  const send = process.send?.bind(process)
  if (send === undefined) throw new Error('serve() runs in a process that was forked by forkWorker()')
  process.on('message', (message) => {
    void answer(handlers, message as Call).then((reply) => process.connected && send(reply))
  })
  process.once('disconnect', () => {
    setTimeout(() => process.exit(1), 2_500).unref()
    void Promise.resolve()
      .then(onStop)
      .catch((error) => {
        console.error(error)
        process.exitCode = 1
      })
  })
  send(ready)
}

async function answer(handlers: Handlers, { id, name, args }: Call): Promise<Reply> {
  try {
    const handler = handlers[name]
    if (handler === undefined) throw new Error(`this worker has no function ${name}`)
    return { id, value: await handler(...(args as never[])) }
  } catch (thrown) {
    const error = thrown instanceof Error ? thrown : new Error(String(thrown))
    const { name: errorName, message, stack } = error
    return { id, error: { name: errorName, message, ...(stack === undefined ? {} : { stack }), ...codeOf(error) } }
  }
}

function codeOf(error: Error): { code?: unknown } {
  return 'code' in error ? { code: error.code } : {}
}
