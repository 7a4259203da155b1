/*
 * The command line, read once: which command, on what, with which options. Whatever is not understood is a UsageError of
 * one line; values that may hold a password are not repeated in it.
 */
import { parseArgs } from 'node:util'
import { isTag, isType } from '../cache/names.ts'
import { closest } from '../check.ts'
import { printable } from './output.ts'

export type CommandName = 'invalidate' | 'watch' | 'stats' | 'inspect' | 'doctor'

/** What a command gets. */
export interface Settings {
  readonly redisUrl: string
  readonly prefix: string
  readonly timeoutMs: number
  readonly json: boolean
  /** Types or keys, as written. */
  readonly targets: readonly string[]
  readonly tags: readonly string[]
  readonly all: boolean
  readonly body: boolean
}

export type Invocation =
  | { readonly kind: 'help'; readonly command: CommandName | undefined }
  | { readonly kind: 'version' }
  | { readonly kind: 'run'; readonly command: CommandName; readonly settings: Settings }

/** The command line is wrong: exit code 2. */
export class UsageError extends Error {}

const OPTIONS = {
  redis: { type: 'string' },
  prefix: { type: 'string' },
  timeout: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'v' },
  tag: { type: 'string', multiple: true },
  all: { type: 'boolean' },
  body: { type: 'boolean' },
} as const

type OptionName = keyof typeof OPTIONS

const COMMON: readonly OptionName[] = ['redis', 'prefix', 'timeout', 'json', 'help', 'version']
const OWN: Readonly<Record<CommandName, readonly OptionName[]>> = {
  invalidate: ['tag', 'all'],
  watch: [],
  stats: [],
  inspect: ['body'],
  doctor: [],
}
const COMMANDS = Object.keys(OWN) as CommandName[]

const DEFAULT_URL = 'redis://127.0.0.1:6379'
const DEFAULT_PREFIX = 'mcpgw:'
const DEFAULT_TIMEOUT = '5'
/** Seconds; what the cache's own `redisTimeout` bears. */
const MAX_TIMEOUT = 60

/**
 * What the arguments (without node and the script) ask for. `env` gives REDIS_URL and CACHE_PREFIX.
 * @throws UsageError
 */
export function readArguments(args: readonly string[], env: Readonly<Record<string, string | undefined>>): Invocation {
  const { values, positionals, tokens } = parseArgs({
    args: [...args],
    options: OPTIONS,
    allowPositionals: true,
    // What strict mode says of a typo is not what a user needs, and it repeats values.
    strict: false,
    tokens: true,
  })
  const given = new Set<OptionName>()
  for (const token of tokens) if (token.kind === 'option') given.add(checkOption(token))
  if (given.has('version')) return { kind: 'version' }
  const [word, ...targets] = positionals
  if (word === undefined || word === 'help') {
    if (word === undefined && !given.has('help')) throw new UsageError(`a command is missing: ${COMMANDS.join(', ')}`)
    return { kind: 'help', command: targets[0] === undefined ? undefined : readCommand(targets[0]) }
  }
  const command = readCommand(word)
  if (given.has('help')) return { kind: 'help', command }
  for (const name of given) {
    if (COMMON.includes(name) || OWN[command].includes(name)) continue
    const owner = COMMANDS.find((one) => OWN[one].includes(name))
    throw new UsageError(`--${name} is an option of ${owner}, not of ${command}`)
  }
  // Not strict, so typed loosely; checkOption has seen to it that strings are strings.
  const { redis, prefix, timeout, tag, all, body, json } = values as Partial<Record<OptionName, string>> & {
    tag?: string[]
  }
  const settings: Settings = {
    redisUrl: checkUrl(redis, env),
    prefix: prefix ?? variable(env, 'CACHE_PREFIX') ?? DEFAULT_PREFIX,
    timeoutMs: checkTimeout(timeout ?? DEFAULT_TIMEOUT),
    json: Boolean(json),
    targets,
    tags: tag ?? [],
    all: Boolean(all),
    body: Boolean(body),
  }
  checkTargets(command, settings)
  return { kind: 'run', command, settings }
}

interface OptionToken {
  readonly name: string
  readonly rawName: string
  readonly value?: string | undefined
  readonly inlineValue?: boolean | undefined
}

function checkOption({ name, rawName, value, inlineValue }: OptionToken): OptionName {
  if (!isOption(name)) {
    const close = closest(name, Object.keys(OPTIONS))
    const cure = close === undefined ? 'see --help' : `did you mean --${close}?`
    throw new UsageError(`unknown option ${shown(rawName)}: ${cure}`)
  }
  const takesValue = OPTIONS[name].type === 'string'
  if (!takesValue && inlineValue) throw new UsageError(`--${name} takes no value`)
  if (takesValue && (value === undefined || (!inlineValue && value.startsWith('-')))) {
    throw new UsageError(
      `--${name} needs a value${value === undefined ? '' : `; one that begins with -: --${name}=-…`}`,
    )
  }
  return name
}

function isOption(name: string): name is OptionName {
  return Object.hasOwn(OPTIONS, name)
}

function readCommand(word: string): CommandName {
  const command = COMMANDS.find((one) => one === word)
  if (command !== undefined) return command
  const close = closest(word, COMMANDS)
  const cure = close === undefined ? `there are ${COMMANDS.join(', ')}` : `did you mean ${close}?`
  throw new UsageError(`unknown command ${shown(word)}: ${cure}`)
}

function checkTargets(command: CommandName, { targets, tags, all }: Settings): void {
  if (command === 'inspect') {
    if (targets.length !== 1) throw new UsageError('inspect takes one KEY, or TYPE:HASH')
    return
  }
  if (command !== 'invalidate') {
    if (targets.length > 0) throw new UsageError(`${command} takes no arguments, received ${shown(targets[0] ?? '')}`)
    return
  }
  if (all && targets.length + tags.length > 0)
    throw new UsageError('--all is everything: give no TYPE or --tag with it')
  if (!all && targets.length + tags.length === 0) throw new UsageError('invalidate needs TYPE..., --tag TAG or --all')
  for (const type of targets) {
    if (isType(type)) continue
    const cure = isTag(type) ? '; for a tag: --tag' : ''
    throw new UsageError(`${shown(type)} is no type: 1 to 64 characters A-Z a-z 0-9 _ . -${cure}`)
  }
  for (const tag of tags) {
    if (!isTag(tag)) throw new UsageError(`${shown(tag)} is no tag: 1 to 512 bytes without control characters and ":@"`)
  }
}

function checkUrl(given: string | undefined, env: Readonly<Record<string, string | undefined>>): string {
  const url = given?.trim() ?? variable(env, 'REDIS_URL') ?? DEFAULT_URL
  if (/^(rediss?:\/\/.|\/)/.test(url)) return url
  const name = given === undefined ? 'REDIS_URL' : '--redis'
  throw new UsageError(`${name}: expected a URL that begins with redis:// or rediss:// (its value is not shown here)`)
}

function checkTimeout(text: string): number {
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN
  if (value > 0 && value <= MAX_TIMEOUT) return value * 1000
  throw new UsageError(`--timeout: expected seconds above 0 and at most ${MAX_TIMEOUT}, received ${shown(text)}`)
}

/** An empty variable counts as not set, as for the library. */
function variable(env: Readonly<Record<string, string | undefined>>, name: string): string | undefined {
  return env[name]?.trim() || undefined
}

/** A word of the command line as a message may repeat it: a URL in the wrong place must not show its password. */
function shown(word: string): string {
  return word.includes('://') ? '(a URL)' : printable(JSON.stringify(word.length > 80 ? `${word.slice(0, 80)}…` : word))
}
