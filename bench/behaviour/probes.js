/*
 * What is asked of each peer. A probe opens sites, does what a client or a failure would do, and returns `{ good, saw }`: `good` is whether
 * the clients were served right, `saw` says in words what happened. `undefined` where the question does not arise.
 */
import { gate, openSite, within } from './site.js'

const result = (good, saw) => ({ good, saw })
const isHttp = ({ peer }) => peer.kind === 'responses'

/** Machines are busy: what is at once is told as that. */
function say({ status, ms }) {
  if (status !== 200) return status === 0 ? 'not within 3 s' : `with ${status}`
  return ms < 100 ? 'at once' : `in ${Math.round(ms / 10) * 10} ms`
}

async function withSite(context, build, use) {
  const site = await openSite({ ...context, load: async () => [], ...build })
  try {
    return await use(site)
  } finally {
    await site.close()
  }
}

export const PROBES = {
  'A write during a slow read': async (context) => {
    const slow = gate()
    let [rows, runs] = [['old'], 0]
    const load = async () => {
      const read = rows
      if (runs++ === 0) await slow.passed
      return read
    }
    return withSite(context, { load }, async (site) => {
      if (!site.canInvalidate) return undefined
      const first = site.get('/list')
      await within(2000, () => runs > 0)
      rows = ['new']
      await site.write()
      slow.open()
      await first
      const after = await site.get('/list')
      return after.body === '["new"]'
        ? result(true, 'the write is seen')
        : result(false, 'what the write replaced is served until the TTL')
    })
  },

  'A write on one of two workers': async (context) => {
    let rows = ['old']
    const load = async () => rows
    return withSite(context, { load }, (one) =>
      withSite(context, { load }, async (other) => {
        if (!one.canInvalidate) return undefined
        for (const site of [one, other, one, other]) await site.get('/list')
        rows = ['new']
        await one.write()
        const own = (await one.get('/list')).body === '["new"]'
        const startedAt = performance.now()
        const seen = await within(2500, async () => (await other.get('/list')).body === '["new"]')
        const ms = Math.round(performance.now() - startedAt)
        if (!own) return result(false, 'not seen by the writer itself')
        return seen
          ? result(true, `seen by the other ${ms < 100 ? 'at once' : `after ${ms} ms`}`)
          : result(false, 'not seen by the other before the TTL')
      }),
    )
  },

  'Nested and repeated query parameters': async (context) => {
    const load = async (req) => req.query
    return withSite(context, { load }, async (site) => {
      const pairs = [
        ['/list?filter[team]=1', '/list?filter[team]=2'],
        ['/list?tag=a&tag=b', '/list?tag=b'],
        ['/list?a=1%262', '/list?a=1&2'],
      ]
      for (const [one, other] of pairs) {
        const first = await site.get(one)
        if ((await site.get(other)).body === first.body) return result(false, `${other} is answered with ${one}`)
      }
      let runs = 0
      const counting = async () => [runs++]
      const shared = await withSite(context, { load: counting }, async (each) => {
        const { body } = await each.get('/list?a=1&b=2')
        return (await each.get('/list?b=2&a=1')).body === body
      })
      return result(
        true,
        shared ? 'kept apart; order of parameters does not count' : 'kept apart; every order of parameters is an entry',
      )
    })
  },

  '500 requests at once for one list': async (context) => {
    let runs = 0
    const slow = gate()
    const load = async () => {
      runs++
      await slow.passed
      return ['rows']
    }
    return withSite(context, { load }, async (site) => {
      const answers = Array.from({ length: 500 }, () => site.get('/list', { deadlineMs: 15_000 }))
      await within(2000, () => runs > 0)
      // Long enough for whoever would run, not so long as to wait for who would not.
      await within(400, () => runs >= 500)
      slow.open()
      const good = (await Promise.all(answers)).filter(({ body }) => body === '["rows"]').length
      return result(
        runs === 1 && good === 500,
        `the query runs ${runs === 1 ? 'once' : `${runs} times`}${good === 500 ? '' : `, ${500 - good} unanswered`}`,
      )
    })
  },

  'If-None-Match before anything is stored': async (context) => {
    if (!isHttp(context)) return undefined
    const load = async () => ['rows']
    const etag = await withSite(context, { load }, async (site) => (await site.get('/list')).headers.etag)
    // Redis still has it from there.
    await context.flush()
    let runs = 0
    const counting = async () => {
      runs++
      return ['rows']
    }
    return withSite(context, { load: counting }, async (site) => {
      const conditional = { headers: { 'If-None-Match': etag } }
      const cold = await site.get('/list', conditional)
      const plain = await site.get('/list')
      const warm = await site.get('/list', conditional)
      if (plain.status !== 200 || plain.body !== '["rows"]')
        return result(false, `the next client gets ${plain.status} with ${plain.body.length} bytes`)
      const known = runs === 1 ? 'and stored' : `and not stored`
      return result(cold.status === 304 && warm.status === 304, `first ${cold.status}, ${known}; later ${warm.status}`)
    })
  },

  'HEAD, then GET': async (context) => {
    if (!isHttp(context)) return undefined
    let runs = 0
    const load = async () => {
      runs++
      return ['rows']
    }
    return withSite(context, { load }, async (site) => {
      await site.get('/list', { method: 'HEAD' })
      const { body } = await site.get('/list')
      const before = runs
      const head = await site.get('/list', { method: 'HEAD' })
      if (body !== '["rows"]') return result(false, 'GET is answered without a body')
      return result(
        head.status === 200,
        runs === before ? "HEAD is answered from GET's entry" : 'HEAD runs the handler',
      )
    })
  },

  'Set-Cookie': async (context) => {
    if (!isHttp(context)) return undefined
    const handler = (req, res) => res.cookie('session', req.headers['x-user']).json(['rows'])
    return withSite(context, { handler }, async (site) => {
      await site.get('/page', { headers: { 'X-User': 'ann' } })
      const cookies = String((await site.get('/page', { headers: { 'X-User': 'bob' } })).headers['set-cookie'] ?? '')
      return cookies.includes('ann')
        ? result(false, "the next client gets the first one's cookie")
        : result(true, 'not shared')
    })
  },

  Authorization: async (context) => {
    if (!isHttp(context)) return undefined
    const handler = (req, res) => res.json({ for: req.headers.authorization ?? null })
    return withSite(context, { handler }, async (site) => {
      await site.get('/page', { headers: { Authorization: 'Bearer ann' } })
      const bob = await site.get('/page', { headers: { Authorization: 'Bearer bob' } })
      return bob.body.includes('ann')
        ? result(false, "bob gets ann's answer, unless the key is made to differ")
        : result(true, 'not shared, unless told to')
    })
  },

  'An answer that is streamed': async (context) => {
    if (!isHttp(context)) return undefined
    const rest = gate()
    const handler = async (_req, res) => {
      res.type('json').write('["first",')
      await rest.passed
      res.end('"second"]')
    }
    return withSite(context, { handler }, async (site) => {
      let first = false
      const answer = site.get('/page', { onData: () => (first = true) })
      const early = await within(500, () => first)
      rest.open()
      const one = await answer
      const other = await site.get('/page')
      const whole = [one, other].every(({ body, isWhole }) => isWhole && body === '["first","second"]')
      return result(
        whole && early,
        `${whole ? 'whole each time' : 'not whole'}${early ? '' : ', held back until its end'}`,
      )
    })
  },

  'A client that leaves in the middle': async (context) => {
    if (!isHttp(context)) return undefined
    const [left, rest] = [gate(), gate()]
    let runs = 0
    const handler = async (_req, res) => {
      const isFirst = runs++ === 0
      if (isFirst) res.once('close', left.open)
      res.type('json').write('["first",')
      if (isFirst) await rest.passed
      res.end('"second"]')
    }
    return withSite(context, { handler }, async (site) => {
      await site.get('/page', { onData: (call) => call.destroy() })
      await Promise.race([left.passed, within(500, () => false)])
      rest.open()
      const next = await site.get('/page')
      const whole = next.isWhole && next.body === '["first","second"]'
      return result(whole, whole ? 'the next client gets all of it' : 'the next client gets a part')
    })
  },

  'A handler that fails in the middle': async (context) => {
    if (!isHttp(context)) return undefined
    let runs = 0
    const handler = (_req, res) => {
      res.type('json').write('["first",')
      if (runs++ === 0) res.destroy()
      else res.end('"second"]')
    }
    return withSite(context, { handler }, async (site) => {
      await site.get('/page')
      const next = await site.get('/page')
      const whole = next.isWhole && next.body === '["first","second"]'
      return result(whole, whole ? 'nothing is stored' : 'the next client gets a part')
    })
  },

  'A 500, then a good answer': async (context) => {
    if (!isHttp(context)) return undefined
    let runs = 0
    const handler = (_req, res) => (runs++ === 0 ? res.status(500).json({ failed: true }) : res.json(['rows']))
    return withSite(context, { handler }, async (site) => {
      await site.get('/page')
      const { status } = await site.get('/page')
      return status === 200 ? result(true, 'not stored') : result(false, 'the 500 is served until the TTL')
    })
  },

  'Commands of one invalidation, 200 entries': async (context) => {
    if (!context.peer.redis) return undefined
    return withSite(context, { load: async (req) => req.query }, async (site) => {
      for (let i = 0; i < 200; i++) await site.get(`/list?page=${i}`)
      const before = await context.commands()
      await site.write()
      const counts = Object.entries(await context.commands())
        .map(([name, count]) => [name, count - (before[name] ?? 0)])
        .filter(([name, count]) => count > 0 && !['info', 'hello', 'client|setinfo', 'ping'].includes(name))
      const searches = counts.some(([name]) => ['keys', 'scan', 'flushall', 'flushdb'].includes(name))
      return result(!searches, counts.map(([name, count]) => (count === 1 ? name : `${count} × ${name}`)).join(', '))
    })
  },

  'Redis frozen': async (context) => {
    if (!context.peer.redis) return undefined
    return withSite(context, { load: async () => ['rows'] }, async (site) => {
      await site.get('/list')
      context.freeze()
      try {
        const [warm, cold] = [await site.get('/list'), await site.get('/list?cold')]
        return result(
          warm.status === 200 && cold.status === 200,
          `a known list is answered ${say(warm)}, a new one ${say(cold)}`,
        )
      } finally {
        context.thaw()
      }
    })
  },

  'Redis gone': async (context) => {
    if (!context.peer.redis) return undefined
    return withSite(context, { load: async () => ['rows'] }, async (site) => {
      await site.get('/list')
      await context.stopRedis()
      const [warm, cold] = [await site.get('/list'), await site.get('/list?cold')]
      return result(
        warm.status === 200 && cold.status === 200,
        `a known list is answered ${say(warm)}, a new one ${say(cold)}`,
      )
    })
  },
}
