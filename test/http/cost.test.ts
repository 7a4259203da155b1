/*
 * What makes requests cheap that go through the cache, and can be seen without a clock.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect } from 'chai'
import { forEachExpress } from '../helpers/http.ts'
import { applications } from './fixture.ts'

setFlagsFromString('--allow-natives-syntax')
const haveSameClass = runInNewContext('(a, b) => %HaveSameMap(a, b)') as (a: object, b: object) => boolean

forEachExpress((_name, framework) => {
  describe('the cost of a request', () => {
    const start = applications()

    it('is that of objects that share a hidden class: a handler behind the cache gets such requests and responses', async () => {
      const seen: [req: object, res: object][] = []
      const { get } = await start(framework, ({ app, cached }) => {
        app.get('/x', cached(), (req, res) => {
          seen.push([req, res])
          res.json([])
        })
      })
      for (const path of ['/x?n=1', '/x?n=2', '/x?n=3']) await get(path)
      // The first one may have been made before anything of its class was met.
      const [, [req, res] = [{}, {}], [nextReq, nextRes] = [{}, {}]] = seen
      expect(haveSameClass(req, nextReq), 'requests').to.equal(true)
      expect(haveSameClass(res, nextRes), 'responses').to.equal(true)
    })

    it('changes nothing of a request or response but the order of its properties', async () => {
      const before: object[] = []
      const after: object[] = []
      const { get } = await start(framework, ({ app, cached }) => {
        app.use((req, res, next) => {
          before.push(Object.getOwnPropertyDescriptors(req), Object.getOwnPropertyDescriptors(res))
          next()
        })
        app.use(cached({ bypass: () => true }))
        app.get('/x', (req, res) => {
          after.push(Object.getOwnPropertyDescriptors(req), Object.getOwnPropertyDescriptors(res))
          res.json([])
        })
      })
      await get('/x')
      // Express' own notes of where it is.
      const routing = /^(next|route|params|baseUrl|url|_parsedUrl|Symbol\(.*)$/
      const isKept = (key: PropertyKey): boolean => !routing.test(String(key))
      for (const [i, was] of before.entries()) {
        const is = after[i] as object
        const keys = Reflect.ownKeys(was).filter(isKept)
        expect(Reflect.ownKeys(is).filter(isKept)).to.include.members(keys)
        for (const key of keys) {
          const [a, b] = [Reflect.get(was, key), Reflect.get(is, key)] as [PropertyDescriptor, PropertyDescriptor]
          expect(b.value === a.value && b.get === a.get && b.writable === a.writable, String(key)).to.equal(true)
          expect(b.enumerable === a.enumerable && b.configurable === a.configurable, String(key)).to.equal(true)
        }
      }
    })
  })
})
