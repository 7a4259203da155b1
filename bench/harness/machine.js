/*
 * What a measurement was made on, and the CPU time of the processes that were measured.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { cpus, loadavg, release, totalmem, type } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const require = createRequire(import.meta.url)

/** The first line that a program says about its version, or undefined where it is not installed. */
function versionOf(program, ...args) {
  const run = spawnSync(program, args, { encoding: 'utf8' })
  if (run.error) return undefined
  return `${run.stdout}${run.stderr}`.match(/\d+\.\d+[^\s,)]*/)?.[0]
}

export const tools = {
  wrk: versionOf('wrk', '-v'),
  nginx: versionOf('nginx', '-v'),
  varnishd: versionOf('varnishd', '-V'),
  redis: versionOf(process.env.REDIS_SERVER_BIN ?? 'redis-server', '--version'),
  taskset: versionOf('taskset', '--version'),
}

/** `undefined` for a package that is not installed. */
export function packageVersion(name) {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    try {
      return JSON.parse(readFileSync(join(folder, 'node_modules', name, 'package.json'), 'utf8')).version
    } catch {
      if (folder === dirname(folder)) return undefined
    }
  }
}

const PACKAGES = [
  'express',
  'ioredis',
  'apicache',
  'http-cache-middleware',
  'bentocache',
  'cache-manager',
  'compression',
  'autocannon',
]

export function versions() {
  const own = require('../../package.json').version
  const commit = spawnSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).stdout?.trim()
  return {
    'express-registry-cache': commit ? `${own} (${commit})` : own,
    ...Object.fromEntries(PACKAGES.map((name) => [name, packageVersion(name)])),
    ...tools,
  }
}

export function machine() {
  const all = cpus()
  return {
    cpu: all[0]?.model ?? 'unknown',
    cores: all.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    os: `${type()} ${release()}`,
    node: process.version,
    pinned: isPinned,
    loadAverageAtStart: loadavg()[0],
  }
}

/** With two cores and taskset, what is measured has one of them and what makes the load has the other. */
export const isPinned = tools.taskset !== undefined && cpus().length > 1
const LOAD_CORES = cpus().length > 1 ? `1-${cpus().length - 1}` : '0'

/** The command with its core; a role other than `server` and `load` has all of them. */
export function pinned(role, command, args) {
  if (!isPinned || (role !== 'server' && role !== 'load')) return [command, args]
  return ['taskset', ['-c', role === 'server' ? '0' : LOAD_CORES, command, ...args]]
}

/** CPU time of a process, its threads and its children, in microseconds. */
export function cpuMicros(pid) {
  let total = 0
  for (const id of [pid, ...childrenOf(pid)]) total += ownMicros(id)
  return total
}

const TICK_MICROS = 1e6 / Number(clockTicks())

function clockTicks() {
  try {
    return execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }).trim()
  } catch {
    return 100
  }
}

/** The scheduler's own count is exact; the ticks of `stat` are 10 ms each. */
function ownMicros(pid) {
  try {
    let nanos = 0
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      nanos += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0])
    }
    if (nanos > 0) return nanos / 1000
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1).split(' ')
    return (Number(fields[11]) + Number(fields[12])) * TICK_MICROS
  } catch {
    return 0
  }
}

function childrenOf(pid) {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
    return children === '' ? [] : children.split(' ').flatMap((child) => [Number(child), ...childrenOf(Number(child))])
  } catch {
    return []
  }
}

/** Resident memory in bytes. */
export function rss(pid) {
  const line = readFileSync(`/proc/${pid}/status`, 'utf8').match(/VmRSS:\s+(\d+) kB/)
  return Number(line?.[1] ?? 0) * 1024
}
