/** The primary's part with several workers: forks them, replaces those that die, and takes all of them along when it stops. */
import cluster, { type Worker } from 'node:cluster'
import { once } from 'node:events'
import type { CleanUp } from './gateway.ts'

/** Resolves once all of them listen. Rejects when one ends before. */
export async function startWorkers(count: number, env: Record<string, string>, cleanUp: CleanUp): Promise<void> {
  // The workers accept connections themselves. By default the primary accepts them and hands them on; one that is on its way
  // to a worker which is killed is then closed by nobody, and its client waits for ever.
  cluster.schedulingPolicy = cluster.SCHED_NONE
  const running = new Set<Worker>()
  let isStopping = false
  let isUp = false

  cleanUp.unshift(async () => {
    isStopping = true
    const ends = [...running].map((worker) => once(worker, 'exit'))
    for (const worker of running) worker.process.kill('SIGTERM')
    // They give their requests five seconds, and what comes after a moment.
    const impatient = setTimeout(() => {
      for (const worker of running) worker.process.kill('SIGKILL')
    }, 7_000)
    await Promise.all(ends)
    clearTimeout(impatient)
  })

  await new Promise<void>((resolve, reject) => {
    let listening = 0
    const fork = () => {
      if (isStopping) return
      const worker = cluster.fork(env)
      let isListening = false
      running.add(worker)
      worker.once('listening', () => {
        isListening = true
        listening++
        isUp ||= listening === count
        if (isUp) resolve()
      })
      worker.once('exit', (code, signal) => {
        running.delete(worker)
        if (isStopping) return
        const end = `Worker ${worker.id} (pid ${worker.process.pid}) ended with ${signal ?? code}`
        if (!isUp) return reject(new Error(`${end} before it was ready`))
        console.error(`${end}: another one takes its place`)
        // One that could not even start will not be able to the next moment either.
        setTimeout(fork, isListening ? 0 : 1_000).unref()
      })
    }
    for (let i = 0; i < count; i++) fork()
  })
}
