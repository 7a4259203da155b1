/*
 * Loaded by mocha before every run (.mocharc.json). A run fails when a promise is rejected and nobody minds, and when a test leaves
 * something running: a server, a worker, a socket, a process. What was left is named, and ended.
 */
import { Socket } from 'node:net'
import { endAll, stillRunning } from './tracked.ts'
import { until } from './until.ts'

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

const rejections: string[] = []
let running = 'the loading of the tests'
let isOver = false

// Mocha listens too, and emits the event once more.
const seen = new WeakSet<Promise<unknown>>()
process.on('unhandledRejection', (reason, promise) => {
  if (isOver) throw reason
  if (seen.has(promise)) return
  seen.add(promise)
  rejections.push(`during "${running}": ${reason instanceof Error ? reason.stack : String(reason)}`)
})

/** For what nothing here can name, as a timer that nobody cleared: mocha waits for it for ever, and says nothing. */
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
  beforeEach(this: Mocha.Context): void {
    running = this.currentTest?.fullTitle() ?? running
  },

  async afterAll(this: Mocha.Context): Promise<void> {
    this.timeout(15_000)
    const left = stillRunning()
    endAll()
    // Sockets that are just being closed are given the time for it.
    await until(() => openHandles().length === 0, { deadlineMs: left.length === 0 ? 3_000 : 500 }).catch(() => {
      left.push(`open handles: ${openHandles().join(', ')}${openSockets()}`)
    })
    isOver = true
    endIfKeptAlive()
    const complaints = [
      ...left.map((what) => `left running: ${what}`),
      ...rejections.map((reason) => `a rejection that nobody handled, ${reason}`),
    ]
    if (complaints.length > 0) throw new Error(complaints.join('\n  '))
  },
}
