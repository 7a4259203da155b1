/*
 * What --help prints.
 */
import type { CommandName } from './arguments.ts'

const COMMON = `Options of every command:
  --redis URL      default: REDIS_URL, else redis://127.0.0.1:6379
  --prefix PREFIX  of keys and channel; default: CACHE_PREFIX, else mcpgw:
  --timeout S      seconds to wait for Redis, each time; default 5
  --json           print JSON
  --help, --version

Exit codes: 0 done, 1 not done (Redis could not be reached or told, a check failed, no such entry), 2 wrong usage.`

const ALL = `Usage: express-registry-cache COMMAND [options]

  invalidate TYPE... | --tag TAG | --all   make entries worthless, in all workers
  watch                                    print invalidations as they happen
  stats                                    show the workers of the fleet, and their counters
  inspect KEY | TYPE:HASH                  show an entry in Redis, and whether it is still valid
  doctor                                   check Redis and this user's permissions

${COMMON}`

const ONE: Readonly<Record<CommandName, string>> = {
  invalidate: `Usage: express-registry-cache invalidate TYPE... [--tag TAG]... | --all

Invalidates types, with the built-in types that depend on them, and tags: in Redis and in every worker. Types that depend
on others by your application's own \`types\` option are not known here: name them too. Ends with 1 when Redis did not
confirm it.

  --tag TAG        a tag; may be repeated
  --all            every entry of every type`,
  watch: `Usage: express-registry-cache watch

Prints each invalidation as it is published, until it is interrupted (then it ends with 0). It only listens.`,
  stats: `Usage: express-registry-cache stats

Prints a line for each worker that has said within the last 15 seconds that it is there, and their sum: hits, misses and so
on since each of them was started. Reads only. Ends with 1 when Redis could not be asked; a fleet without workers is none
the less an answer.`,
  inspect: `Usage: express-registry-cache inspect KEY | TYPE:HASH

Shows what is stored under a key: its kind, status, headers, size, the time that is left, and its stamps against the
current epochs. Reads only. Ends with 1 when there is no such entry.

  --body           print the body too`,
  doctor: `Usage: express-registry-cache doctor

Checks version, eviction policy, latency, clock, and each command that the cache needs, with keys of its own that it
removes again. Prints an ACL line with the least privileges. Ends with 1 when a check failed.`,
}

export function help(command: CommandName | undefined): string {
  return command === undefined ? ALL : `${ONE[command]}\n\n${COMMON}`
}
