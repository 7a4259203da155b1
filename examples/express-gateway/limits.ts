/**
 * How much one client, by its address, may ask of the database. Counted in each process by itself: with four workers, a client
 * that spreads its requests gets up to four times as much. For one count of all of them give `rateLimit` a store in Redis
 * (rate-limit-redis), and so each request a round trip.
 */
import type { RequestHandler, Response } from 'express'
import { rateLimit } from 'express-rate-limit'
import { HttpError } from './errors.ts'

export function limitRequests(perMinute: number): RequestHandler {
  return rateLimit({
    windowMs: 60_000,
    limit: perMinute,
    standardHeaders: 'draft-8',
    legacyHeaders: false,
    // What the cache answers costs next to nothing, so it does not count.
    skipSuccessfulRequests: true,
    requestWasSuccessful: (_req, res: Response) => res.getHeader('X-Cache') === 'HIT',
    handler: (_req, _res, next) => {
      next(
        new HttpError(429, 'too_many_requests', `at most ${perMinute} requests a minute that the cache can not answer`),
      )
    },
  })
}
