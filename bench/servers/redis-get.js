/* What is often written by hand: GET from Redis, parse, res.json. */
import express from 'express'
import { Redis } from 'ioredis'
import { lists } from './handlers.js'
import { serve } from './serve.js'

const redis = new Redis(process.env.REDIS_URL)
const app = express()
for (const [name, list] of Object.entries(lists)) {
  app.get(`/${name}`, async (req, res) => {
    const key = `hand:${req.originalUrl}`
    const known = await redis.get(key)
    if (known !== null) return res.json(JSON.parse(known))
    await redis.set(key, JSON.stringify(list), 'EX', 3600)
    res.json(list)
  })
}
serve(app)
