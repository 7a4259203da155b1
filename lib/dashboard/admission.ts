/*
 * Who may see the dashboard, and do what on it. Only `true` admits: a callback that throws, rejects or gives something else
 * refuses, and the application is told by an `error` event and a warning.
 */
import { TierError } from '../errors.ts'
import type { CacheRequest } from '../http/exchange.ts'
import type { DashboardCache, DashboardOptions, DashboardPermission } from './options.ts'

export type Admission = (req: CacheRequest) => Promise<boolean>

export function admission(
  name: 'authorize' | 'mayInvalidate' | 'mayPreview',
  permission: DashboardPermission | DashboardOptions['authorize'],
  cache: DashboardCache,
): Admission {
  if (permission === 'local') return async (req) => isLocal(req)
  if (typeof permission === 'boolean') return async () => permission
  return async (req) => {
    try {
      const answer: unknown = await permission(req)
      if (typeof answer === 'boolean') return answer
      throw new TypeError(`it gave ${answer === null ? 'null' : `a value of type ${typeof answer}`}, not true or false`)
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      cache.report(new TierError('ERR_CALLBACK_THREW', name, `the dashboard refused a request: ${why}`, cause))
      return false
    }
  }
}

/** Any of them says that somebody else is the client, whoever connects. */
const FORWARDING =
  /^(forwarded|via|x-forwarded(-.+)?|x-original-forwarded-for|x-real-ip|x-client-ip|x-cluster-client-ip|x-envoy-external-address|true-client-ip|cf-connecting-ip|fly-client-ip)$/

/**
 * From this machine, and meant for it. A proxy on this machine connects from loopback for anybody, so what it passes on is
 * refused; and a web page whose own name was made to lead here (DNS rebinding) shows by the Host that it asks for. nginx, told
 * no more than `proxy_pass`, adds no header and asks for its own peer: it shows by HTTP/1.0, which no browser speaks.
 */
export function isLocal(req: CacheRequest): boolean {
  if (req.httpVersion === '1.0' || Object.keys(req.headers).some((name) => FORWARDING.test(name))) return false
  return isLoopback(req.socket.remoteAddress) && isLoopbackName(req.headers.host)
}

function isLoopback(address: string | undefined): boolean {
  return address !== undefined && /^(::1|(::ffff:)?127(\.\d{1,3}){3})$/i.test(address)
}

function isLoopbackName(host: string | undefined): boolean {
  return host !== undefined && /^(([a-z0-9-]+\.)*localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i.test(host)
}
