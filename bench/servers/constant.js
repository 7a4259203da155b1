/* "(b)": an Express route that sends a constant Buffer by one writeHead and one end. Inside Express nothing can be faster. */
import express from 'express'
import { constants } from './constant-data.js'
import { serve } from './serve.js'

const app = express()
for (const [name, { body, head }] of Object.entries(constants)) {
  app.get(`/${name}`, (_req, res) => {
    res.writeHead(200, head)
    res.end(body)
  })
}
serve(app)
