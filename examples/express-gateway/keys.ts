/** API keys: made, listed and revoked by the admin. A key is shown once, when it is made; only its hash is stored. */
import { randomBytes, randomUUID } from 'node:crypto'
import express, { type Router } from 'express'
import { z } from 'zod'
import { type Access, adminOnly, hashOf } from './access.ts'
import { HttpError } from './errors.ts'

export const keyRequest = z.strictObject({
  /** It is part of cache keys and logs: short, and without blanks. */
  team: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'expected 1 to 64 of A-Z a-z 0-9 _ -'),
  /** What it is for, to know it by in the list. */
  name: z.string().max(200).default(''),
})

interface KeyRow {
  id: string
  team: string
  name: string
  created_at: Date
}
const columns = 'id, team, name, created_at'

export function keyRouter({ db, cache }: Access): Router {
  const router = express.Router()
  router.use(adminOnly)
  router.use((_req, res, next) => {
    res.set('Cache-Control', 'no-store')
    next()
  })
  // No route is cached here, but who has which key is (access.ts): a revoked key stops to work on every worker.
  router.use(cache.invalidateOn({ types: ['api_keys'] }))

  router.get('/', async (_req, res) => {
    res.json({ items: await db.query<KeyRow>(`select ${columns} from api_keys order by created_at, id`) })
  })

  router.post('/', express.json({ limit: '4kb' }), async (req, res) => {
    const { team, name } = keyRequest.parse(req.body)
    const key = `gw_${randomBytes(32).toString('base64url')}`
    const [stored] = await db.query<KeyRow>(
      `insert into api_keys (id, team, name, hash) values ($1, $2, $3, $4) returning ${columns}`,
      [randomUUID(), team, name, hashOf(key)],
    )
    res.status(201).json({ ...stored, key })
  })

  router.delete('/:id', async (req, res) => {
    const revoked = await db.query('delete from api_keys where id = $1 returning id', [req.params.id])
    if (revoked.length === 0) throw new HttpError(404, 'not_found', 'no such key')
    res.status(204).end()
  })

  return router
}
