/**
 * MCP servers: runs one over stdio with the official SDK, asks what it offers, ends it again, and stores what it said
 * as a gateway with its tools, prompts, resources and a server entry.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import type { RequestOptions } from '@modelcontextprotocol/sdk/shared/protocol.js'
import { z } from 'zod'
import type { Database } from './db.ts'
import { checkVisibility, type Entity, insertEntities, parseEntity } from './entities.ts'
import { HttpError, oneLine } from './errors.ts'

export interface Federation {
  db: Database
  /** Only these commands are ever run: those of the bundled servers, and absolute paths of other programs. */
  allowedCommands: string[]
  /** For one server, from its start to the end of its answers. */
  timeoutMs: number
  /** Aborted at shutdown: servers that are being listed are ended. */
  signal: AbortSignal
}

/** The rest of the request describes the gateway, and is checked as one. */
export const federateRequest = z.looseObject({
  command: z.string(),
  // A NUL can not be passed to a program.
  args: z
    .array(z.string().regex(/^[^\0]*$/))
    .max(50)
    .default([]),
})

/** The MCP servers that this example depends on. */
export const bundledServers = [
  { name: 'everything', command: 'mcp-server-everything', tags: ['reference'] },
  { name: 'memory', command: 'mcp-server-memory', tags: ['reference', 'storage'] },
  // Only this folder; listing the tools reads nothing.
  { name: 'filesystem', command: 'mcp-server-filesystem', args: [import.meta.dirname], tags: ['reference', 'storage'] },
  { name: 'sequential-thinking', command: 'mcp-server-sequential-thinking', tags: ['reference'] },
]

/** The program of a command and its first arguments. */
function launchOf(command: string): string[] {
  const bundled = bundledServers.find((server) => server.command === command)
  if (!bundled) return [command]
  const manifest = createRequire(import.meta.url).resolve(`@modelcontextprotocol/server-${bundled.name}/package.json`)
  const { bin } = JSON.parse(readFileSync(manifest, 'utf8')) as { bin: Record<string, string> }
  // With this very node, not the one that the script's first line would find on the PATH.
  return [process.execPath, join(dirname(manifest), bin[command] ?? '')]
}

/** Runs the server of `{ name, command, args, … }`, lists what it has, and stores all of it or nothing. */
export async function federate(federation: Federation, request: unknown) {
  const { command, args, ...described } = federateRequest.parse(request)
  const gateway = parseEntity('gateways', described)
  checkVisibility(gateway, null)
  if (!federation.allowedCommands.includes(command)) {
    throw new HttpError(
      403,
      'command_not_allowed',
      `'${command}' is not one of ${federation.allowedCommands.join(', ')}`,
    )
  }
  const inventory = await inspect([...launchOf(command), ...args], federation)
  return federation.db.transaction(async (query) => {
    // The arguments are not stored: they may hold secrets, and the lists are public.
    const [stored] = await insertEntities(query, 'gateways', [{ ...gateway, command }])
    const { tags, visibility } = gateway
    const registered: Record<string, number> = {}
    for (const type of ['tools', 'prompts', 'resources', 'servers'] as const) {
      const entities = inventory[type].map((entity) => ({ ...entity, tags, visibility, gateway_id: stored?.id }))
      registered[type] = (await insertEntities(query, type, entities)).length
    }
    return { ...stored, registered }
  })
}

async function inspect([program = '', ...args]: string[], { timeoutMs, signal }: Federation) {
  const client = new Client({ name: 'express-gateway-example', version: '0.0.0' })
  // The SDK passes on a few environment variables (HOME, PATH, ...), so our secrets stay here.
  const transport = new EndingTransport({ command: program, args, stderr: 'ignore' })
  const timeout = AbortSignal.timeout(timeoutMs)
  const options = { signal: AbortSignal.any([signal, timeout]) }
  try {
    signal.throwIfAborted()
    await client.connect(transport, options)
    const capabilities = client.getServerCapabilities()
    const { name, title, version } = client.getServerVersion() ?? { name: program }
    const instructions = client.getInstructions()
    const inventory = {
      tools: [] as Entity[],
      prompts: [] as Entity[],
      resources: [] as Entity[],
      servers: [parseEntity('servers', { name, description: title, version, instructions, capabilities })],
    }
    for (const type of ['tools', 'prompts', 'resources'] as const) {
      let cursor: string | undefined
      if (capabilities?.[type]) {
        do {
          const { items, nextCursor } = await listPage[type](client, cursor === undefined ? {} : { cursor }, options)
          inventory[type].push(...items.map((item) => parseEntity(type, item)))
          // A server whose pages never end is stopped by the timeout; this bounds the memory until then.
          if (inventory[type].length > 5_000) throw new Error(`it has more than 5000 ${type}`)
          cursor = nextCursor
        } while (cursor !== undefined)
      }
    }
    return inventory
  } catch (error) {
    const reason = timeout.aborted ? `no answer within ${timeoutMs / 1000} s` : oneLine(error)
    throw new HttpError(502, 'mcp_server_failed', reason)
  } finally {
    await transport.end()
  }
}

type ListPage = (client: Client, page: { cursor?: string }, options: RequestOptions) => Promise<Page>
interface Page {
  items: Record<string, unknown>[]
  nextCursor?: string | undefined
}

/** MCP's words to ours. */
const listPage: Record<'tools' | 'prompts' | 'resources', ListPage> = {
  async tools(client, page, options) {
    const { tools, nextCursor } = await client.listTools(page, options)
    const items = tools.map(({ name, description, inputSchema, annotations }) => {
      return { name, description, input_schema: inputSchema, annotations }
    })
    return { items, nextCursor }
  },
  async prompts(client, page, options) {
    const { prompts, nextCursor } = await client.listPrompts(page, options)
    return {
      items: prompts.map(({ name, description, arguments: args }) => ({ name, description, arguments: args })),
      nextCursor,
    }
  },
  async resources(client, page, options) {
    const { resources, nextCursor } = await client.listResources(page, options)
    const items = resources.map(({ name, description, uri, mimeType }) => ({
      name,
      description,
      uri,
      mime_type: mimeType,
    }))
    return { items, nextCursor }
  },
}

/**
 * The SDK's `close()` closes the server's stdin and sends SIGTERM after 2 s and SIGKILL after 4 s. But for a server that
 * failed to connect it does so in the background, on timers that do not keep this process alive: `end()` waits until
 * the server is really gone, so that none outlives us.
 */
class EndingTransport extends StdioClientTransport {
  #gone: Promise<void> = Promise.resolve()

  override async start(): Promise<void> {
    const { onclose } = this
    const gone = new Promise<void>((resolve) => {
      this.onclose = () => {
        onclose?.()
        resolve()
      }
    })
    await super.start()
    this.#gone = gone
  }

  async end(): Promise<void> {
    await this.close()
    let timer: NodeJS.Timeout | undefined
    await Promise.race([this.#gone, new Promise((resolve) => (timer = setTimeout(resolve, 6_000)))])
    clearTimeout(timer)
  }
}
