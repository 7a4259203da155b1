/* apicache, in memory, its header off as its documentation shows for production. */
import apicache from 'apicache'
import express from 'express'
import { addLists, counted } from './handlers.js'
import { serve } from './serve.js'

const app = express()
addLists(app, apicache.options({ defaultDuration: '1 hour' }).middleware('1 hour'))
serve(app, counted)
