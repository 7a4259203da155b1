/*
 * How often does the query run when many ask for the same thing that is not cached?
 */
import { Agent, get } from 'node:http'
import { startServer } from '../harness/processes.js'
import { median } from '../harness/statistics.js'

export const title = 'Stampede'

const CLIENTS = 500

export async function run(context) {
  const redis = await context.redis()
  const env = { REDIS_URL: redis.url }
  const groups = {
    'registry-cache': [await startServer('registry.js')],
    'registry-cache, two processes with Redis': [
      await startServer('registry.js', { env }),
      await startServer('registry.js', { env }),
    ],
    bentocache: [await startServer('bentocache.js')],
    'cache-manager': [await startServer('cache-manager.js')],
    apicache: [await startServer('apicache.js')],
    'http-cache-middleware': [await startServer('http-cache-middleware.js')],
    'Express without a cache': [await startServer('express.js')],
  }
  const samples = new Map(Object.keys(groups).map((name) => [name, { runs: [], ms: [] }]))
  const { rounds } = context.rounds(20)
  for (let i = 0; i < rounds; i++) {
    for (const [name, servers] of Object.entries(groups)) {
      const startedAt = performance.now()
      const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS })
      await Promise.all(
        Array.from({ length: CLIENTS }, (_, at) =>
          ask(servers[at % servers.length].port, `/query/small?round=${i}`, agent),
        ),
      )
      agent.destroy()
      samples.get(name).ms.push(performance.now() - startedAt)
      let runs = 0
      for (const server of servers) runs += (await server.ask('runs')).runs
      samples.get(name).runs.push(runs)
    }
  }
  const rows = [...samples].map(([name, { runs, ms }]) => [
    name,
    `${median(runs)}`,
    `${Math.max(...runs)}`,
    `${Math.round(median(ms))}`,
  ])
  const columns = ['cache', 'queries, median', 'queries, most', 'ms for all']
  const most = Math.max(...samples.get('registry-cache').runs)
  return {
    figures: [{ name: `${CLIENTS} requests at once for one list that is not cached, a query of 5 ms`, columns, rows }],
    targets: [{ text: 'queries per stampede, one process', measured: `${most}`, target: '1', met: most === 1 }],
  }
}

function ask(port, path, agent) {
  return new Promise((resolve, reject) => {
    get({ port, path, agent, host: '127.0.0.1' }, (res) => res.resume().on('end', resolve)).on('error', reject)
  })
}
