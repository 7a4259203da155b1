/*
 * Load for so many seconds, by wrk where it is installed, by autocannon elsewhere. Answers without a body that name its length (to HEAD, and
 * some peers' 304) confuse their parsers, so those come from sockets.js.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cpuMicros, pinned, tools } from './machine.js'

export const CONNECTIONS = 32

/** More than any run can ask for. */
const UNIQUE_PER_RUN = 10_000_000
let nextNumber = 0

/**
 * Shape of `request`: `{ paths, headers, method, unique }`; more than one path means in turn, `unique` adds `?n=1`, `?n=2` and so on to the
 * first, never the same number twice. Answers
 * `{ requests, perSecond, p99Ms, errors, cpuMicrosPerRequest }`; the CPU time is the server's, with its threads and children.
 */
export async function load(server, request, seconds) {
  nextNumber += UNIQUE_PER_RUN
  const isBodiless = request.method === 'HEAD' || request.headers?.['If-None-Match'] !== undefined
  const run = isBodiless ? bySockets : tools.wrk === undefined ? byAutocannon : byWrk
  const before = cpuMicros(server.pid)
  const result = await run(server.port, request, seconds)
  const cpu = cpuMicros(server.pid) - before
  return { ...result, cpuMicrosPerRequest: cpu / Math.max(1, result.requests) }
}

async function run(command, args) {
  const [program, all] = pinned('load', command, args)
  const child = spawn(program, all, { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  child.stdout.on('data', (chunk) => {
    said += chunk
  })
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`${command} ended with ${code}: ${said}`)
  return said
}

async function byWrk(port, { paths, headers = {}, unique = false }, seconds) {
  const args = ['-t1', `-c${CONNECTIONS}`, `-d${Math.max(1, Math.round(seconds))}s`, '--latency']
  for (const [name, value] of Object.entries(headers)) args.push('-H', `${name}: ${value}`)
  let dir
  if (paths.length > 1 || unique) {
    dir = mkdtempSync(join(tmpdir(), 'registry-bench-'))
    const script = join(dir, 'rotate.lua')
    const list = paths.map((path) => JSON.stringify(path)).join(', ')
    const counting = `local n = ${nextNumber}
request = function() n = n + 1; return wrk.format('GET', '${paths[0]}?n=' .. string.format('%d', n)) end
`
    const rotating = `local paths = { ${list} }
local requests, at = {}, 0
init = function() for i, path in ipairs(paths) do requests[i] = wrk.format('GET', path) end end
request = function() at = at % #requests + 1; return requests[at] end
`
    writeFileSync(script, unique ? counting : rotating)
    args.push('-s', script)
  }
  try {
    const said = await run('wrk', [...args, `http://127.0.0.1:${port}${paths[0]}`])
    const [, requests, elapsed, unit] = said.match(/(\d+) requests in ([\d.]+)(ms|s|m)/) ?? []
    const inSeconds = Number(elapsed) * { ms: 0.001, s: 1, m: 60 }[unit]
    const [, p99, p99Unit] = said.match(/99%\s+([\d.]+)(us|ms|s)/) ?? []
    const bad = said.match(/Non-2xx or 3xx responses: (\d+)/)?.[1] ?? 0
    const broken = said.match(/Socket errors: (.*)/)?.[1].match(/\d+/g) ?? []
    return {
      requests: Number(requests),
      perSecond: Number(requests) / inSeconds,
      p99Ms: Number(p99) * { us: 0.001, ms: 1, s: 1000 }[p99Unit],
      errors: Number(bad) + broken.reduce((sum, count) => sum + Number(count), 0),
    }
  } finally {
    if (dir) await rm(dir, { recursive: true, force: true })
  }
}

async function byAutocannon(port, request, seconds) {
  return JSON.parse(
    await run(process.execPath, [
      local('autocannon.js'),
      `${port}`,
      JSON.stringify({ ...request, nextNumber }),
      `${seconds}`,
    ]),
  )
}

async function bySockets(port, request, seconds) {
  return JSON.parse(
    await run(process.execPath, [local('sockets.js'), `${port}`, JSON.stringify(request), `${seconds}`]),
  )
}

function local(file) {
  return fileURLToPath(new URL(file, import.meta.url))
}
