/** The primary's part with several workers: forks them, replaces those that die, and takes all of them along when it stops. */
import cluster, { type Address, type Worker } from 'node:cluster'
import { once } from 'node:events'
import type { CleanUp } from './gateway.ts'

/** Resolves once all of them listen. Rejects when one ends before. */
export async function startWorkers(count: number, env: Record<string, string>, cleanUp: CleanUp): Promise<Address> {
  const running = new Set<Worker>()
  let isStopping = false
  let isUp = false
  let address: Address | undefined

  cleanUp.unshift(async () => {
    isStopping = true
    const ends = [...running].map((worker) => once(worker, 'exit'))
    for (const worker of running) worker.process.kill('SIGTERM')
    // They give their requests five seconds, and their database and Redis a moment.
    const impatient = setTimeout(() => {
      for (const worker of running) worker.process.kill('SIGKILL')
    }, 8_000)
    await Promise.all(ends)
    clearTimeout(impatient)
  })

  await new Promise<void>((resolve, reject) => {
    let listening = 0
    const fork = () => {
      if (isStopping) return
      // With PORT=0 a worker that comes later is to have the port that the others got.
      const worker = cluster.fork({ ...env, ...(address && { PORT: String(address.port) }) })
      let isListening = false
      running.add(worker)
      worker.once('listening', (at: Address) => {
        address ??= at
        isListening = true
        listening++
        if (listening === count) {
          isUp = true
          resolve()
        }
      })
      worker.once('exit', (code, signal) => {
        running.delete(worker)
        if (isStopping) return
        if (!isUp) return reject(new Error(`a worker ended with ${signal ?? code} before it was ready`))
        console.error(
          `Worker ${worker.id} (pid ${worker.process.pid}) ended with ${signal ?? code}: another one takes its place`,
        )
        // One that could not even start will not be able to the next moment either.
        setTimeout(fork, isListening ? 0 : 1_000).unref()
      })
    }
    for (let i = 0; i < count; i++) fork()
  })
  return address as Address
}
