import { createServer } from 'node:http'
import { expect } from 'chai'
import { type DriveOptions, drive, type Figures } from '../../examples/express-gateway/demo/drive.ts'
import { row, summary } from '../../examples/express-gateway/demo/table.ts'
import { type Listening, listen } from '../helpers/http.ts'
import { until } from '../helpers/until.ts'
import { runExample } from './program.ts'

describe("the example's demo", function () {
  this.timeout(120_000)

  it('drives a gateway that it starts, prints a table, finds nothing stale, and ends by itself with 0', async () => {
    const demo = [process.execPath, '--import', 'ts-blank-space/register', 'demo/run.ts']
    const program = runExample({ DEMO_SECONDS: '3', MCP_SERVERS: 'memory' }, demo)
    expect(await program.exited, program.output.stdout + program.output.stderr).to.equal(0)
    const { stdout, stderr } = program.output
    expect(stderr).to.equal('')
    expect(stdout).to.match(/^ +s {2}requests\/s {2}hit rate {2}cached p50/m)
    expect(stdout).to.match(/^ +1 +\d+ +[\d.]+ % .* 0$/m)
    expect(stdout).to.match(/^stale reads seen: 0$/m)
    expect(stdout).to.match(/^[1-9]\d* writes, each seen at once .* and on others after p50/m)
    expect(stdout).to.match(/; 0 requests failed$/m)
    expect(program.processes()).to.deep.equal([])
  })

  it('takes the gateway along when it is interrupted', async () => {
    const demo = [process.execPath, '--import', 'ts-blank-space/register', 'demo/run.ts']
    const program = runExample({ DEMO_SECONDS: '600', MCP_SERVERS: '', WORKERS: '1' }, demo)
    await until(() => /^ +1 /m.test(program.output.stdout), { deadlineMs: 60_000 })
    await program.stop('SIGTERM')
    expect(program.output.stdout).to.contain('stale reads seen: 0')
    expect(program.processes()).to.deep.equal([])
  })

  describe('what it counts as stale', () => {
    let server: Listening
    let figures: Figures

    /**
     * A gateway of two workers, one for every other connection. `shows` says which write the lists of a worker show, of those
     * that were made (by whom and when).
     */
    async function against(
      shows: (worker: string, writes: { worker: string; at: number }[]) => number,
      options: Partial<DriveOptions> = {},
    ) {
      const writes: { worker: string; at: number }[] = []
      const workers = new WeakMap<object, string>()
      let connections = 0
      const gateway = createServer((req, res) => {
        const worker = workers.get(req.socket) ?? ''
        if (req.method === 'POST') res.statusCode = 201
        if (req.method !== 'GET') writes.push({ worker, at: performance.now() })
        res.setHeader('X-Worker', worker)
        res.setHeader('X-Cache', 'HIT')
        res.setHeader('Content-Type', 'application/json')
        const description = `demo write ${shows(worker, writes)}`
        // Not as fast as it can: the clients would do nothing but ask.
        setTimeout(() => res.end(JSON.stringify(req.method === 'POST' ? { id: 'x' } : { items: [{ description }] })), 5)
      })
      gateway.on('connection', (socket) => workers.set(socket, String(1 + (connections++ % 2))))
      server = await listen(gateway)
      const signal = new AbortController().signal
      figures = await drive(new URL(server.url), { seconds: 3, workers: 2, signal, onSecond: () => {}, ...options })
    }
    afterEach(() => server.close())

    const latest = (writes: { at: number }[]) => writes.length - 1

    it('nothing, where each list shows the latest write', async () => {
      await against((_worker, writes) => latest(writes))
      expect(figures.stale).to.deep.equal([])
      expect(figures.writes).to.be.above(1)
      expect(figures.seenElsewhereMs).to.have.length(figures.writes)
    })

    it("a read on the write's own worker that does not show it", async () => {
      await against((_worker, writes) => latest(writes.filter(({ at }) => performance.now() - at > 100)))
      expect(figures.stale).to.not.be.empty
      expect(figures.stale[0]).to.match(
        /^worker (\d) showed write -?\d+, \d+ ms after write \d+ on worker \1 was acknowledged$/,
      )
      expect(summary(figures)).to.match(/^stale reads seen: [1-9]/m)
    })

    it('not a read on another worker while the promise gives it time, but one after that', async () => {
      const lateBy = (ms: number) => (worker: string, writes: { worker: string; at: number }[]) => {
        // Own writes at once, and with them those before.
        const seen = writes.map((write) => write.worker === worker || performance.now() - write.at > ms)
        return seen.lastIndexOf(true)
      }
      await against(lateBy(300), { maxStalenessMs: 60_000 })
      expect(figures.stale).to.deep.equal([])
      expect(Math.min(...figures.seenElsewhereMs)).to.be.above(250)
      await server.close()
      await against(lateBy(900), { maxStalenessMs: 300 })
      expect(figures.stale).to.not.be.empty
    })

    it('counts requests that fail, and prints a second in which nothing was answered', async () => {
      let answers = 0
      await against((_worker, writes) => {
        if (++answers > 20) server.server.closeAllConnections()
        return latest(writes)
      })
      expect(figures.failed).to.be.above(0)
      const nothing = { ...figures, requests: 0, cachedMs: [], uncachedMs: [], seenElsewhereMs: [] }
      expect(row(nothing)).to.not.contain('NaN')
    })
  })
})
