/* Plain Express without a cache: `res.json` of a constant object. With `compression` as argument, behind that middleware. */
import compression from 'compression'
import express from 'express'
import { addLists, counted } from './handlers.js'
import { serve } from './serve.js'

const app = express()
if (process.argv.includes('compression')) app.use(compression())
addLists(app)
serve(app, counted)
