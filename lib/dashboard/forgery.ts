/*
 * Against requests that another site makes in the name of somebody who is signed in. Two locks: where the browser says that the
 * request comes from, and a token that only our own page can read.
 *
 * The token is a random number in a cookie, repeated in a header (a double submit): so any worker of a fleet can check it, and
 * none needs a secret or a memory. What a sibling domain could plant as a cookie is of no use to it: it fails the first lock.
 * The cookie names no Path, so that the browser takes the folder of the URL as it sees it, under whatever a proxy has put in front;
 * and it is sent to the dashboard alone: one for all of the application would make the cache leave out every request with it.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import type { CacheRequest } from '../http/exchange.ts'
import { Refusal } from './answers.ts'

const COOKIE = 'registry_cache_token'
const TOKEN = /^[A-Za-z0-9_-]{43}$/

/**
 * Refuses what does not come from our own page. Source: Go's http.CrossOriginProtection, which says at length why these
 * two headers are enough.
 * @throws Refusal
 */
export function checkOrigin(req: CacheRequest): void {
  const site = req.headers['sec-fetch-site']
  if (site !== undefined) {
    if (site === 'same-origin' || (site === 'none' && isRead(req))) return
    throw foreign(`it comes from another site (Sec-Fetch-Site: ${site})`)
  }
  const { origin, host } = req.headers
  // Neither: no browser, so nobody's session was borrowed.
  if (origin === undefined || (host && hostOf(origin) === host.toLowerCase())) return
  throw foreign(`its Origin is not the Host that it was sent to; a proxy in between has to pass on Host as it came`)
}

function foreign(why: string): Refusal {
  return new Refusal(403, 'ERR_DASHBOARD_CROSS_SITE', `The request is refused: ${why}.`)
}

function isRead({ method }: CacheRequest): boolean {
  return method === 'GET' || method === 'HEAD'
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined
}

/** The token of this browser, which gets one if it has none. */
export function tokenFor(req: CacheRequest, res: ServerResponse): string {
  const [known] = tokensOf(req)
  if (known !== undefined) return known
  const token = randomBytes(32).toString('base64url')
  const isSecure = 'encrypted' in req.socket || /^https\b/i.test(String(req.headers['x-forwarded-proto']))
  res.appendHeader('Set-Cookie', `${COOKIE}=${token}; HttpOnly; SameSite=Strict${isSecure ? '; Secure' : ''}`)
  return token
}

/** @throws Refusal */
export function checkToken(req: CacheRequest): void {
  const given = req.headers['x-csrf-token']
  const sent = typeof given === 'string' && TOKEN.test(given) ? Buffer.from(given) : undefined
  if (sent && tokensOf(req).some((token) => timingSafeEqual(sent, Buffer.from(token)))) return
  throw new Refusal(
    403,
    'ERR_DASHBOARD_TOKEN',
    `The request is refused: X-CSRF-Token is not the token of the cookie ${COOKIE}; api/snapshot gives both.`,
  )
}

/** Of one name there may be several, for several folders. */
function tokensOf(req: CacheRequest): string[] {
  return (req.headers.cookie ?? '')
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${COOKIE}=`))
    .map((pair) => pair.slice(COOKIE.length + 1))
    .filter((token) => TOKEN.test(token))
}
