/* The handler that the caches spare: a list by `res.json`, at once, or after a query of 5 ms at `/query/...`. */
import { setTimeout as after } from 'node:timers/promises'
import { records, SIZES } from '../harness/data.js'

export const lists = Object.fromEntries(Object.entries(SIZES).map(([name, count]) => [name, records(count)]))

/** How often a query ran. */
let runs = 0

/** The list, after the 5 ms of a database. */
export async function query(list) {
  runs++
  await after(5)
  return list
}

/** For `serve`: how often a query ran since this was last asked. */
export const counted = {
  runs: () => {
    const answer = { runs }
    runs = 0
    return answer
  },
}

/** Adds /small, /large, /query/small, /query/large to an app, behind `middlewares`, and /one: a single record, another for each `n`. */
export function addLists(app, ...middlewares) {
  for (const [name, list] of Object.entries(lists)) {
    app.get(`/${name}`, ...middlewares, (_req, res) => {
      res.json(list)
    })
    app.get(`/query/${name}`, ...middlewares, async (_req, res) => {
      res.json(await query(list))
    })
  }
  app.get('/one', ...middlewares, (req, res) => {
    res.json(records(1, Number(req.query.n)))
  })
}

/** The same for caches that keep values: `cached` takes a request and what loads its value. */
export function addCachedLists(app, cached) {
  for (const [name, list] of Object.entries(lists)) {
    app.get(`/${name}`, async (req, res) => {
      res.json(await cached(req, async () => list))
    })
    app.get(`/query/${name}`, async (req, res) => {
      res.json(await cached(req, () => query(list)))
    })
  }
}
