/*
 * What a route that never stores anything is told, by the reason that `Cache-Status` gives. Said only where the route can do something
 * about it; what has a warning of its own is not repeated.
 */

/** So many answers in a row are no accident: a health check or the first visitor of a session is. */
export const UNSTORED_BEFORE_ADVICE = 3

const CURES: Readonly<Record<string, string>> = {
  'not-captured':
    'its answers are not JSON sent by res.json or res.send. Streams, res.write, res.end and other Content-Types pass by the cache',
  'set-cookie':
    'its answers set a cookie, which is for one client alone. With express-session: saveUninitialized: false, and no rolling',
  'too-large': 'its answers are larger than memory.maxEntryBytes. Raise it, or answer in pages',
  'no-store': "its Cache-Control says no-store. Leave that out, or set responseCacheControl: 'ignore'",
  private: "its Cache-Control says private. Give the route a scope and responseCacheControl: 'ignore'",
  'no-cache': "its Cache-Control says no-cache. Leave that out, or set responseCacheControl: 'ignore'",
  ttl: "its Cache-Control or Expires leaves no time. Correct it, or set responseCacheControl: 'ignore'",
  vary: 'its Vary is *. Name the headers that it depends on',
}

/** A sentence, or undefined where there is nothing to say. */
export function adviceFor(type: string, reason: string): string | undefined {
  const cure = Object.hasOwn(CURES, reason) ? CURES[reason] : undefined
  return cure && `nothing of ${type} was stored so far: ${cure}`
}
