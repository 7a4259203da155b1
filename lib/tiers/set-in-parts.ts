/*
 * SET of a value that lies in several buffers, without putting them together. For an entry of 57 KB the two copies that are
 * made otherwise, one here and one in the client, are a quarter of what a miss costs beyond its handler
 * (bench/questions/miss.js).
 *
 * ioredis and iovalkey ask a command for its bytes when it is written to a connection, and again when it has to be sent again
 * (`toWritable`). Their own scripts say something else there than they were made with, and so does this command.
 */
import type { RedisClient } from './redis-client.ts'

/** What we rely on of the clients' own class. */
interface Command {
  /** With the key prefix, as they go out. */
  readonly args: readonly unknown[]
  toWritable(socket: Socket): string | Buffer
}

interface Socket {
  write(chunk: string | Buffer): unknown
}

type CommandClass = new (
  name: string,
  args: readonly unknown[],
  options: { readonly keyPrefix: unknown; readonly replyEncoding: 'utf8' },
) => Command

interface Sender {
  readonly options: { readonly keyPrefix?: unknown }
  ping(): unknown
  sendCommand(command: Command): Promise<unknown>
}

export type SetInParts = (key: string, parts: readonly Buffer[], px: number) => Promise<unknown>

/** Undefined for clients that do not work like this. Nobody may change the parts from then on: they may be sent again. */
export function setInParts(client: RedisClient): SetInParts | undefined {
  const sender = client as unknown as Sender
  const Base = typeof sender.sendCommand === 'function' ? commandClassOf(sender) : undefined
  if (Base === undefined) return undefined
  const { keyPrefix = '' } = sender.options
  if (typeof keyPrefix !== 'string') return undefined
  const options = { keyPrefix, replyEncoding: 'utf8' } as const

  class SetCommand extends Base {
    readonly #parts: readonly Buffer[]

    constructor(key: string, parts: readonly Buffer[], px: number) {
      super('set', [key, '', 'PX', px], options)
      this.#parts = parts
    }

    override toWritable(socket: Socket): string {
      const [key, , , px] = this.args
      const bytes = this.#parts.reduce((sum, part) => sum + part.byteLength, 0)
      socket.write(`*5\r\n$3\r\nset\r\n${bulk(String(key))}$${bytes}\r\n`)
      for (const part of this.#parts) if (part.byteLength > 0) socket.write(part)
      return `\r\n${bulk('PX')}${bulk(String(px))}`
    }
  }

  return (key, parts, px) => sender.sendCommand(new SetCommand(key, parts, px))
}

/** A client's methods make a command and give it to `sendCommand`: this one shows it, and sends nothing. */
function commandClassOf(client: Sender): CommandClass | undefined {
  try {
    const made = client.ping.call({ options: {}, sendCommand: (command: unknown) => command } as never)
    if (made instanceof Promise) made.catch(() => {})
    const isCommand = typeof (made as Command | undefined)?.toWritable === 'function'
    return isCommand ? ((made as object).constructor as CommandClass) : undefined
  } catch {
    return undefined
  }
}

/** As the protocol has a string: its length in bytes, and itself. */
function bulk(text: string): string {
  return `$${Buffer.byteLength(text)}\r\n${text}\r\n`
}
