/* autocannon in a process of its own: PORT REQUEST SECONDS, the figures as JSON on the standard output. */
import autocannon from 'autocannon'
import { CONNECTIONS } from './load.js'

const [port, given, seconds] = process.argv.slice(2)
const { paths, headers, unique, nextNumber } = JSON.parse(given)
let n = nextNumber
const setupRequest = (request) => ({ ...request, path: `${paths[0]}?n=${++n}` })
const result = await autocannon({
  url: `http://127.0.0.1:${port}`,
  connections: CONNECTIONS,
  duration: Number(seconds),
  requests: paths.map((path) => ({ method: 'GET', path, headers, ...(unique ? { setupRequest } : {}) })),
})
const requests = result.requests.total
console.log(
  JSON.stringify({
    requests,
    perSecond: requests / result.duration,
    p99Ms: result.latency.p99,
    errors: result.errors + result['4xx'] + result['5xx'],
  }),
)
