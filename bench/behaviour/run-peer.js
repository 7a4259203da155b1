/* One peer through all probes, in a process of its own, which the others' crashes and leftovers do not reach. Argument: its name. */
import { Redis } from 'ioredis'
import { endAll, startRedis } from '../harness/processes.js'
import { PEERS } from './peers.js'
import { PROBES } from './probes.js'

const peer = PEERS[process.argv[2]]
const loose = []
process.on('uncaughtException', (error) => loose.push(error.message))
process.on('unhandledRejection', (error) => loose.push(String(error?.message ?? error)))

const PROBE_MS = 20_000

async function probe(name, ask) {
  const server = await startRedis()
  const admin = new Redis(server.port, '127.0.0.1')
  admin.on('error', () => {})
  const context = {
    peer,
    redisPort: server.port,
    flush: () => admin.flushall(),
    commands: async () => {
      const lines = (await admin.info('commandstats')).matchAll(/cmdstat_([^:]+):calls=(\d+)/g)
      return Object.fromEntries([...lines].map(([, command, calls]) => [command, Number(calls)]))
    },
    freeze: () => process.kill(server.pid, 'SIGSTOP'),
    thaw: () => process.kill(server.pid, 'SIGCONT'),
    stopRedis: () => server.stop(),
  }
  let tooLong
  const late = new Promise((resolve) => {
    tooLong = setTimeout(() => resolve({ good: false, saw: `no end within ${PROBE_MS / 1000} s` }), PROBE_MS)
  })
  try {
    return await Promise.race([ask(context), late])
  } catch (error) {
    return { good: false, saw: `fails: ${error.message}` }
  } finally {
    clearTimeout(tooLong)
    admin.disconnect()
    await server.stop()
    if (loose.length > 0) process.send({ name, loose: [...new Set(loose.splice(0))] })
  }
}

for (const [name, ask] of Object.entries(PROBES)) process.send({ name, answer: (await probe(name, ask)) ?? null })
await endAll()
process.exit()
