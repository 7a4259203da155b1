/** One line of JSON for each request, with what the cache did. Credentials are not in it, and no headers. */
import type { RequestHandler } from 'express'
import { type Logger, pino } from 'pino'

export type { Logger }

export function createLog(level: string): Logger {
  return pino({ level, base: { pid: process.pid } })
}

export function logRequests(log: Logger): RequestHandler {
  return (req, res, next) => {
    const startedAt = performance.now()
    // 'close' comes after 'finish', and also where the client left before.
    res.once('close', () => {
      const level =
        res.statusCode >= 500 ? 'error' : req.path === '/healthz' || req.path === '/readyz' ? 'debug' : 'info'
      const request = {
        method: req.method,
        url: req.originalUrl,
        status: res.statusCode,
        /** HIT, MISS, STALE or BYPASS; undefined, and so not in the line, for what is no cached route. */
        cache: res.getHeader('X-Cache'),
        ms: Math.round((performance.now() - startedAt) * 100) / 100,
        ...(!res.writableFinished && { aborted: true }),
      }
      log[level](request, 'request')
    })
    next()
  }
}
