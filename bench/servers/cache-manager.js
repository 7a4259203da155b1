/* cache-manager in the handler, with its store in memory: it keeps values, so each hit is stringified again. */
import { createCache } from 'cache-manager'
import express from 'express'
import { addCachedLists, counted } from './handlers.js'
import { serve } from './serve.js'

const cache = createCache({ ttl: 3_600_000 })
const app = express()
addCachedLists(app, (req, load) => cache.wrap(req.originalUrl, load))
serve(app, counted)
