/*
 * What caches do, not how fast: writes during reads, conditional requests, cookies, streams, a Redis that is frozen or gone. Every peer in
 * turn, each in a process of its own, against a redis-server of its own.
 *
 *   node bench/behaviour.js                   all peers; writes bench/results/behaviour.json and the table of docs/comparison.md
 *   node bench/behaviour.js apicache nginx    these; prints, and writes nothing
 */
import { fork, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { PEERS } from './behaviour/peers.js'
import { PROBES } from './behaviour/probes.js'
import { behaviourTable, intoPage } from './behaviour/table.js'
import { tools } from './harness/machine.js'

const here = fileURLToPath(new URL('.', import.meta.url))
const PEER_MS = 240_000

function install() {
  if (existsSync(`${here}node_modules/express-redis-cache`)) return
  const { status } = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: here, stdio: 'inherit' })
  if (status !== 0) throw new Error('npm ci in bench failed')
}

function versionOf(name) {
  if (name === 'nginx') return spawnSync('nginx', ['-v'], { encoding: 'utf8' }).stderr.match(/nginx\/(\S+)/)?.[1]
  const folder = name === 'express-registry-cache' ? '..' : `node_modules/${name}`
  const file = `${here}${folder}/package.json`
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).version : undefined
}

/** Resolves to `{ probe: { good, saw, loose? } | null }`; what a peer that died did not get to is missing. */
async function run(name) {
  const answers = {}
  const child = fork(`${here}behaviour/run-peer.js`, [name], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  child.on('message', ({ name: probe, answer, loose }) => {
    if (loose) answers[probe] = { loose }
    else answers[probe] = answer && { ...answer, ...answers[probe] }
    if (answer) process.stderr.write(`${answer.good ? '  ' : '! '}${name}: ${probe}: ${answer.saw}\n`)
  })
  const tooLong = setTimeout(() => child.kill('SIGKILL'), PEER_MS)
  await once(child, 'exit')
  clearTimeout(tooLong)
  return answers
}

install()
const chosen = process.argv.slice(2)
const stranger = chosen.find((name) => !(name in PEERS))
if (stranger !== undefined) {
  console.error(`no peer ${stranger}: there are ${Object.keys(PEERS).join(', ')}`)
  process.exit(2)
}
const peers = {}
for (const [name, { kind, tiers }] of Object.entries(PEERS)) {
  if (chosen.length > 0 && !chosen.includes(name)) continue
  if (name === 'nginx' && tools.nginx === undefined) continue
  peers[name] = { version: versionOf(name), kind, tiers, answers: await run(name) }
}
const results = { node: process.version, probes: Object.keys(PROBES), peers }
console.log(behaviourTable(results))
if (chosen.length === 0) {
  mkdirSync(`${here}results`, { recursive: true })
  writeFileSync(`${here}results/behaviour.json`, `${JSON.stringify(results, null, 2)}\n`)
  intoPage(results)
}
