/* The handler that the caches spare: a list by `res.json`, at once, or after a query of 5 ms at `/query/...`. */
import { setTimeout as after } from 'node:timers/promises'
import { records, SIZES } from '../harness/data.js'

const lists = Object.fromEntries(Object.entries(SIZES).map(([name, count]) => [name, records(count)]))

/** Adds /small, /large, /query/small, /query/large to an app, behind `middlewares`. */
export function addLists(app, ...middlewares) {
  for (const [name, list] of Object.entries(lists)) {
    app.get(`/${name}`, ...middlewares, (_req, res) => {
      res.json(list)
    })
    app.get(`/query/${name}`, ...middlewares, async (_req, res) => {
      await after(5)
      res.json(list)
    })
  }
}

export { lists }
