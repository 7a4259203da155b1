/*
 * A network that fails on command: a TCP proxy in front of one port (a Redis, mostly). It can cut connections, slow them down, and
 * swallow bytes while sockets stay open, as a firewall does that has forgotten a connection. It knows RESP just well enough to tell which
 * commands a client has sent, so that a test can harm the subscriber's connection alone.
 */
import { connect, createServer, type Socket } from 'node:net'
import { freePort, isPortTaken } from './ports.ts'
import { track } from './tracked.ts'

export type Direction = 'to-server' | 'to-client' | 'both'

export interface ProxyConnection {
  /** 1 for the first connection ever accepted, and so on. */
  readonly id: number
  readonly clientPort: number
  /** Names of the commands that the client has sent, in capitals. */
  readonly commands: ReadonlySet<string>
  readonly bytesToServer: number
  readonly bytesToClient: number
  /** Bytes that were read and dropped. */
  readonly swallowedBytes: number
  /** Directions (`to-server`, `to-client`) that lost data or an end, and say nothing any more. */
  readonly silenced: ReadonlySet<Direction>
  destroy(): void
}

export interface SwallowOptions {
  /** Default `both`. */
  direction?: Direction
  /** Which connections, asked anew for every piece of data: one that begins to SUBSCRIBE later is found too. Default: all. */
  filter?: (connection: ProxyConnection) => boolean
}

export interface TcpProxy {
  readonly port: number
  /** `redis://127.0.0.1:PORT` */
  readonly url: string
  /** Destroys all connections; new ones are refused until `heal()`. */
  cut(): Promise<void>
  /** From now on data is read and dropped, also its ends and errors: each side believes that the other is merely silent. */
  swallow(options?: SwallowOptions): void
  /** Holds back all data by `ms`, in order; 0 ends it. */
  delay(ms: number, options?: SwallowOptions): void
  /**
   * Accepts and forwards again. A direction that lost bytes stays silent until a side gives up, as real ones do: forwarding its
   * next bytes would be a garbled stream, not a healed network.
   */
  heal(): Promise<void>
  /** Those that are open now, oldest first. */
  connections(): ProxyConnection[]
  /** Ends everything. Idempotent. */
  close(): Promise<void>
}

interface Rule {
  readonly direction: Direction
  readonly filter: (connection: ProxyConnection) => boolean
}

interface Link extends ProxyConnection {
  bytesToServer: number
  bytesToClient: number
  swallowedBytes: number
  readonly commands: Set<string>
  readonly silenced: Set<Direction>
}

/** Starts a proxy on a free loopback port in front of `targetPort` of 127.0.0.1. */
export async function startProxy(targetPort: number): Promise<TcpProxy> {
  const links = new Set<Link>()
  let swallowing: Rule | undefined
  let delaying: (Rule & { readonly ms: number }) | undefined
  let lastId = 0
  let isClosed = false

  const server = createServer({ allowHalfOpen: true }, accept)

  function accept(client: Socket): void {
    const upstream = connect({ port: targetPort, host: '127.0.0.1', allowHalfOpen: true })
    const link: Link = {
      id: ++lastId,
      clientPort: client.remotePort ?? 0,
      commands: new Set(),
      silenced: new Set(),
      bytesToServer: 0,
      bytesToClient: 0,
      swallowedBytes: 0,
      destroy() {
        links.delete(link)
        client.destroy()
        upstream.destroy()
      },
    }
    links.add(link)
    const noteCommands = commandScanner(link.commands)
    pipe('to-server', client, upstream, link, (chunk) => {
      link.bytesToServer += chunk.length
      noteCommands(chunk)
    })
    pipe('to-client', upstream, client, link, (chunk) => {
      link.bytesToClient += chunk.length
    })
    client.setNoDelay(true)
    upstream.setNoDelay(true)
  }

  function applies(rule: Rule | undefined, direction: Direction, link: Link): boolean {
    if (rule === undefined) return false
    return (rule.direction === 'both' || rule.direction === direction) && rule.filter(link)
  }

  /** Asked when something is about to be forwarded: a direction that swallows it is silent from then on. */
  function isSilent(direction: Direction, link: Link): boolean {
    if (applies(swallowing, direction, link)) link.silenced.add(direction)
    return link.silenced.has(direction)
  }

  function pipe(direction: Direction, from: Socket, to: Socket, link: Link, note: (chunk: Buffer) => void): void {
    // Delayed data waits in one chain, so it can neither overtake nor be overtaken by an end.
    let chain: Promise<void> | undefined
    function deliver(act: () => void): void {
      const ms = delaying !== undefined && applies(delaying, direction, link) ? delaying.ms : 0
      if (ms === 0 && chain === undefined) {
        act()
        return
      }
      const dueAtMs = performance.now() + ms
      const mine: Promise<void> = (chain ?? Promise.resolve())
        .then(
          () => new Promise<void>((resolve) => setTimeout(resolve, Math.max(0, dueAtMs - performance.now())).unref()),
        )
        .then(act)
        .finally(() => {
          if (chain === mine) chain = undefined
        })
      chain = mine
    }
    from.on('data', (chunk) => {
      note(chunk)
      deliver(() => {
        if (isSilent(direction, link)) link.swallowedBytes += chunk.length
        else if (!to.destroyed) to.write(chunk)
      })
    })
    from.on('end', () => {
      deliver(() => {
        if (!isSilent(direction, link)) to.end()
      })
    })
    from.on('error', () => {
      // A reset travels on as a reset; 'close' follows.
      if (!isSilent(direction, link)) to.resetAndDestroy()
    })
    from.on('close', () => {
      deliver(() => {
        if (!isSilent(direction, link)) to.destroy()
        if (to.destroyed) links.delete(link)
      })
    })
  }

  async function listenOn(port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, '127.0.0.1', () => {
        server.off('error', reject)
        resolve()
      })
    })
  }

  function destroyAll(): void {
    for (const link of [...links]) link.destroy()
  }

  async function stopListening(): Promise<void> {
    if (!server.listening) return destroyAll()
    await new Promise<void>((resolve) => {
      server.close(() => resolve())
      destroyAll()
    })
  }

  const port = await freePort(async (candidate) => {
    try {
      await listenOn(candidate)
      return true
    } catch (error) {
      if (isPortTaken(error)) return false
      throw error
    }
  })
  const gone = track(`TCP proxy on port ${port}`, () => {
    server.close()
    destroyAll()
  })

  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    cut: stopListening,
    swallow({ direction = 'both', filter = () => true } = {}) {
      swallowing = { direction, filter }
    },
    delay(ms, { direction = 'both', filter = () => true } = {}) {
      delaying = ms > 0 ? { ms, direction, filter } : undefined
    },
    async heal() {
      if (isClosed) throw new Error('this proxy was closed')
      swallowing = undefined
      delaying = undefined
      if (!server.listening) await listenOn(port)
    },
    connections: () => [...links],
    async close() {
      isClosed = true
      await stopListening()
      gone()
    },
  }
}

/** Finds the command names in what a Redis client sends. A payload that looks like a command is taken for one: good enough for tests. */
function commandScanner(commands: Set<string>): (chunk: Buffer) => void {
  const commandHead = /\*\d+\r\n\$\d+\r\n([A-Za-z]+)\r\n/g
  let tail = ''
  return (chunk) => {
    const text = tail + chunk.toString('latin1')
    for (const match of text.matchAll(commandHead)) if (match[1] !== undefined) commands.add(match[1].toUpperCase())
    tail = text.slice(-64)
  }
}
