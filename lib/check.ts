/*
 * Small checks that options are made of. A bad value throws an OptionError that names the option, what came and what was
 * expected; nothing is coerced or clamped. `undefined` means omitted.
 */
import { type ErrorCode, OptionError } from './errors.ts'

/** The member names of `value`, all of them known; a typo gets a suggestion. */
export function checkNames(option: string, value: unknown, known: readonly string[]): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new OptionError('ERR_OPTION_TYPE', option, value, 'an object')
  }
  refuseRequest(option, value)
  for (const name of Object.keys(value)) {
    if (known.includes(name)) continue
    const close = closest(name, known)
    const expected = close
      ? `one of its known names (did you mean ${JSON.stringify(close)}?)`
      : `one of ${known.join(', ')}`
    throw new OptionError('ERR_OPTION_UNKNOWN', option === '' ? name : `${option}.${name}`, name, expected)
  }
  return value as Record<string, unknown>
}

/** Mounted itself, where what it returns was to be mounted: `app.use(registryCacheMiddleware)`. Throws OptionError. */
export function refuseRequest(option: string, value: unknown): void {
  if (typeof value !== 'object' || value === null || !('headers' in value && 'httpVersion' in value)) return
  const expected = 'an object of options, not a request: call this once, and mount what it returns'
  throw new OptionError('ERR_OPTION_TYPE', option, value, expected)
}

export interface NumberRange {
  readonly min: number
  readonly max?: number
  /** The minimum itself is refused. */
  readonly above?: boolean
  readonly integer?: boolean
  readonly unit?: string
}

export function checkNumber(option: string, value: unknown, range: NumberRange, fallback: number): number {
  if (value === undefined) return fallback
  const expected = describe(range)
  if (typeof value !== 'number') throw new OptionError('ERR_OPTION_TYPE', option, value, expected)
  const isInRange =
    Number.isFinite(value) &&
    (range.above ? value > range.min : value >= range.min) &&
    value <= (range.max ?? Number.MAX_SAFE_INTEGER) &&
    (!range.integer || Number.isInteger(value))
  if (!isInRange) throw new OptionError('ERR_OPTION_RANGE', option, value, expected)
  return value
}

function describe({ min, max, above, integer, unit }: NumberRange): string {
  const kind = `${integer ? 'an integer' : 'a number'}${unit ? ` of ${unit}` : ''}`
  const bounds = `${above ? 'above' : 'of at least'} ${min}`
  return `${kind} ${bounds}${max === undefined ? '' : ` and at most ${max}`}`
}

export function checkBoolean(option: string, value: unknown, fallback: boolean): boolean {
  if (value === undefined) return fallback
  if (typeof value !== 'boolean') throw new OptionError('ERR_OPTION_TYPE', option, value, 'true or false')
  return value
}

export function checkOneOf<T extends string>(option: string, value: unknown, allowed: readonly T[], fallback: T): T {
  if (value === undefined) return fallback
  if (!allowed.includes(value as T)) {
    throw new OptionError('ERR_OPTION_RANGE', option, value, `one of ${allowed.map((one) => `'${one}'`).join(', ')}`)
  }
  return value as T
}

export function checkFunction<F>(option: string, value: F | undefined): F | undefined {
  if (value !== undefined && typeof value !== 'function') {
    throw new OptionError('ERR_OPTION_TYPE', option, value, 'a function')
  }
  return value
}

/** A list in which every item passes. */
export function checkList<T>(
  option: string,
  value: unknown,
  isItem: (item: unknown) => item is T,
  expected: string,
  code: ErrorCode = 'ERR_OPTION_TYPE',
): readonly T[] {
  if (!Array.isArray(value)) throw new OptionError('ERR_OPTION_TYPE', option, value, `a list of ${expected}`)
  for (const [i, item] of value.entries()) {
    if (!isItem(item)) throw new OptionError(code, `${option}[${i}]`, item, expected)
  }
  return Object.freeze([...value])
}

export const isString = (item: unknown): item is string => typeof item === 'string'

/** A header or method name (RFC 9110 section 5.6.2: a token). */
export const isToken = (item: unknown): item is string =>
  typeof item === 'string' && /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(item)

/** The known name that is at most two edits (one, for short names) away. */
export function closest(name: string, known: readonly string[]): string | undefined {
  const reach = name.length < 5 ? 1 : 2
  let best: { name: string; edits: number } | undefined
  for (const candidate of known) {
    const edits = distance(name.toLowerCase(), candidate.toLowerCase())
    if (edits <= reach && edits < (best?.edits ?? Infinity)) best = { name: candidate, edits }
  }
  return best?.name
}

/** Levenshtein's distance. */
function distance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 2) return 3
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const substituted = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, substituted))
    }
    row = next
  }
  return row[b.length] ?? 0
}
