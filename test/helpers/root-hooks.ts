/*
 * Loaded by mocha before every run (.mocharc.json), in each process that runs test files: several run side by side, and these hooks
 * then enclose one file each; with --no-parallel they enclose them all. A run fails when a promise is rejected and nobody minds, and
 * when a test leaves something running: a server, a worker, a socket, a process, a timer. What was left is named, and ended.
 */
import { Socket } from 'node:net'
import { setImmediate as immediate, setTimeout as pause } from 'node:timers/promises'
import { endAll, stillRunning } from './tracked.ts'

/** Kinds of handle, by Node's names, that keep a process alive and that a test must not leave behind. */
const watched = new Set(['TCPSocketWrap', 'TCPServerWrap', 'TLSWrap', 'PipeServerWrap', 'ProcessWrap', 'MessagePort'])

function openHandles(): string[] {
  return process.getActiveResourcesInfo().filter((kind) => watched.has(kind))
}

/** Where the open sockets lead. Node keeps this list to itself; it only serves the message. */
function openSockets(): string {
  const handles: unknown = (process as { _getActiveHandles?: () => unknown })._getActiveHandles?.()
  if (!Array.isArray(handles)) return ''
  const ends = handles
    .filter((handle) => handle instanceof Socket && handle.remotePort !== undefined)
    .map((socket: Socket) => `${socket.localPort} to ${socket.remotePort}`)
  return ends.length === 0 ? '' : ` (sockets by port: ${ends.join(', ')})`
}

/** Timers that keep the process alive; mocha's own is among them, of the hook that asks. */
async function activeTimers(): Promise<number> {
  // In what a timer has called, that timer still counts.
  await immediate()
  return process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length
}

let timersBefore = 0
const rejections: string[] = []
let running = 'the loading of the tests'
let isOver = false

// Mocha listens too, and emits the event once more.
const seen = new WeakSet<Promise<unknown>>()
function keepRejection(reason: unknown, promise: Promise<unknown>): void {
  if (isOver) throw reason
  if (seen.has(promise)) return
  seen.add(promise)
  rejections.push(`during "${running}": ${reason instanceof Error ? reason.stack : String(reason)}`)
}

/** Between two files of one process mocha takes away whoever listens. */
function listenForRejections(): void {
  if (!process.listeners('unhandledRejection').includes(keepRejection)) process.on('unhandledRejection', keepRejection)
}

/** One of several processes that mocha ends itself, when no file is left. */
const isOneOfSeveral = process.env.MOCHA_WORKER_ID !== undefined

listenForRejections()
// Ctrl-C reaches all of them, and mocha listens in its own alone.
if (isOneOfSeveral) process.once('SIGINT', () => process.exit(130))

/** For what nothing here can name: mocha waits for it for ever, and says nothing. */
function endIfKeptAlive(): void {
  setTimeout(() => {
    console.error(`the process is kept alive by: ${process.getActiveResourcesInfo().join(', ')}`)
    // Mocha sets the exit code in a listener of its own; the last one counts.
    process.on('exit', () => {
      process.exitCode = 1
    })
    process.exit(1)
  }, 5_000).unref()
}

export const mochaHooks = {
  async beforeAll(this: Mocha.Context): Promise<void> {
    this.timeout(15_000)
    listenForRejections()
    timersBefore = await activeTimers()
  },

  beforeEach(this: Mocha.Context): void {
    running = this.currentTest?.fullTitle() ?? running
  },

  async afterAll(this: Mocha.Context): Promise<void> {
    this.timeout(15_000)
    const left = stillRunning()
    endAll()
    // Sockets that are just being closed, and timers of deadlines that were met, are given the time for it.
    const deadline = performance.now() + (left.length === 0 ? 3_000 : 500)
    let timers = 0
    const isQuiet = async (): Promise<boolean> => {
      timers = (await activeTimers()) - timersBefore
      return timers <= 0 && openHandles().length === 0
    }
    while (!(await isQuiet()) && performance.now() < deadline) await pause(10)
    if (openHandles().length > 0) left.push(`open handles: ${openHandles().join(', ')}${openSockets()}`)
    if (timers > 0) left.push(`timers that keep the process alive: ${timers}`)
    const complaints = [
      ...left.map((what) => `left running: ${what}`),
      ...rejections.splice(0).map((reason) => `a rejection that nobody handled, ${reason}`),
    ]
    if (!isOneOfSeveral) {
      isOver = true
      endIfKeptAlive()
    }
    if (complaints.length > 0) throw new Error(complaints.join('\n  '))
  },
}
