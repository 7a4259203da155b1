/*
 * The cache's reasons in sentences, with what to do: docs/http.md in short.
 */

const CREDENTIALS = 'carries credentials, and its route has no scope. Say who may share an entry: scope'
const STATUS = 'the handler’s answer is passed on as it is'

/** @type {Readonly<Record<string, string>>} */
const REASONS = {
  authorization: `The request ${CREDENTIALS}.`,
  'proxy-authorization': `The request ${CREDENTIALS}.`,
  cookie: `The request ${CREDENTIALS}.`,
  'x-api-key': `The request ${CREDENTIALS}.`,
  user: `An authentication middleware has set req.user: the request ${CREDENTIALS}.`,
  auth: `An authentication middleware has set req.auth: the request ${CREDENTIALS}.`,
  scope: 'The route’s scope gave undefined, which means: leave the cache out.',
  'scope-value':
    'The route’s scope gave an empty string, a promise or no string. It has to give a string, or undefined.',
  'scope-error': 'The route’s scope threw.',
  'tags-error': 'The route’s tags threw, or gave no list of good tags.',
  'bypass-error': 'The route’s bypass threw.',
  'refresh-error': 'The route’s refresh threw.',
  bypass: 'The route’s bypass gave true.',
  query: 'A query parameter is not among query.allow.',
  'query-error': 'The query has no canonical form: look at the application’s query parser.',
  'redis-down': 'Redis does not answer, and this route is in strong mode or the cache is told to bypass then.',
  method: 'Only GET and HEAD are answered from the cache.',
  refresh: 'The route’s refresh asks for a new answer.',
  expired: 'The entry is past its TTL.',
  invalidated: 'An invalidation has overtaken the entry: see its stamps.',
  'not in memory':
    'This worker’s memory holds no such entry: nobody asked yet, it expired or was evicted, or an invalidation of its type has removed it. It may be in Redis; if not, the handler runs and fills it.',
  'epochs not verified lately': 'The entry is in memory; one question to Redis decides whether it is still current.',
  'not for this request':
    'There is an entry, but not one that this request may have (credentials, or other values of a Vary header).',
  'set-cookie': 'The answer sets a cookie, so it is somebody’s own.',
  'no-store': 'The answer’s Cache-Control says no-store.',
  private: 'The answer’s Cache-Control says private.',
  'no-cache': 'The answer’s Cache-Control says no-cache.',
  'user-after-cache': 'Somebody was authenticated behind the cache: mount authentication before it.',
  'request-no-store': 'The client asked for no-store, and this route honours it.',
  vary: 'The answer says Vary: *.',
  'content-encoding': 'The answer was encoded behind the cache: mount compression before it.',
  partial: 'A 206 or 304, or an answer with Content-Range.',
  status: `Its status is not among those that the route stores; ${STATUS}.`,
  ttl: 'Nothing is left of its lifetime: max-age=0, or an Expires in the past.',
  'too-large': 'The body is over memory.maxEntryBytes.',
  'not-captured': 'No JSON by res.json or res.send.',
  aborted: 'The client left before there was an answer.',
  unverified: 'Which epochs are current could not be found out.',
}

/** @param {string} reason */
export function meaningOf(reason) {
  return REASONS[reason] ?? reason
}

/** @type {Readonly<Record<string, string>>} */
export const OUTCOMES = {
  hit: 'Hit: answered from this worker’s memory.',
  stale: 'Stale: answered from memory past its TTL, and recomputed behind the client’s back.',
  verify: 'Likely a hit, once Redis was asked for the epochs.',
  miss: 'Not a hit: the handler runs, unless Redis has the entry.',
  bypass: 'Not a hit: the cache is left out.',
  pass: 'Not a hit: the request passes the cache by.',
}
