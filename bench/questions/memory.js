/*
 * What does an entry weigh? Answers of one record each, from as many URLs, through the middleware.
 */
import { load } from '../harness/load.js'
import { startServer } from '../harness/processes.js'

export const title = 'Memory per entry'

const ENTRIES = 100_000

export async function run(context) {
  const wanted = context.full ? ENTRIES : ENTRIES / 5
  const options = { execArgv: ['--expose-gc'], env: { MAX_ENTRIES: '200000', MAX_MIB: '2048' } }
  const servers = {
    'registry-cache': await startServer('registry.js', options),
    apicache: await startServer('apicache.js', options),
  }
  const rows = []
  const targets = []
  for (const [name, server] of Object.entries(servers)) {
    const answer = await fetch(`http://127.0.0.1:${server.port}/one?n=99999999`)
    const body = (await answer.arrayBuffer()).byteLength
    // The process' own growth under load comes first, and does not count.
    await load(server, { paths: ['/small'] }, 3)
    const { memory: before } = await server.ask('memory')
    let made = 0
    for (let i = 0; i < 60 && made < wanted; i++) {
      made += (await load(server, { paths: ['/one'], unique: true }, 3)).requests
    }
    const { memory: after } = await server.ask('memory')
    const entries = name === 'apicache' ? made : (await server.ask('stats')).stats.entries
    const per = (figure) => Math.round((after[figure] - before[figure]) / entries)
    const kept = Math.round((after.heapUsed + after.external - before.heapUsed - before.external) / entries)
    rows.push([name, entries.toLocaleString('en'), `${body}`, `${kept}`, `${per('heapUsed')}`, `${per('rss')}`])
    if (name === 'registry-cache') {
      const most = body + 1536
      targets.push({
        text: `heap and buffers per entry of ${body} bytes`,
        measured: `${kept} bytes`,
        target: `<= ${most}`,
        met: kept <= most,
      })
    }
    await server.stop()
  }
  const columns = ['cache', 'entries', 'body bytes', 'heap and buffers per entry', 'heap per entry', 'RSS per entry']
  return { figures: [{ name: 'bytes per entry, after a garbage collection', columns, rows }], targets }
}
