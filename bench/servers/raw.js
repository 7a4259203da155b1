/* A constant Buffer from node:http, without Express. */
import { constantFor } from './constant-data.js'
import { serve } from './serve.js'

serve((req, res) => {
  const { body, head } = constantFor(req.url)
  res.writeHead(200, head)
  res.end(body)
})
