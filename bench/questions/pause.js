/*
 * What does a request cost after V8 has collected the process once more, to give memory back? It does so 100 s after a full collection at
 * the latest.
 */
import { setTimeout as after } from 'node:timers/promises'
import { startServer } from '../harness/processes.js'
import { compare, cpuRatio } from '../harness/rounds.js'
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
  const contestants = []
  for (const [name, [file, ...args]] of Object.entries(SERVERS)) {
    const server = await startServer(file, { args, execArgv: ['--import', collected] })
    await fill(server, REQUEST.paths, {})
    contestants.push({ name, server, request: REQUEST })
  }
  const measure = () => compare(contestants, contestants[0].name, context.rounds(5))
  const startedAt = performance.now()
  const before = await measure()
  context.say(`before: ${Math.round((performance.now() - startedAt) / 1000)} s; pausing`)
  await after(Math.max(0, PAUSE_MS - (performance.now() - startedAt)))
  const later = await measure()
  const rows = before.map((was, i) => {
    const { ratio, low, high } = cpuRatio(was, later[i])
    return [was.name, `${was.cpuMicrosPerRequest}`, `${later[i].cpuMicrosPerRequest}`, `${ratio} (${low} to ${high})`]
  })
  const columns = ['server', 'µs before', 'µs after', 'times as much']
  return { figures: [{ name: 'CPU time of a small answer, before and after a collection in a pause', columns, rows }] }
}
