/* http-cache-middleware with its store in memory. */
import express from 'express'
import httpCache from 'http-cache-middleware'
import { addLists, counted } from './handlers.js'
import { serve } from './serve.js'

const app = express()
app.use(httpCache())
addLists(app, (_req, res, next) => {
  res.setHeader('x-cache-timeout', '1 hour')
  next()
})
serve(app, counted)
