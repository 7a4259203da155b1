/*
 * The command line as a child process, from dist, without the variables of whoever runs the tests.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { track } from '../helpers/tracked.ts'
import { until } from '../helpers/until.ts'

const built = fileURLToPath(new URL('../../dist/cli/main.cjs', import.meta.url))
const build = fileURLToPath(new URL('../../scripts/build.js', import.meta.url))

/** Brings dist up to date: to be called before a suite runs what is there. */
export async function buildProgram(): Promise<void> {
  await promisify(execFile)(process.execPath, [build, '--if-needed'], { timeout: 50_000, killSignal: 'SIGKILL' })
}

export interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

export interface Program {
  /** What it has said so far. */
  readonly out: string
  readonly err: string
  lines(): string[]
  signal(name: NodeJS.Signals): void
  /** Resolves when it has ended; kills it, and rejects, when it does not by itself. */
  ended(): Promise<Ended>
}

export interface StartOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** In place of this project's own: the main file of a copy. */
  readonly main?: string
}

/** Starts it. Node's folder is on its PATH, and nothing else is in its environment but `env`. */
export function start(args: readonly string[], { env = {}, cwd, main = built }: StartOptions = {}): Program {
  const child = spawn(process.execPath, [main, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH ?? '', ...env },
    ...(cwd === undefined ? {} : { cwd }),
  })
  const gone = track(`the command line (${args.join(' ')})`, () => child.kill('SIGKILL'))
  const said = { out: '', err: '' }
  child.stdout.on('data', (data) => {
    said.out += data
  })
  child.stderr.on('data', (data) => {
    said.err += data
  })
  const closed = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code))).finally(gone)
  return {
    get out() {
      return said.out
    },
    get err() {
      return said.err
    },
    lines: () => said.out.split('\n').slice(0, -1),
    signal: (name) => void child.kill(name),
    ended: () => endOf(child, closed, said),
  }
}

async function endOf(
  child: ChildProcess,
  closed: Promise<number | null>,
  said: { out: string; err: string },
): Promise<Ended> {
  const isOver = closed.then((code) => ({ code }))
  try {
    const { code } = await until(() => isOver, {
      deadlineMs: 20_000,
      describe: () => `its end; it said: ${said.out}${said.err}`,
    })
    return { code, ...said }
  } finally {
    child.kill('SIGKILL')
  }
}

/** Runs it to its end. */
export function run(args: readonly string[], options?: StartOptions): Promise<Ended> {
  return start(args, options).ended()
}
