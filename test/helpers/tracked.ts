/*
 * Everything a test starts that outlives a tick: servers, workers, proxies, listeners. Whoever starts one tracks it here, and untracks
 * it when it is gone. What is left is ended with the process, whichever way it exits, and fails the run (root-hooks.ts).
 */

interface Tracked {
  readonly what: string
  readonly startedAt: string
  readonly endNow: () => void
}

const tracked = new Set<Tracked>()

/** The first stack line outside this folder: where the test asked for the thing. */
function callSite(): string {
  const lines = new Error().stack?.split('\n').slice(1) ?? []
  const outside = lines.find((line) => /\.(ts|js|mjs):\d+/.test(line) && !/\/(test\/helpers|node_modules)\//.test(line))
  return outside?.replace(/^\s*at\s+/, '').replace(/file:\/\//, '') ?? 'an unknown place'
}

/**
 * Registers something that must be ended. `endNow` must work synchronously, since it also runs when the process exits.
 * Returns the function to call once it is gone.
 */
export function track(what: string, endNow: () => void): () => void {
  const entry: Tracked = { what, startedAt: callSite(), endNow }
  tracked.add(entry)
  return () => tracked.delete(entry)
}

/** One line for each thing that is still running, with the place that started it. */
export function stillRunning(): string[] {
  return [...tracked].map((entry) => `${entry.what}, started at ${entry.startedAt}`)
}

/** Ends whatever is left, last started first. Never throws. */
export function endAll(): void {
  for (const entry of [...tracked].reverse()) {
    tracked.delete(entry)
    try {
      entry.endNow()
    } catch {
      // It is gone already, which is what was wanted.
    }
  }
}

process.on('exit', endAll)
// SIGINT is mocha's own: it ends the run and then the process, by 'exit'.
process.once('SIGTERM', () => process.exit(143))
process.once('SIGHUP', () => process.exit(129))
