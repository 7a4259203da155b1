/*
 * What Cache-Status says of an answer that the handler made: `stored` when it is stored, else the reason why not, the same that stats and
 * the `store` event give.
 */
import { expect } from 'chai'
import type { Response } from 'express'
import { forEachExpress } from '../helpers/http.ts'
import { applications } from './fixture.ts'

describe('Cache-Status', () => {
  const start = applications()

  forEachExpress((_name, framework) => {
    const reasons: Record<string, (res: Response) => void> = {
      'too-large': (res) => res.json('x'.repeat(2000)),
      'not-captured': (res) => {
        res.type('json').write('[')
        res.end(']')
      },
      'set-cookie': (res) => res.cookie('a', 'b').json([]),
      'no-store': (res) => res.set('Cache-Control', 'no-store').json([]),
      'content-encoding': (res) => res.set('Content-Encoding', 'x-own').json([]),
      status: (res) => res.status(404).json([]),
      ttl: (res) => res.set('Cache-Control', 'max-age=0').json([]),
      vary: (res) => res.set('Vary', '*').json([]),
    }
    for (const [reason, answer] of Object.entries(reasons)) {
      it(`says ${reason} of an answer that is not stored for it`, async () => {
        let runs = 0
        const stored: unknown[] = []
        const { get, cache, warnings } = await start(
          framework,
          ({ app, cached }) =>
            app.get('/x', cached(), (_req, res) => {
              runs++
              answer(res)
            }),
          { memory: { maxEntryBytes: 1000 } },
        )
        cache.on('store', (event) => stored.push(event.reason))
        const { headers } = await get('/x')
        expect(headers['cache-status']).to.equal(`registry-cache; fwd=uri-miss; detail=${reason}`)
        expect(headers['x-cache']).to.equal('MISS')
        expect(stored).to.deep.equal([reason])
        expect(cache.stats().notStored).to.deep.equal({ [reason]: 1 })
        await get('/x')
        expect(runs).to.equal(2)
        expect(warnings).to.deep.equal([])
      })
    }

    it('says so of what is compressed behind the cache', async () => {
      const { get, cache, warnings } = await start(framework, ({ app, cached }) => {
        app.get(
          '/x',
          cached(),
          (_req, res, next) => {
            const { writeHead } = res
            res.writeHead = function encode(this: Response, ...args: never[]) {
              res.setHeader('Content-Encoding', 'x-own')
              return writeHead.apply(res, args as never)
            } as typeof res.writeHead
            next()
          },
          (_req, res) => {
            res.json([])
          },
        )
      })
      const { headers } = await get('/x')
      expect(headers['cache-status']).to.equal('registry-cache; fwd=uri-miss; detail=content-encoding')
      expect(cache.stats().notStored).to.deep.equal({ 'content-encoding': 1 })
      expect(warnings).to.deep.equal(['ERR_COMPRESSION_BEHIND'])
    })

    it('says invalidated of an answer that an invalidation overtook while the handler ran', async () => {
      const { get, cache } = await start(framework, ({ app, cached, cache }) => {
        app.get('/x', cached(), (_req, res) => {
          void cache.invalidate('tools').then(() => res.json([]))
        })
      })
      const { headers } = await get('/x')
      expect(headers['cache-status']).to.equal('registry-cache; fwd=uri-miss; detail=invalidated')
      expect(cache.stats().notStored).to.deep.equal({ invalidated: 1 })
    })

    it('says bypass, and by whose credential, also of a stream', async () => {
      const { get } = await start(framework, ({ app, cached }) => {
        app.get('/x', cached(), (_req, res) => {
          res.write('a')
          res.end('b')
        })
      })
      const { headers } = await get('/x', { cookie: 'a=b' })
      expect(headers['cache-status']).to.equal('registry-cache; fwd=bypass; detail=cookie')
      expect(headers['x-cache']).to.equal('BYPASS')
    })
  })
})
