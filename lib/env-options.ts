/*
 * Options from the environment's variables, under the names that the older system uses.
 */
import { OptionError } from './errors.ts'
import { BUILT_IN_TYPES, MAX_SECONDS, type RegistryCacheOptions } from './options.ts'

/** Reads REDIS_URL, CACHE_PREFIX, REGISTRY_CACHE_ENABLED and REGISTRY_CACHE_TOOLS_TTL to REGISTRY_CACHE_CATALOG_TTL. */
export function registryCacheOptionsFromEnv(env: Readonly<Record<string, string | undefined>>): {
  redisUrl: string | undefined
  options: RegistryCacheOptions
} {
  const types: Record<string, number> = {}
  for (const type of Object.keys(BUILT_IN_TYPES)) {
    const name = `REGISTRY_CACHE_${type.toUpperCase()}_TTL`
    const text = read(env, name)
    if (text === undefined) continue
    const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN
    if (!(seconds > 0 && seconds <= MAX_SECONDS)) {
      throw new OptionError('ERR_OPTION_ENV', name, text, 'a number of seconds above 0')
    }
    types[type] = seconds
  }
  const redisUrl = read(env, 'REDIS_URL')
  if (redisUrl !== undefined && !/^(rediss?|valkeys?|unix):\/\/|^\//.test(redisUrl)) {
    // The value may hold a password: it is not repeated.
    throw new OptionError('ERR_OPTION_ENV', 'REDIS_URL', '(hidden)', 'a URL that begins with redis:// or rediss://')
  }
  const prefix = read(env, 'CACHE_PREFIX')
  const enabled = read(env, 'REGISTRY_CACHE_ENABLED')
  return {
    redisUrl,
    options: {
      ...(prefix === undefined ? {} : { prefix }),
      ...(enabled === undefined ? {} : { enabled: toBoolean('REGISTRY_CACHE_ENABLED', enabled) }),
      ...(Object.keys(types).length === 0 ? {} : { types }),
    },
  }
}

/** An empty variable counts as not set, as in most shells' scripts. */
function read(env: Readonly<Record<string, string | undefined>>, name: string): string | undefined {
  const text = env[name]?.trim()
  return text === '' ? undefined : text
}

function toBoolean(name: string, text: string): boolean {
  if (/^(true|1)$/i.test(text)) return true
  if (/^(false|0)$/i.test(text)) return false
  throw new OptionError('ERR_OPTION_ENV', name, text, 'true, false, 1 or 0')
}
