/*
 * What makes requests cheap that go through the cache, and can be seen without a clock.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect } from 'chai'
import type { Request, Response } from 'express'
import { shareClasses } from '../../lib/http/hidden-class.ts'
import { forEachExpress } from '../helpers/http.ts'
import { applications } from './fixture.ts'

setFlagsFromString('--allow-natives-syntax')
const haveSameClass = runInNewContext('(a, b) => %HaveSameMap(a, b)') as (a: object, b: object) => boolean
const isDetached = Number.parseInt(process.versions.v8, 10) < 13

forEachExpress((_name, framework) => {
  describe('the cost of a request', () => {
    const start = applications()

    it('is that of objects that share a hidden class: a handler behind the cache gets such requests and responses', async () => {
      /** Whether two requests at once, and their responses, have the same classes; of an application of their own. */
      const areShared = async (): Promise<boolean> => {
        const waiting: [req: Request, res: Response][] = []
        let isShared = false
        const { get } = await start(framework, ({ app, cached }) => {
          app.get('/x', cached(), (req, res) => {
            waiting.push([req, res])
            if (waiting.length < 2) return
            const [[first, firstRes], [second, secondRes]] = waiting.splice(0) as [
              [Request, Response],
              [Request, Response],
            ]
            isShared = haveSameClass(first, second) && haveSameClass(firstRes, secondRes)
            for (const answer of [firstRes, secondRes]) answer.json([])
          })
        })
        // The first pair may be the first of their classes that V8 meets.
        await Promise.all([get('/x?n=1'), get('/x?n=2')])
        await Promise.all([get('/x?n=3'), get('/x?n=4')])
        return isShared
      }
      // In one application out of 64 the two classes push each other out of V8's table.
      expect((await areShared()) || (await areShared()) || (await areShared())).to.equal(true)
    })

    it('changes nothing of a request or response but the order of its properties, and that only where it helps', async () => {
      const seen: (readonly [object, object, PropertyKey[], PropertyKey[]])[] = []
      const { get } = await start(framework, ({ app }) => {
        app.get('/x', (req, res) => {
          Object.defineProperty(req, 'statusMessage', { configurable: true, enumerable: false, get: () => 'mine' })
          const before = [req, res].map((of) => Object.getOwnPropertyDescriptors(of))
          const order = [req, res].map((of) => Reflect.ownKeys(of))
          shareClasses(req, res)
          for (const [i, of] of [req, res].entries()) {
            seen.push([
              before[i] as object,
              Object.getOwnPropertyDescriptors(of),
              order[i] as PropertyKey[],
              Reflect.ownKeys(of),
            ])
          }
          res.json([])
        })
      })
      await get('/x')
      expect(seen).to.have.length(2)
      for (const [before, after, order, orderAfter] of seen) {
        expect(orderAfter).to.have.members(order)
        expect(orderAfter.map(String).join() === order.map(String).join(), 'order').to.equal(!isDetached)
        for (const key of order) {
          const [was, is] = [Reflect.get(before, key), Reflect.get(after, key)] as Record<string, unknown>[]
          for (const part of ['value', 'get', 'set', 'writable', 'enumerable', 'configurable']) {
            expect(is?.[part] === was?.[part], `${part} of ${String(key)}`).to.equal(true)
          }
        }
      }
    })

    it('has no part in what is made from a request: its notes are its own', async () => {
      const types: string[] = []
      const { send, cache } = await start(framework, ({ app, cache, cached }) => {
        app.use('/both', cached({ type: 'tools' }), (req, res, next) => {
          const copy = Object.create(req) as Request
          cached({ type: 'prompts' })(copy, res, (error?: unknown) => next(error))
        })
        app.post('/both', cache.invalidateOn('POST'), (_req, res) => res.json({}))
      })
      cache.on('invalidate', ({ tag }) => types.push(tag))
      await send({ method: 'POST', path: '/both' })
      expect(types).to.include('registry:tools').and.not.include('registry:prompts')
    })
  })
})
