/*
 * What the documentation's examples take for granted: the application's own things. A string, since as a declaration file these names
 * would be known in all of the project.
 */
export const PRELUDE = `
declare namespace Express {
  interface Request {
    user?: { id: string; tenant: string; isAdmin?: boolean }
  }
}
type Handler = import('express').RequestHandler
declare const app: import('express').Express
declare const cache: import('express-registry-cache').RegistryCache
declare const another: import('express-registry-cache').RegistryCache
declare const register: import('prom-client').Registry
declare const redis: import('ioredis').Redis
declare const server: import('node:http').Server
declare const authenticate: Handler
declare const listTools: Handler
declare const getTool: Handler
declare const createTool: Handler
declare const updateTool: Handler
declare const deleteTool: Handler
declare const searchTools: Handler
declare const importTools: Handler
declare function compression(): Handler
declare function findUser(req: import('express').Request): Promise<{ id: string; tenant: string }>
declare const total: bigint
interface Tool { id: string; name: string; gatewayId: string; tags: string[] }
declare const db: {
  tools: {
    list(filters?: object): Promise<Tool[]>
    byName(name: string): Promise<Tool | null>
    insert(tool: object): Promise<Tool>
    update(id: string, changes: object): Promise<Tool | null>
  }
}
/** What a mocha or node:test file has. */
declare function it(name: string, body: () => unknown): void
`
