/*
 * The example as a user runs it: `server.ts` in a process of its own, in a process group of its own, so that a test can tell
 * whether it left a child behind.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { redisServerBinary } from '../helpers/redis-server.ts'
import { track } from '../helpers/tracked.ts'
import { until } from '../helpers/until.ts'

const folder = fileURLToPath(new URL('../../examples/express-gateway/', import.meta.url))

export interface Program {
  readonly pid: number
  /** Both streams, as far as they came. */
  readonly output: { stdout: string; stderr: string }
  /** Waits for the line that says it is ready. Rejects, with its last words, when it ends before that. */
  ready(): Promise<{ port: number }>
  /** Processes of its group: itself and the MCP servers that it runs. */
  processes(): number[]
  /** Resolves to the exit code, or the signal that ended it. */
  readonly exited: Promise<number | NodeJS.Signals | null>
  /** Sends the signal and waits for its end. */
  stop(signal?: NodeJS.Signals): Promise<number | NodeJS.Signals | null>
}

/** With several workers the example starts a redis-server that it finds in the PATH. */
const programs = mkdtempSync(join(tmpdir(), 'example-programs-'))
symlinkSync(redisServerBinary, join(programs, 'redis-server'))
process.once('exit', () => rmSync(programs, { recursive: true, force: true }))

const directly = [process.execPath, '--import', 'ts-blank-space/register', 'server.ts']

/** Starts the example with these variables and nothing else of ours but the PATH, on a free port. */
export function runExample(env: Record<string, string> = {}, [command = '', ...args]: string[] = directly): Program {
  const child = spawn(command, args, {
    cwd: folder,
    env: { PATH: `${programs}${delimiter}${process.env.PATH}`, HOME: process.env.HOME, PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const group = groupOf(child)
  const untrack = track(`the example gateway (pid ${group})`, () => process.kill(-group, 'SIGKILL'))
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text
  })
  const exited = once(child, 'close').then(([code, signal]: (number | NodeJS.Signals | null)[]) => {
    untrack()
    return code ?? signal ?? null
  })
  return {
    pid: group,
    output,
    exited,
    processes: () => processesOf(group),
    async ready() {
      const words = () => `${output.stdout}\n${output.stderr}`
      const line = await until(() => child.exitCode ?? /Ready on http:\/\/127\.0\.0\.1:(\d+)/.exec(output.stdout), {
        deadlineMs: 60_000,
        describe: () => `the gateway to be ready; it said:\n${words()}`,
      })
      if (typeof line === 'number') throw new Error(`the gateway ended with ${line}:\n${words()}`)
      return { port: Number(line[1]) }
    },
    async stop(signal = 'SIGTERM') {
      child.kill(signal)
      return await exited
    },
  }
}

function groupOf(child: ChildProcess): number {
  if (child.pid === undefined) throw new Error('the gateway could not be started')
  return child.pid
}

function processesOf(group: number): number[] {
  if (!existsSync('/proc/self/stat')) {
    const listed = spawnSync('ps', ['-A', '-o', 'pgid=,pid='], { encoding: 'utf8' }).stdout
    const pairs = listed.split('\n').map((line) => line.trim().split(/\s+/).map(Number))
    return pairs.filter(([pgid]) => pgid === group).flatMap(([, pid]) => pid ?? [])
  }
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && livingGroup(name) === group)
    .map(Number)
}

/** The process group, or undefined for one that is gone or a zombie. */
function livingGroup(pid: string): number | undefined {
  try {
    // `pid (name) state ppid pgrp …`, and the name may hold blanks and parentheses.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const [state, , pgrp] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return state === 'Z' ? undefined : Number(pgrp)
  } catch {
    return undefined
  }
}
