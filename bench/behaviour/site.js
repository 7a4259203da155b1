/*
 * A small site behind one of the peers, and a client that adds no header and waits no longer than the deadline.
 */
import { once } from 'node:events'
import { request } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import express from 'express'

const DEADLINE_MS = 3000

/** Asks once. What gives no answer in time has `status: 0`. `onData` may end the exchange by `destroy`. */
export async function ask(port, path, { method = 'GET', headers = {}, onData, deadlineMs = DEADLINE_MS } = {}) {
  const startedAt = performance.now()
  const call = request({ port, path, method, headers, host: '127.0.0.1', agent: false })
  const deadline = setTimeout(() => call.destroy(new Error('deadline')), deadlineMs)
  let [body, firstByteMs, isWhole] = ['', undefined, false]
  const answer = { status: 0, headers: {} }
  try {
    call.end()
    const [response] = await once(call, 'response')
    Object.assign(answer, { status: response.statusCode, headers: response.headers })
    for await (const chunk of response) {
      firstByteMs ??= performance.now() - startedAt
      body += chunk
      onData?.(call)
    }
    isWhole = response.complete
  } catch {
    // Aborted by us, by the deadline, or by the server: `isWhole` says it.
  } finally {
    clearTimeout(deadline)
    call.destroy()
  }
  return { ...answer, body, firstByteMs, isWhole, ms: performance.now() - startedAt }
}

/** Resolves when `holds()` is true; false when it is not within `ms`. */
export async function within(ms, holds) {
  for (const deadline = performance.now() + ms; performance.now() < deadline; await pause(5))
    if (await holds()) return true
  return false
}

/** A promise and what releases it. */
export function gate() {
  let open
  const passed = new Promise((resolve) => {
    open = resolve
  })
  return { passed, open }
}

/**
 * An application behind a new instance of the peer: `GET /list` answers what `load(req)` resolves to, by whichever way the peer wants;
 * `GET /page` is `handler`, behind the middleware; `POST /write` invalidates.
 */
export async function openSite({ peer, redisPort, load, handler }) {
  const made = await peer.create({ redisPort })
  const app = express()
  app.set('query parser', 'extended')
  if (made.use) app.use(made.use)
  if (peer.kind === 'values')
    app.get('/list', async (req, res) => res.json(await made.wrap(req.originalUrl, () => load(req))))
  else app.get('/list', ...made.route, async (req, res) => res.json(await load(req)))
  if (handler) app.get('/page', ...made.route, handler)
  app.post('/write', async (_req, res) => {
    await made.invalidate?.()
    made.onWrite?.(res)
    res.json({ written: true })
  })
  app.use((_error, _req, res, _next) => res.status(500).json({ failed: true }))
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const front = await made.front?.(server.address().port)
  const port = front?.port ?? server.address().port
  return {
    get: (path, options) => ask(port, path, options),
    write: () => ask(port, '/write', { method: 'POST' }),
    canInvalidate: Boolean(made.invalidate ?? made.onWrite),
    close: async () => {
      server.closeAllConnections()
      server.close()
      await front?.stop()
      await made.stop()
    },
  }
}
