/** What a gateway holds from the start: the bundled MCP servers, and the catalog of CATALOG_FILE. */
import { readFile } from 'node:fs/promises'
import type { Config } from './config.ts'
import { type Entity, insertEntities, parseEntity } from './entities.ts'
import { oneLine, toHttpError } from './errors.ts'
import { bundledServers, type Federation, federate } from './mcp.ts'

/** Rejects when CATALOG_FILE can not be read. A server that fails costs one line, not the start. */
export async function fillRegistry(config: Config, federation: Federation, catalog: CatalogEntry[]): Promise<void> {
  await registerServers(federation, config.MCP_SERVERS)
  await insertEntities(federation.db.query, 'catalog', catalog, { onConflict: 'replace' })
}

/** In parallel. */
async function registerServers(federation: Federation, names: string[]): Promise<void> {
  const known = await federation.db.query<{ key: string }>(`select key from entities where type = 'gateways'`)
  const isKnown = new Set(known.map(({ key }) => key))
  await Promise.all(
    bundledServers
      .filter(({ name }) => names.includes(name))
      .map(async (request) => {
        if (isKnown.has(request.name)) return console.log(`${request.name} is registered already`)
        try {
          const { registered } = await federate(federation, request)
          console.log(`Registered ${request.name}: ${summary(Object.entries(registered))}`)
        } catch (error) {
          if (federation.signal.aborted) return
          // Another instance that starts now was faster.
          if (toHttpError(error)?.code === 'already_exists') return console.log(`${request.name} is registered already`)
          console.error(`Could not register ${request.name}: ${oneLine(error)}`)
        }
      }),
  )
}

type CatalogEntry = Entity & { id?: string }

/** Published dumps have entries without a name; they, and whatever else is no catalog entry, are left out. */
export async function readCatalog(path: string | undefined): Promise<CatalogEntry[]> {
  if (path === undefined) return []
  const dump = await readFile(path, 'utf8')
    .then(JSON.parse)
    .catch((error) => {
      throw new Error(`CATALOG_FILE ${path}: ${oneLine(error)}`)
    })
  if (!Array.isArray(dump)) throw new Error(`CATALOG_FILE ${path}: no JSON array`)
  const entities = dump.flatMap((entry) => {
    try {
      const { id, name, description, repository, version_detail, packages, remotes } = entry
      const entity = parseEntity('catalog', { name, description, repository, version_detail, packages, remotes })
      return [{ ...entity, ...(typeof id === 'string' && id !== '' && { id }) }]
    } catch {
      return []
    }
  })
  console.log(`Read ${entities.length} of the ${dump.length} catalog entries in ${path}`)
  return entities
}

export function summary(counts: [type: string, count: number][]): string {
  return counts.map(([type, count]) => `${type} ${count}`).join(', ')
}
