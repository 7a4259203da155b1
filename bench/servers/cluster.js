/* The registry server in as many processes as WORKERS says, on one port. */
import cluster from 'node:cluster'
import { fileURLToPath } from 'node:url'

cluster.setupPrimary({ exec: fileURLToPath(new URL('registry.js', import.meta.url)), args: process.argv.slice(2) })
const workers = Number(process.env.WORKERS)
let ready = 0
for (let i = 0; i < workers; i++) {
  cluster.fork().on('message', ({ port }) => {
    if (port !== undefined && ++ready === workers) process.send({ port })
  })
}
for (const sign of ['disconnect', 'SIGTERM']) {
  process.on(sign, () => {
    for (const worker of Object.values(cluster.workers)) worker.process.kill()
    process.exit()
  })
}
