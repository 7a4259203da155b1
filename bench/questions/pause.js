/*
 * What does a request cost after V8 has collected the process once more, to give memory back? It does so 100 s after a full collection at
 * the latest.
 */
import { setTimeout as after } from 'node:timers/promises'
import { load } from '../harness/load.js'
import { startServer } from '../harness/processes.js'
import { median, ratioOf, round } from '../harness/statistics.js'
import { fill } from './hit.js'

export const title = 'A pause'

const SERVERS = {
  'constant Buffer, node:http alone': ['raw.js'],
  'registry-cache, front door': ['registry.js', 'front'],
  'constant Buffer in an Express route (b)': ['constant.js'],
  'registry-cache, in the route': ['registry.js'],
  apicache: ['apicache.js'],
}

const REQUEST = { paths: ['/small'] }
const PAUSE_MS = 130_000

export async function run(context) {
  const collected = new URL('../servers/collected.js', import.meta.url).href
  const servers = new Map()
  for (const [name, [file, ...args]] of Object.entries(SERVERS)) {
    const server = await startServer(file, { args, execArgv: ['--import', collected] })
    await fill(server, REQUEST.paths, {})
    servers.set(name, server)
  }
  const startedAt = performance.now()
  const { rounds } = context.rounds(5)
  const before = await measure(servers, rounds)
  context.say(`before: ${Math.round((performance.now() - startedAt) / 1000)} s; pausing`)
  await after(Math.max(0, PAUSE_MS - (performance.now() - startedAt)))
  const later = await measure(servers, rounds)
  const rows = [...servers.keys()].map((name) => {
    const { ratio, low, high } = ratioOf(later.get(name), before.get(name))
    const [was, is] = [before, later].map((samples) => `${round(median(samples.get(name)))}`)
    return [name, was, is, `${round(ratio)} (${round(low)} to ${round(high)})`]
  })
  const columns = ['server', 'µs before', 'µs after', 'times as much']
  return { figures: [{ name: 'CPU time of a small answer, before and after a collection in a pause', columns, rows }] }
}

/** Microseconds of CPU time per request, by server, once V8 has compiled what it will. */
async function measure(servers, rounds) {
  for (const server of servers.values()) await load(server, REQUEST, 3)
  const samples = new Map([...servers.keys()].map((name) => [name, []]))
  for (let i = 0; i < rounds; i++) {
    for (const [name, server] of servers) {
      samples.get(name).push((await load(server, REQUEST, 1)).cpuMicrosPerRequest)
    }
  }
  return samples
}
