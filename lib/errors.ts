/*
 * Every error and warning that users can meet, each with a stable code and a heading in docs/errors.md.
 * Branch on `err.code`: two installed copies of the package have two of each class.
 */

/** Codes of errors and warnings. Each begins with `ERR_` and has a heading in docs/errors.md. */
export type ErrorCode =
  | 'ERR_OPTION_UNKNOWN'
  | 'ERR_OPTION_MISSING'
  | 'ERR_OPTION_TYPE'
  | 'ERR_OPTION_RANGE'
  | 'ERR_OPTION_CONFLICT'
  | 'ERR_OPTION_REDIS'
  | 'ERR_OPTION_ENV'
  | 'ERR_TYPE_NAME'
  | 'ERR_TAG_NAME'
  | 'ERR_NO_TYPE'
  | 'ERR_ENTRY_KEY'
  | 'ERR_ROUTE_ID'
  | 'ERR_ALREADY_CONFIGURED'
  | 'ERR_ALREADY_REGISTERED'
  | 'ERR_VALUE_NOT_JSON'
  | 'ERR_REDIS_UNAVAILABLE'
  | 'ERR_REDIS_TIMEOUT'
  | 'ERR_REDIS_REPLY'
  | 'ERR_ENTRY_CORRUPT'
  | 'ERR_CALLBACK_THREW'
  | 'ERR_SCOPE_VALUE'
  | 'ERR_SCOPE_MISSING'
  | 'ERR_CACHE_BEFORE_AUTH'
  | 'ERR_CACHE_TWICE'
  | 'ERR_COMPRESSION_BEHIND'
  | 'ERR_TYPE_TYPO'
  | 'ERR_TTL_MILLISECONDS'
  | 'ERR_NOTHING_STORED'
  | 'ERR_SUBSCRIBER_NOT_STARTED'
  | 'ERR_SUBSCRIBER_LOST'
  | 'ERR_HEARTBEAT_REFUSED'
  | 'ERR_REDIS_UNREACHABLE'
  | 'ERR_REDIS_SUBSCRIBER_MODE'
  | 'ERR_REDIS_NO_DEADLINE'
  | 'ERR_CACHE_AFTER_ROUTE'
  | 'ERR_METHOD_NOT_LISTED'
  | 'ERR_DASHBOARD_PAGE'
  | 'ERR_DASHBOARD_FORBIDDEN'
  | 'ERR_DASHBOARD_CROSS_SITE'
  | 'ERR_DASHBOARD_TOKEN'
  | 'ERR_DASHBOARD_REQUEST'
  | 'ERR_DASHBOARD_NOT_FOUND'
  | 'ERR_DASHBOARD_STREAMS'
  | 'ERR_DASHBOARD_FAILED'

/**
 * A bad option, name or argument. Thrown where the option is given, before any request is touched.
 * Shape: `code`, `option` (dotted path), `received` (what was given), `expected` (in words).
 */
export class OptionError extends TypeError {
  readonly code: ErrorCode
  readonly option: string
  readonly received: unknown
  readonly expected: string

  constructor(code: ErrorCode, option: string, received: unknown, expected: string) {
    super(
      `express-registry-cache: ${option || 'options'}: expected ${expected}, received ${inspect(received)} (${code})`,
    )
    this.name = 'OptionError'
    this.code = code
    this.option = option
    // Not enumerable: who logs the error would log a request's headers, or a client with its password, over pages.
    Object.defineProperty(this, 'received', { value: received, enumerable: false })
    this.expected = expected
  }
}

/** A value that JSON cannot carry faithfully. `path` names the member, in JavaScript's notation: `$.items[3].size`. */
export class ValueError extends TypeError {
  readonly code: ErrorCode = 'ERR_VALUE_NOT_JSON'
  readonly path: string

  constructor(path: string, found: string) {
    super(`express-registry-cache: ${path} is ${found}, which JSON cannot carry (ERR_VALUE_NOT_JSON)`)
    this.name = 'ValueError'
    this.path = path
  }
}

/** Trouble in a tier or in a callback of the application. Emitted as an `error` event, never thrown into a request. */
export class TierError extends Error {
  readonly code: ErrorCode
  readonly operation: string

  constructor(code: ErrorCode, operation: string, message: string, cause?: unknown) {
    super(`${operation}: ${message} (${code})`, cause === undefined ? undefined : { cause })
    this.name = 'TierError'
    this.code = code
    this.operation = operation
  }
}

function inspect(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value)
  if (typeof value === 'function') return 'a function'
  if (Array.isArray(value)) return `an array of ${value.length}`
  if (typeof value === 'object' && value !== null) return 'an object'
  return String(value)
}
