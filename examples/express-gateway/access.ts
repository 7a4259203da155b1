/**
 * Who asks: nobody in particular, a team (by an API key) or the admin (by ADMIN_TOKEN), always as `Authorization: Bearer …`.
 * A credential that is wrong in any way is refused; it never makes its bearer anonymous.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { Request, RequestHandler } from 'express'
import type { RegistryCache } from 'express-registry-cache'
import type { Database } from './db.ts'
import type { Caller } from './entities.ts'
import { HttpError } from './errors.ts'

export interface Access {
  db: Database
  cache: RegistryCache
  adminToken: string
  /** Whether what belongs to no team may be written by anybody. Default true; config.ts says where it is not. */
  openWrites?: boolean
}

const callers = new WeakMap<Request, Caller>()

/** Throws where `authenticate` did not run before: forgetting it shuts the door, it does not open it. */
export function callerOf(req: Request): Caller {
  const caller = callers.get(req)
  if (!caller) throw new Error('authenticate() has to be mounted before whoever asks for the caller')
  return caller
}

/** Who may share a cached answer: those who see the same. START HERE in app.ts is where it is used. */
export function scopeOf(req: Request): string {
  const { isAdmin, team } = callerOf(req)
  if (isAdmin) return 'admin'
  return team === null ? 'anonymous' : `team:${team}`
}

/** Mounted before the cache, so that it runs on hits too. */
export function authenticate(access: Access): RequestHandler {
  return async (req, res, next) => {
    // For the caches between here and the client: ask each time (304 is cheap), and never answer one with another's.
    res.set('Cache-Control', 'no-cache').vary('Authorization')
    callers.set(req, await identify(access, req.headers.authorization))
    next()
  }
}

async function identify(access: Access, header: string | undefined): Promise<Caller> {
  const { openWrites = true } = access
  if (header === undefined) return { team: null, isAdmin: false, mayWriteShared: openWrites }
  const [, token] = /^bearer +(.+)$/i.exec(header) ?? []
  if (token !== undefined) {
    if (isSameSecret(token, access.adminToken)) return { team: null, isAdmin: true, mayWriteShared: true }
    const team = await teamOf(access, hashOf(token))
    if (team !== undefined) return { team, isAdmin: false, mayWriteShared: openWrites }
  }
  throw new HttpError(
    401,
    'invalid_credentials',
    'send "Authorization: Bearer KEY" with a key that exists, or no such header',
  )
}

/**
 * The team of an API key, from the cache: a hit must not cost a query for who asks. What is cached is by hash and holds no key.
 * Keys that do not exist are not remembered (`undefined` never is), or anybody could fill the cache with them.
 */
function teamOf({ db, cache }: Access, hash: string): Promise<string | undefined> {
  const load = async () => {
    const [key] = await db.query<{ team: string }>('select team from api_keys where hash = $1', [hash])
    return key?.team
  }
  // keys.ts invalidates the type when a key is revoked. With Redis gone, other workers learn of that after 30 s.
  return cache.wrap('api_keys', { hash }, load, { ttl: 30 })
}

/** Keys are 256 random bits: nothing to guess, so a fast hash will do, and one that can be looked up. */
export function hashOf(key: string): string {
  return createHash('sha256').update(key).digest('hex')
}

export const adminOnly: RequestHandler = (req, res, next) => {
  if (callerOf(req).isAdmin) return next()
  res.set('WWW-Authenticate', 'Bearer')
  next(new HttpError(401, 'admin_token_required', 'send the header "Authorization: Bearer ADMIN_TOKEN"'))
}

/** The dashboard is opened in a browser, which knows how to ask for a password: any user name, and the admin token. */
export function isAdminByPassword(
  req: { headers: { authorization?: string | undefined } },
  adminToken: string,
): boolean {
  const [, credentials = ''] = /^basic +(.+)$/i.exec(req.headers.authorization ?? '') ?? []
  const [, password] = /^[^:]*:(.*)$/s.exec(Buffer.from(credentials, 'base64').toString()) ?? []
  return password !== undefined && isSameSecret(password, adminToken)
}

/** Digests have one length, which timingSafeEqual asks for. */
function isSameSecret(given: string, expected: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(given), digest(expected))
}
