/*
 * SET of a value that lies in several buffers, without putting them together. For an entry of 57 KB the two copies that are
 * made otherwise, one here and one in the client, are a quarter of what a miss costs beyond its handler
 * (bench/questions/miss.js).
 *
 * ioredis and iovalkey ask a command for its bytes when it is written to a connection, and again when it has to be sent again
 * (`toWritable`). Their own scripts say something else there than they were made with, and so does this command. Who watches
 * the client's `sendCommand` sees a SET of nothing. Where anything stands between us and the client's own SET, that is called.
 */
import { corkForThisTurn } from './redis-client.ts'

/** What we rely on of a command. */
interface Command {
  /** With the key prefix, as they go out. */
  readonly args: readonly unknown[]
  toWritable(socket: Socket): string | Buffer
}

interface Socket {
  readonly writableCorked: number
  write(chunk: string | Buffer): unknown
  cork(): void
  uncork(): void
}

export type CommandClass = new (name: string, args: string[], options: CommandOptions) => Command

interface CommandOptions {
  keyPrefix: string
  replyEncoding: 'utf8'
  errorStack?: Error
}

/** The part of a client that this needs; `sendCommand` only for sending in parts. */
export interface SettingClient {
  readonly options: object
  ping(): Promise<unknown>
  set(key: string, value: Buffer, px: 'PX', ms: number): Promise<unknown>
  sendCommand?(command: never): unknown
}

/** Nobody may change the parts from then on: they may be sent again. */
export type SetInParts = (key: string, parts: readonly Buffer[], px: number) => Promise<unknown>

/** For any client; those that are no ioredis or iovalkey, or whose SET is not their own, get one buffer. */
export function setInParts(client: SettingClient): SetInParts {
  const inOne: SetInParts = (key, parts, px) => client.set(key, Buffer.concat(parts), 'PX', px)
  const own = ownOf(client)
  if (own === undefined) return inOne

  class SetCommand extends own.Command {
    readonly #parts: readonly Buffer[]

    constructor(key: string, parts: readonly Buffer[], px: number, options: CommandOptions) {
      super('set', [key, '', 'PX', `${px}`], options)
      this.#parts = parts
    }

    /** Without a transformer of arguments, which may have changed what was to be stored. */
    get isAsMade(): boolean {
      return this.args.length === 4 && this.args[1] === ''
    }

    override toWritable(socket: Socket): string {
      const [key, , , px] = this.args
      const bytes = this.#parts.reduce((sum, part) => sum + part.byteLength, 0)
      // RedisLink does so for its client, but knows neither a Cluster's connections nor what is sent again.
      corkForThisTurn(socket)
      socket.write(`*5\r\n$3\r\nset\r\n${bulk(String(key))}$${bytes}\r\n`)
      for (const part of this.#parts) if (part.byteLength > 0) socket.write(part)
      return `\r\n${bulk('PX')}${bulk(String(px))}`
    }
  }

  return (key, parts, px) => {
    const { keyPrefix = '', showFriendlyErrorStack } = client.options as {
      keyPrefix?: unknown
      showFriendlyErrorStack?: boolean
    }
    if (client.set !== own.set || typeof keyPrefix !== 'string') return inOne(key, parts, px)
    const options: CommandOptions = { keyPrefix, replyEncoding: 'utf8' }
    if (showFriendlyErrorStack) options.errorStack = new Error()
    const command = new SetCommand(key, parts, px, options)
    return command.isAsMade ? (client.sendCommand?.(command as never) as Promise<unknown>) : inOne(key, parts, px)
  }
}

/** The client's own SET, and the class of its commands; undefined where methods are wrapped, or work in another way. */
function ownOf(
  client: SettingClient,
): { readonly set: SettingClient['set']; readonly Command: CommandClass } | undefined {
  let owner: object | null = client
  while (owner !== null && !Object.hasOwn(owner, 'ping')) owner = Object.getPrototypeOf(owner)
  if (owner === null || owner === client || !Object.hasOwn(owner, 'set')) return undefined
  const { ping, set } = owner as SettingClient
  if (client.ping !== ping || client.set !== set || typeof client.sendCommand !== 'function') return undefined
  try {
    // Such methods make a command and give it to `sendCommand`: this one shows it, and sends nothing.
    const made: unknown = ping.call({ options: {}, sendCommand: (command: unknown) => command } as never)
    Promise.resolve(made).catch(() => {})
    // Without the socket as its argument (ioredis 4) there is nothing to write to.
    if ((made as Command).toWritable.length !== 1) return undefined
    return { set, Command: (made as Command).constructor as CommandClass }
  } catch {
    return undefined
  }
}

/** As the protocol has a string: its length in bytes, and itself. */
function bulk(text: string): string {
  return `$${Buffer.byteLength(text)}\r\n${text}\r\n`
}
