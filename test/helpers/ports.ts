/*
 * Free ports that stay ours. They are drawn from below the range the kernel gives to outgoing connections, so nobody is handed one while
 * its server is down for a restart; and whoever asks must bind at once and say whether that worked, so no race is left.
 */

const firstPort = 12_000
/** With a Redis Cluster's bus port, 10,000 above, still below 32,768, where Linux begins to hand out ports. */
const portCount = 10_000

/** Tries random ports until `bind` says that it got one. Rejects after 50 tries, and with whatever `bind` throws. */
export async function freePort(bind: (port: number) => Promise<boolean>): Promise<number> {
  for (let tries = 0; tries < 50; tries++) {
    const port = firstPort + Math.floor(Math.random() * portCount)
    if (await bind(port)) return port
  }
  throw new Error(`no free port among 50 between ${firstPort} and ${firstPort + portCount}`)
}

export function isPortTaken(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EADDRINUSE'
}
