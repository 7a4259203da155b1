/*
 * Load of requests whose answers have no body (HEAD, 304), on bare sockets: PORT REQUEST SECONDS, the figures as JSON on the standard output.
 */
import { connect } from 'node:net'
import { CONNECTIONS } from './load.js'

const [port, given, seconds] = process.argv.slice(2)
const { paths, headers = {}, method = 'GET' } = JSON.parse(given)
const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
const texts = paths.map((path) => `${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n${lines.join('')}\r\n`)
const latencies = []
let errors = 0
let at = 0

const startedAt = performance.now()
const endsAt = startedAt + Number(seconds) * 1000

function talk() {
  return new Promise((resolve) => {
    const socket = connect(Number(port), '127.0.0.1')
    socket.setNoDelay(true)
    // Whoever sends a body after all is not waited for.
    socket.setTimeout(2000, () => socket.destroy())
    let heard = ''
    let sentAt = 0
    const ask = () => {
      sentAt = performance.now()
      socket.write(texts[at++ % texts.length])
    }
    socket.on('connect', ask)
    socket.on('data', (chunk) => {
      heard += chunk.toString('latin1')
      if (!heard.endsWith('\r\n\r\n')) return
      if (!/^HTTP\/1\.1 [23]/.test(heard)) errors++
      heard = ''
      const now = performance.now()
      latencies.push(now - sentAt)
      if (now < endsAt) ask()
      else socket.end()
    })
    socket.on('error', () => errors++)
    socket.on('close', resolve)
  })
}

await Promise.all(Array.from({ length: CONNECTIONS }, talk))
const elapsed = (performance.now() - startedAt) / 1000
latencies.sort((a, b) => a - b)
console.log(
  JSON.stringify({
    requests: latencies.length,
    perSecond: latencies.length / elapsed,
    p99Ms: latencies[Math.floor(latencies.length * 0.99)] ?? 0,
    errors,
  }),
)
