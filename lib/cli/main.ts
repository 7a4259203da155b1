#!/usr/bin/env node
/*
 * The program behind `npx express-registry-cache`: the process around run.ts.
 */
import { run } from './run.ts'

// `watch | head`: nobody reads any more, which is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(0)
})

/** A second interrupt ends the process at once, as without us. */
function stopped(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve())
  })
}

run(process.argv.slice(2), {
  env: process.env,
  output: {
    out: (line) => void process.stdout.write(`${line}\n`),
    err: (line) => void process.stderr.write(`${line}\n`),
  },
  stopped,
}).then(
  (code) => {
    process.exitCode = code
  },
  (error) => {
    console.error(error)
    process.exitCode = 1
  },
)
