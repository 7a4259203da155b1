/**
 * The outcome of the compatibility matrix as tables, and as the page docs/compatibility.md.
 */
import { arch, cpus, platform, release } from 'node:os'

const row = (cells) => `| ${cells.join(' | ')} |`

/** Rows are what was installed together, columns versions of Node, a cell says how many of its module styles passed. */
export function table({ results, runtimes, layouts, servers }) {
  const present = runtimes.filter(({ problem }) => problem === undefined)
  const lines = [
    row(['server', 'installed', 'applications', ...present.map(({ version }) => `Node ${version.slice(1)}`)]),
  ]
  lines.push(row(lines[0].split(' | ').map(() => '---')))
  for (const server of servers) {
    for (const { title, styles, versions } of layouts) {
      const cells = present.map(({ version }) => {
        const here = results.filter((one) => one.server === server && one.layout === title && one.node === version)
        const failed = here.filter(({ problem }) => problem !== undefined)
        return failed.length === 0
          ? `${here.length} of ${here.length}`
          : `FAILED: ${failed.map(({ style }) => style).join(', ')}`
      })
      const exact = Object.entries(versions).map(([name, version]) => `${name} ${version}`)
      lines.push(row([server, exact.join(', '), styles.join(', '), ...cells]))
    }
  }
  return `${lines.join('\n')}\n`
}

function reasons({ results, runtimes, servers }) {
  const lines = results
    .filter(({ problem }) => problem !== undefined)
    .map((one) => `- **${one.server}, ${one.layout}, Node ${one.node}, ${one.style}**: ${one.problem.split('\n')[0]}`)
  for (const { version, problem } of runtimes)
    if (problem !== undefined) lines.push(`- **Node ${version}** could not be had: ${problem}`)
  if (!servers.some((title) => title.startsWith('Valkey')))
    lines.push(
      '- **Valkey** was not on the machine; where a `valkey-server` is found, or `VALKEY_SERVER_BIN` names one, it has rows of its own.',
    )
  return lines.length === 0 ? '' : `\n## What is missing\n\n${lines.join('\n')}\n`
}

export function page(outcome) {
  const { results } = outcome
  const passed = results.filter(({ problem }) => problem === undefined).length
  const machine = `${platform()} ${release().split('-')[0]}, ${arch()}, ${cpus().length} × ${cpus()[0]?.model.trim() ?? 'CPU'}`
  return `# Compatibility

**TL;DR** Node 20.19 and later, Express 4.18 and 5 (NestJS on Express too), ioredis 5.4 and later or iovalkey, Redis 6.2 and later (by the commands used); ESM and CommonJS,
JavaScript and TypeScript. The table is what was run, ${passed} of ${results.length} passed; this page is made by \`npm run matrix\`, never by hand.

## The matrix

A cell is one application per module style, installed by npm with the packed tarball: two processes over one server. A read on one is
a hit on the other; a write on the second is seen there by the next read and on the first as soon as the message arrives; each handler ran exactly
once per state of the data; and both processes end by themselves. The TypeScript ones are compiled first, strictly.

${table(outcome)}
Run on ${new Date().toISOString().slice(0, 10)}, on ${machine}.
${reasons(outcome)}
## What else is checked

- Every change runs the tests on Node 20, 22 and 24, against real Redis servers, Sentinels and a Cluster, on Express 4 and 5, with ioredis 5 and 6 and iovalkey.
- The declarations of the core compile in \`strict\` mode without \`skipLibCheck\`, with TypeScript 5.6 and 7, and without any of the optional peers.
- The package is judged by publint and by attw.
`
}
