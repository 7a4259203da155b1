/*
 * Clients that ask a gateway one thing after the other, each on a connection of its own, which is kept alive for some requests:
 * a new one goes to the next worker. Nothing is tried again: what fails is counted.
 */
import { Agent } from 'node:http'
import { type Answer, type RequestOptions, request } from '../helpers/http.ts'

export interface Load {
  /** Of requests that were answered, by status. */
  readonly statuses: Record<number, number>
  /** By error code; a request that no answer came to. */
  readonly failures: Record<string, number>
  /** How many workers answered, by X-Worker. */
  readonly workers: Set<string>
  answered(): number
  /** Ends the clients after their current request. */
  stop(): Promise<void>
}

export interface LoadOptions {
  clients: number
  /** Of all clients together: the load ends by itself. */
  maxRequests: number
  /** The next request of a client. */
  next(client: number, round: number): RequestOptions
  onAnswer?(options: RequestOptions, answer: Answer): void
  /** After how many requests a client takes a new connection; default 20. */
  renewAfter?: number
  /** A client ends at an answer with `Connection: close`, as after a goodbye. */
  endAtGoodbye?: boolean
}

export function startLoad(target: { port: number }, options: LoadOptions): Load {
  const { clients, maxRequests, next, onAnswer, renewAfter = 20, endAtGoodbye = false } = options
  const statuses: Record<number, number> = {}
  const failures: Record<string, number> = {}
  const workers = new Set<string>()
  let begun = 0
  let isStopping = false
  const run = async (client: number) => {
    const connect = () => new Agent({ keepAlive: true, maxSockets: 1 })
    let agent = connect()
    const renew = () => {
      agent.destroy()
      agent = connect()
    }
    for (let round = 0; !isStopping && begun < maxRequests; round++) {
      begun++
      const asked = next(client, round)
      try {
        const answer = await request(target, { ...asked, agent })
        statuses[answer.status] = (statuses[answer.status] ?? 0) + 1
        if (typeof answer.headers['x-worker'] === 'string') workers.add(answer.headers['x-worker'])
        onAnswer?.(asked, answer)
        if (endAtGoodbye && answer.headers.connection === 'close') break
      } catch (error) {
        const code = String((error as NodeJS.ErrnoException).code ?? error)
        failures[code] = (failures[code] ?? 0) + 1
        renew()
      }
      if (round % renewAfter === renewAfter - 1) renew()
    }
    agent.destroy()
  }
  const running = Promise.all(Array.from({ length: clients }, (_, client) => run(client)))
  return {
    statuses,
    failures,
    workers,
    answered: () => Object.values(statuses).reduce((sum, count) => sum + count, 0),
    async stop() {
      isStopping = true
      await running
    },
  }
}
