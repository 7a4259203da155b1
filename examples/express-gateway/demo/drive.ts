/**
 * The load, and the proof: eight clients ask for lists as fast as they are answered, while one tool is changed about once a second.
 * Each change has a number, so every list that holds the tool tells how old it is.
 *
 * What is promised, and checked on every answer, by when its request was sent: on the worker of the write, the write is seen once
 * it was acknowledged; on any other at the latest `maxStaleness` (5 s) after that. How long it really took there is measured.
 */
import { Agent, request } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'

const CLIENTS = 8
const MAX_REQUESTS = 500_000

export interface Figures {
  seconds: number
  requests: number
  failed: number
  /** Answered from the cache, and not; milliseconds each. */
  cachedMs: number[]
  uncachedMs: number[]
  /** Reads that no query was made for: hits, and those that shared the answer to another one. */
  avoided: number
  writes: number
  /** How long after its acknowledgement a write was seen on each other worker, milliseconds. */
  seenElsewhereMs: number[]
  /** What was too old, in words. */
  stale: string[]
}

export interface DriveOptions {
  seconds: number
  workers: number
  signal: AbortSignal
  /** What the cache promises; default 5 s, as its own. */
  maxStalenessMs?: number
  /** The figures of that second alone, but for `stale`, `failed` and `seconds`, which are of all until then. */
  onSecond(figures: Figures): void
}

interface Reply {
  status: number
  worker: string
  cache: string
  body: string
  sentAt: number
  tookMs: number
}

type Ask = (method: string, path: string, body?: object) => Promise<Reply>

/** A connection of its own, which one worker has accepted. */
function connection(target: URL): { ask: Ask; close(): void } {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const ask: Ask = (method, path, body) =>
    new Promise((resolve, reject) => {
      const sentAt = performance.now()
      const headers = body ? { 'content-type': 'application/json' } : {}
      const outgoing = request(new URL(path, target), { agent, method, headers, timeout: 20_000 }, (res) => {
        const chunks: Buffer[] = []
        res.on('data', (chunk: Buffer) => chunks.push(chunk))
        res.on('error', reject)
        res.on('end', () =>
          resolve({
            status: res.statusCode ?? 0,
            worker: String(res.headers['x-worker'] ?? 'the only one'),
            cache: `${res.headers['x-cache'] ?? ''} ${res.headers['cache-status'] ?? ''}`,
            body: Buffer.concat(chunks).toString(),
            sentAt,
            tookMs: performance.now() - sentAt,
          }),
        )
      })
      outgoing.on('timeout', () => outgoing.destroy(new Error('no answer within 20 s')))
      outgoing.on('error', reject)
      outgoing.end(body && JSON.stringify(body))
    })
  return { ask, close: () => agent.destroy() }
}

const none = (): Figures => ({
  seconds: 0,
  requests: 0,
  failed: 0,
  cachedMs: [],
  uncachedMs: [],
  avoided: 0,
  writes: 0,
  seenElsewhereMs: [],
  stale: [],
})

export async function drive(target: URL, options: DriveOptions): Promise<Figures> {
  const { seconds, workers, signal, maxStalenessMs = 5_000, onSecond } = options
  const total = none()
  let second = none()
  const acknowledged: { version: number; worker: string; at: number }[] = []
  const startedAt = performance.now()
  const isOver = () =>
    signal.aborted || performance.now() - startedAt > seconds * 1_000 || total.requests >= MAX_REQUESTS
  const both = (count: (figures: Figures) => void) => {
    count(total)
    count(second)
  }

  /** The version that the list shows; a list without the tool has not even seen that it was made. */
  const check = ({ body, worker, sentAt }: Reply): number => {
    const shown = Number(/"description":"demo write (\d+)"/.exec(body)?.[1] ?? -1)
    // The last ones are enough: whatever is older is promised by them too.
    for (const write of acknowledged.slice(-20)) {
      const promisedFrom = write.worker === worker ? write.at : write.at + maxStalenessMs
      if (sentAt < promisedFrom || shown >= write.version) continue
      const late = `${(sentAt - write.at).toFixed(0)} ms after write ${write.version} on worker ${write.worker}`
      total.stale.push(`worker ${worker} showed write ${shown}, ${late} was acknowledged`)
      break
    }
    return shown
  }

  const read = async (ask: Ask, path: string): Promise<Reply | undefined> => {
    try {
      const reply = await ask('GET', path)
      if (reply.status !== 200) throw new Error(`status ${reply.status}`)
      const isHit = /^(HIT|STALE)/.test(reply.cache)
      both((figures) => {
        figures.requests++
        ;(isHit ? figures.cachedMs : figures.uncachedMs).push(reply.tookMs)
        if (isHit || reply.cache.includes('collapsed')) figures.avoided++
      })
      return reply
    } catch {
      total.failed++
      // Not in a tight loop against a gateway that is gone.
      await pause(100)
      return undefined
    }
  }

  const client = async (number: number) => {
    const { ask, close } = connection(target)
    for (let i = number; !isOver(); i++) {
      const path = listPaths[i % listPaths.length] ?? ''
      const reply = await read(ask, path)
      if (reply && holdsTool(path)) check(reply)
    }
    close()
  }

  const { probes, close } = await connectToEach(target, workers)
  const asks = [...probes.values()]
  const first = { name: `demo ${Date.now()}`, description: 'demo write 0', tags: ['demo'] }
  const made = await asks[0]?.('POST', '/v1/tools', first)
  if (made?.status !== 201) throw new Error(`the tool for the demo could not be made: ${made?.body}`)
  const { id } = JSON.parse(made.body) as { id: string }
  acknowledged.push({ version: 0, worker: made.worker, at: performance.now() })

  const writer = async () => {
    for (let version = 1; !isOver(); version++) {
      const [worker, ask] = [...probes][version % probes.size] ?? []
      if (worker === undefined || ask === undefined) return
      const written = await ask('PATCH', `/v1/tools/${id}`, { description: `demo write ${version}` }).catch(
        () => undefined,
      )
      if (written?.status === 200) {
        const at = performance.now()
        acknowledged.push({ version, worker, at })
        both((figures) => figures.writes++)
        await Promise.all(
          [...probes].map(([reader, ask]) => untilSeen(ask, version, reader === worker ? undefined : at)),
        )
      } else total.failed++
      if (!isOver()) await pause(1_000, undefined, { signal }).catch(() => {})
    }
  }
  /** The first read on the worker of the write is all it takes; on another worker it is measured how many milliseconds. */
  const untilSeen = async (ask: Ask, version: number, since: number | undefined) => {
    const givenUpAt = performance.now() + maxStalenessMs + 1_000
    while (performance.now() < givenUpAt) {
      const reply = await read(ask, '/v1/tools')
      const isSeen = reply !== undefined && check(reply) >= version
      if (isSeen && since !== undefined) both((figures) => figures.seenElsewhereMs.push(performance.now() - since))
      if (isSeen || since === undefined) return
    }
  }

  const clock = setInterval(() => {
    const { stale, failed } = total
    onSecond({ ...second, stale, failed, seconds: Math.round((performance.now() - startedAt) / 1_000) })
    second = none()
  }, 1_000)
  await Promise.all([writer(), ...Array.from({ length: CLIENTS }, (_, i) => client(i * 3))]).finally(() =>
    clearInterval(clock),
  )
  close()
  return { ...total, seconds: (performance.now() - startedAt) / 1_000 }
}

/** The tool is the newest, so it is on the first page of every list of tools that filters by nothing else. */
const listPaths = [
  '/v1/tools',
  '/v1/tools?limit=10',
  '/v1/tools?limit=20',
  '/v1/tools?tags=demo,storage',
  '/v1/tools?search=file',
  '/v1/tools?search=graph',
  '/v1/prompts',
  '/v1/resources',
  '/v1/resources?limit=5',
  '/v1/servers',
  '/v1/gateways',
  '/v1/agents',
]
function holdsTool(path: string): boolean {
  return path.startsWith('/v1/tools') && !path.includes('search')
}

/** One connection to each worker. Which worker takes a connection is the system's choice, so: until each has taken one. */
async function connectToEach(target: URL, workers: number): Promise<{ probes: Map<string, Ask>; close(): void }> {
  const probes = new Map<string, Ask>()
  const kept: { close(): void }[] = []
  for (let tries = 0; probes.size < workers && tries < 200; tries++) {
    const { ask, close } = connection(target)
    const { worker } = await ask('GET', '/healthz')
    if (probes.has(worker)) {
      close()
      continue
    }
    probes.set(worker, ask)
    kept.push({ close })
  }
  return {
    probes,
    close() {
      for (const one of kept) one.close()
    },
  }
}
