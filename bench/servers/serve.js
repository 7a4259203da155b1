/*
 * What every server here does: listens on a free loopback port, says which, and answers questions about its memory.
 */
import { createServer } from 'node:http'

const questions = {
  memory: () => {
    globalThis.gc?.()
    const { rss, heapUsed, external, arrayBuffers } = process.memoryUsage()
    return { memory: { rss, heapUsed, external, arrayBuffers } }
  },
}

/** `listener` takes (req, res), as Express apps do. `further`: questions by name, each gives an object with that name in it. */
export function serve(listener, further = {}) {
  const server = createServer({ keepAliveTimeout: 120_000 }, listener)
  process.on('message', async ({ question, content }) => {
    process.send(await { ...questions, ...further }[question](content))
  })
  process.on('disconnect', () => process.exit())
  process.on('SIGTERM', () => process.exit())
  server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }))
}
