/**
 * Looks at the package as users get it: packs it, has publint and attw judge the tarball, and lists what is inside.
 *
 *   node scripts/pack-check.js   fails when either has a complaint, when something is packed that should not be, or when it is too much
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const bin = (name) => join(root, 'node_modules', '.bin', name)
const expected =
  /^(dist\/.+\.([cm]?js|d\.c?ts)|dist\/dashboard\/page\/.+\.(html|css|svg|txt)|package\.json|README\.md|LICENSE)$/
/** Bytes unpacked, but for the files that a browser loads from the dashboard. */
const limit = 290_000
const isForBrowsers = (path) => path.startsWith('dist/dashboard/page/')

/** Runs a tool with its own output; false when it failed. */
function passes(command, ...args) {
  console.log(`\n> ${[command.split('/').at(-1), ...args].join(' ')}`)
  return spawnSync(command, args, { cwd: root, stdio: 'inherit' }).status === 0
}

/** Packs into the folder and returns what npm says about it. Scripts are left out: what they print would mix with the JSON. */
function pack(folder) {
  const args = ['pack', '--json', '--ignore-scripts', '--loglevel=error', '--pack-destination', folder]
  const run = spawnSync('npm', args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] })
  if (run.status !== 0) throw new Error('npm pack failed')
  return JSON.parse(run.stdout.toString())[0]
}

function check(folder) {
  const { filename, files, size, unpackedSize } = pack(folder)
  for (const file of files) console.log(`${String(file.size).padStart(8)}  ${file.path}`)
  const forBrowsers = files.filter(({ path }) => isForBrowsers(path)).reduce((sum, file) => sum + file.size, 0)
  const bytes = unpackedSize - forBrowsers
  console.log(
    `${files.length} files, ${size} bytes packed, ${unpackedSize} unpacked, ${forBrowsers} of them the dashboard's page`,
  )
  if (bytes > limit) console.error(`${bytes} bytes without the dashboard's page: over the limit of ${limit}`)
  const strangers = files.map(({ path }) => path).filter((path) => !expected.test(path))
  if (strangers.length > 0) console.error(`not meant to be in the package: ${strangers.join(', ')}`)
  const verdicts = [
    strangers.length === 0,
    bytes <= limit,
    passes(bin('publint'), 'run', join(folder, filename), '--strict'),
    passes(bin('attw'), join(folder, filename)),
  ]
  return !verdicts.includes(false)
}

const folder = mkdtempSync(join(tmpdir(), 'pack-check-'))
try {
  if (!passes(process.execPath, join('scripts', 'build.js'), '--if-needed') || !check(folder)) process.exitCode = 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}
