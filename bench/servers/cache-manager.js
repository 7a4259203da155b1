/* cache-manager in the handler, with its store in memory: it keeps values, so each hit is stringified again. */
import { createCache } from 'cache-manager'
import express from 'express'
import { lists } from './handlers.js'
import { serve } from './serve.js'

const cache = createCache({ ttl: 3_600_000 })
const app = express()
for (const [name, list] of Object.entries(lists)) {
  app.get(`/${name}`, async (req, res) => {
    res.json(await cache.wrap(req.originalUrl, async () => list))
  })
}
serve(app)
