import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import express from 'express'
import { createRegistryCache } from 'express-registry-cache'
import { createFakeClock, expectCached, expectStored } from 'express-registry-cache/testing'

test('the list of tools is kept for 20 seconds', async () => {
  const clock = createFakeClock()
  const cache = createRegistryCache({ clock })
  let runs = 0
  const app = express()
  app.get('/tools', cache.middleware({ type: 'tools', ttl: 20 }), (_req, res) => void res.json({ runs: ++runs }))
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/tools`

  expectStored(await fetch(url))
  clock.advance(19_999)
  expectCached(await fetch(url))
  clock.advance(1)
  expectStored(await fetch(url))
  assert.equal(runs, 2)

  server.close()
  server.closeAllConnections()
  await cache.stop()
})
