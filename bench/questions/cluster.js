/*
 * What do two processes with Redis between them give? They share the machine's cores with the load, so on two cores this shows that
 * nothing stands in the way, not how far it scales.
 */
import { startServer } from '../harness/processes.js'
import { compare } from '../harness/rounds.js'
import { fill } from './hit.js'

export const title = 'Two processes'

export async function run(context) {
  const redis = await context.redis()
  const workers = (count, ...args) =>
    startServer('cluster.js', { args, env: { WORKERS: `${count}`, REDIS_URL: redis.url }, role: 'all' })
  const reference = 'one process, in the route'
  const servers = {
    [reference]: await workers(1),
    'two processes, in the route': await workers(2),
    'one process, front door': await workers(1, 'front'),
    'two processes, front door': await workers(2, 'front'),
  }
  const request = { paths: ['/small'] }
  const contestants = Object.entries(servers).map(([name, server]) => ({ name, server, request }))
  for (const { server } of contestants) await fill(server, ['/small'], {})
  context.say('cluster: 5.7 KB')
  const results = await compare(contestants, reference, context.rounds(20))
  return { workloads: [{ name: 'small', about: '5.7 KB, L1 hits, not pinned', reference, results }] }
}
