/** Errors as clients see them: `{ "error": { "code", "message", "details"? } }` with a fitting status. */
import { z } from 'zod'

export class HttpError extends Error {
  readonly status: number
  readonly code: string
  readonly details: unknown

  constructor(status: number, code: string, message: string, details?: unknown) {
    super(message)
    this.status = status
    this.code = code
    this.details = details
  }
}

/** What PostgreSQL refuses because of what the client sent, by SQLSTATE. Class 22 is bad data, such as a NUL in a text. */
const bySqlState: Record<string, [status: number, code: string, message: string]> = {
  '22': [400, 'invalid_request', 'the database does not accept this text (a NUL character?)'],
  '23503': [400, 'unknown_gateway', 'there is no gateway with this gateway_id'],
  '23505': [409, 'already_exists', 'an entity of this type with this name (for a resource: this URI) exists'],
}

const bodyParserCodes: Record<string, string> = {
  'entity.parse.failed': 'malformed_json',
  'entity.too.large': 'body_too_large',
}

/** `undefined` for what is not the client's doing. */
export function toHttpError(error: unknown): HttpError | undefined {
  if (error instanceof HttpError) return error
  if (error instanceof z.ZodError) {
    const details = error.issues.map(({ path, message }) => ({ path: path.join('.'), message }))
    return new HttpError(400, 'invalid_request', oneLine(error), details)
  }
  if (!(error instanceof Error)) return undefined
  const { code, status, type } = error as { code?: unknown; status?: unknown; type?: unknown }
  const refused =
    typeof code === 'string' && /^\d{2}\w{3}$/.test(code) && (bySqlState[code] ?? bySqlState[code.slice(0, 2)])
  if (refused) return new HttpError(...refused)
  // Express and its body parser: a malformed body, a path that does not decode, an unknown charset.
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return new HttpError(status, bodyParserCodes[String(type)] ?? 'bad_request', error.message)
  }
  return undefined
}

export function oneLine(error: unknown): string {
  if (error instanceof z.ZodError) {
    return error.issues.map(({ path, message }) => (path.length ? `${path.join('.')}: ${message}` : message)).join('; ')
  }
  // A host name with several addresses, none of which answers.
  if (error instanceof AggregateError) return error.errors.map(oneLine).join('; ')
  return (error instanceof Error && error.message ? error.message : String(error)).replace(/\s*\n\s*/g, ' ')
}
