/* bentocache in the handler, in memory: it keeps values, so each hit is stringified again. */
import { BentoCache, bentostore } from 'bentocache'
import { memoryDriver } from 'bentocache/drivers/memory'
import express from 'express'
import { addCachedLists, counted } from './handlers.js'
import { serve } from './serve.js'

const bento = new BentoCache({
  default: 'memory',
  stores: { memory: bentostore().useL1Layer(memoryDriver({ maxItems: 10_000 })) },
})
const app = express()
addCachedLists(app, (req, load) => bento.getOrSet({ key: req.originalUrl, ttl: '1h', factory: load }))
serve(app, counted)
