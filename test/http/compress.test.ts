import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { expect } from 'chai'
import compression from 'compression'
import { negotiate } from '../../lib/http/compress.ts'
import { createRegistryCache, type RegistryCache } from '../../lib/index.ts'
import { type Answer, forEachExpress, type Listening, listen, request } from '../helpers/http.ts'
import { until } from '../helpers/until.ts'

describe('compress: true', () => {
  forEachExpress((_name, express) => {
    const list = { items: Array.from({ length: 200 }, (_, i) => ({ id: i, name: `tool ${i}` })) }
    let cache: RegistryCache
    let served: Listening

    const serve = async (
      withCompression: boolean,
    ): Promise<(headers?: Record<string, string>, method?: string) => Promise<Answer>> => {
      cache = createRegistryCache()
      const app = express()
      if (withCompression) app.use(compression())
      app.get('/tools', cache.middleware({ type: 'tools', scope: 'public', compress: true }), (_req, res) => {
        res.json(list)
      })
      served = await listen(app)
      return (headers = {}, method = 'GET') => request(served.port, { method, path: '/tools', headers })
    }

    afterEach(async () => {
      await served.close()
      await cache.stop()
    })

    /** The variant is made in the background after it was first asked for. */
    const coded = async (
      get: (headers: Record<string, string>) => Promise<Answer>,
      accept: string,
      coding: string,
    ): Promise<Answer> => {
      let answer: Answer | undefined
      await until(async () => {
        answer = await get({ 'accept-encoding': accept })
        return answer.headers['content-encoding'] === coding
      })
      return answer as Answer
    }

    it('serves br and gzip variants of one entry, each with its own ETag, and identity to those who ask for none', async () => {
      const get = await serve(false)
      const miss = await get()
      const br = await coded(get, 'gzip, br', 'br')
      const gzip = await coded(get, 'gzip', 'gzip')
      const identity = await get()
      expect(brotliDecompressSync(br.body).equals(miss.body)).equal(true)
      expect(gunzipSync(gzip.body).equals(miss.body)).equal(true)
      expect(identity.body.equals(miss.body)).equal(true)
      expect(new Set([br.headers.etag, gzip.headers.etag, identity.headers.etag]).size).equal(3)
      for (const answer of [miss, br, gzip, identity]) expect(answer.headers.vary).match(/accept-encoding/i)
      expect(br.headers['content-length']).equal(String(br.body.byteLength))
      expect(cache.stats().types.tools?.stores).equal(1)
    })

    it('answers 304 to the ETag of the variant that it would send, and 200 to that of another', async () => {
      const get = await serve(false)
      await get()
      const br = await coded(get, 'br', 'br')
      const etag = String(br.headers.etag)
      expect((await get({ 'accept-encoding': 'br', 'if-none-match': etag })).status).equal(304)
      expect((await get({ 'if-none-match': etag })).status).equal(200)
    })

    it('waits for the variant when the client refuses identity', async () => {
      const get = await serve(false)
      await get()
      const answer = await get({ 'accept-encoding': 'br, identity;q=0' })
      expect(answer.headers['content-encoding']).equal('br')
    })

    it('counts the variants against the bytes of L1', async () => {
      const get = await serve(false)
      await get()
      const before = cache.stats().types.tools?.bytes ?? 0
      const br = await coded(get, 'br', 'br')
      expect(cache.stats().types.tools?.bytes).equal(before + br.body.byteLength)
      await cache.invalidate('tools')
      expect(cache.stats().types.tools?.bytes).equal(0)
    })

    it('is not compressed once more by compression() mounted before it', async () => {
      const get = await serve(true)
      const miss = await get()
      const br = await coded(get, 'br', 'br')
      expect(brotliDecompressSync(br.body).equals(miss.body)).equal(true)
    })
  })

  it('takes what the client likes best, br before gzip, and identity where that is liked better', () => {
    expect(negotiate('gzip, br')).deep.equal({ coding: 'br', identity: true })
    expect(negotiate('br;q=0.5, gzip;q=0.8')).deep.equal({ coding: 'gzip', identity: true })
    expect(negotiate('br;q=0')).deep.equal({ coding: undefined, identity: true })
    expect(negotiate('*')).deep.equal({ coding: 'br', identity: true })
    expect(negotiate('*;q=0')).deep.equal({ coding: undefined, identity: false })
    expect(negotiate('gzip;q=0.5, identity')).deep.equal({ coding: undefined, identity: true })
    expect(negotiate('GZIP ; Q=1.0, identity;q=0')).deep.equal({ coding: 'gzip', identity: false })
    expect(negotiate('br;q=nonsense, gzip;q=0.001')).deep.equal({ coding: 'gzip', identity: true })
    expect(negotiate('')).deep.equal({ coding: undefined, identity: true })
  })
})
