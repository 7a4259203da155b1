/*
 * The JSON under api/: what each address takes, checked, and what it answers. Who may ask was decided before.
 */
import type { IncomingMessage } from 'node:http'
import { checkNames } from '../check.ts'
import type { CacheDescription } from '../description.ts'
import { OptionError } from '../errors.ts'
import { TYPE_NAME } from '../options.ts'
import { Refusal } from './answers.ts'
import type { DashboardCache } from './options.ts'
import type { EntryPage, Evicted, Explained, Invalidated, Preview } from './wire.ts'

const MAX_SEARCH = 500

/** The parameters of a URL, each at most once, none but these. */
export function parametersOf(req: IncomingMessage, known: readonly string[]): Readonly<Record<string, string>> {
  const url = req.url ?? ''
  const at = url.indexOf('?')
  const given = new URLSearchParams(at === -1 ? '' : url.slice(at + 1))
  const parameters: Record<string, string> = {}
  for (const [name, value] of given) {
    if (!known.includes(name)) throw bad(`There is no parameter ${quote(name)}; known are ${known.join(', ')}.`)
    if (Object.hasOwn(parameters, name)) throw bad(`The parameter ${name} is there twice.`)
    parameters[name] = value
  }
  return parameters
}

export function listEntries(cache: DashboardCache, req: IncomingMessage): EntryPage {
  const { type, search, limit, cursor } = parametersOf(req, ['type', 'search', 'limit', 'cursor'])
  if ((search?.length ?? 0) > MAX_SEARCH) throw bad(`search has more than ${MAX_SEARCH} characters.`)
  if (limit !== undefined && !/^\d{1,4}$/.test(limit)) throw bad('limit is no number.')
  return cache.entries({
    type: type === '' ? undefined : type,
    search,
    limit: limit === undefined ? undefined : Number(limit),
    cursor: cursor === '' ? undefined : cursor,
  })
}

export function previewEntry(cache: DashboardCache, req: IncomingMessage): Preview {
  const { key } = parametersOf(req, ['key'])
  if (key === undefined) throw bad('key is missing.')
  const preview = cache.preview(key)
  if (preview) return preview
  throw new Refusal(
    404,
    'ERR_DASHBOARD_NOT_FOUND',
    "The entry is not in this worker's memory: it ended, or another has it.",
  )
}

export function explainRequest(cache: DashboardCache, body: object): Explained {
  const { route, ...request } = membersOf(body, ['route', 'method', 'url', 'headers'])
  if (route !== undefined && typeof route !== 'string')
    throw new OptionError('ERR_ROUTE_ID', 'route', route, 'a string')
  return cache.explainRoute(route, request as { url: string })
}

export async function invalidate(cache: DashboardCache, body: object): Promise<Invalidated> {
  const given = membersOf(body, ['type', 'tag', 'all'])
  if (Object.keys(given).length !== 1) throw bad('Exactly one of type, tag and all is meant.')
  const { type, tag, all } = given
  if (all !== undefined) {
    if (all !== true) throw bad('all is true, or not there.')
    return { target: 'all', dependents: [], ...(await cache.invalidateAll()) }
  }
  if (tag !== undefined) {
    // What is no well-formed tag is refused by the cache.
    const done = await cache.invalidate({ tag: tag as string })
    return { target: tag as string, dependents: [], ...done }
  }
  // An object here would be taken for a tag.
  if (typeof type !== 'string') throw new OptionError('ERR_TYPE_NAME', 'type', type, TYPE_NAME)
  const done = await cache.invalidate(type)
  return { target: type, dependents: dependentsOf(cache.describe(), type), ...done }
}

export async function evict(cache: DashboardCache, body: object): Promise<Evicted> {
  const { key } = membersOf(body, ['key'])
  return await cache.evict(key as string)
}

/** All types that an invalidation of this one reaches. */
function dependentsOf({ types }: CacheDescription, type: string): string[] {
  const direct = new Map(types.map((info) => [info.type, info.dependents]))
  const reached = new Set([type])
  for (const one of reached) for (const next of direct.get(one) ?? []) reached.add(next)
  reached.delete(type)
  return [...reached]
}

function membersOf(body: object, known: readonly string[]): Readonly<Record<string, unknown>> {
  return checkNames('', body, known)
}

function bad(message: string): Refusal {
  return new Refusal(400, 'ERR_DASHBOARD_REQUEST', message)
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 40))
}
