/**
 * Builds dist/esm and dist/cjs from lib with tsc, each with its declarations.
 *
 *   node scripts/build.js               always
 *   node scripts/build.js --if-needed   only when lib or a build setting is newer than dist
 *
 * Both are emitted into a folder beside dist that takes dist's place at the end, so a program that runs from dist never sees half a build.
 */
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const dist = join(root, 'dist')
/** The last file that a build writes; its modification time is when that build began. */
const marker = join(dist, 'cjs', 'package.json')
/** The dashboard's page is no TypeScript: it is served as it is, with uPlot's own build beside it. */
const page = join('dashboard', 'page')
const uplot = join(root, 'node_modules', 'uplot')
const vendored = { 'uPlot.iife.min.js': 'uplot.js', 'uPlot.min.css': 'uplot.css', '../LICENSE': 'uplot-license.txt' }
const inputs = ['lib', 'package.json', 'tsconfig.json', 'tsconfig.build.json', 'tsconfig.cjs.json', 'scripts/build.js']

/** tsc has said what is wrong; a stack would only bury it. */
class BuildError extends Error {}

function filesUnder(path) {
  if (!statSync(path).isDirectory()) return [path]
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
}

function isUpToDate() {
  if (!existsSync(marker) || !existsSync(join(root, 'lib', page, 'vendor'))) return false
  const builtAtMs = statSync(marker).mtimeMs
  return inputs.flatMap((input) => filesUnder(join(root, input))).every((file) => statSync(file).mtimeMs < builtAtMs)
}

function compile(project, outDir) {
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const run = spawnSync(process.execPath, [tsc, '-p', join(root, project), '--outDir', outDir], { stdio: 'inherit' })
  if (run.status !== 0) throw new BuildError(`tsc -p ${project} failed`)
}

/** tsc rewrites './x.ts' to './x.js' in what it emits as JavaScript, but not in the declarations (TypeScript 7.0). */
function rewriteDeclarations(outDir) {
  const specifier = /(\bfrom\s*|\bimport\s*\(\s*|\bimport\s+)(['"])(\.{1,2}\/[^'"\n]*?)\.ts\2/g
  for (const file of filesUnder(outDir).filter((name) => name.endsWith('.d.ts'))) {
    const text = readFileSync(file, 'utf8')
    const rewritten = text.replace(specifier, '$1$2$3.js$2')
    if (rewritten !== text) writeFileSync(file, rewritten)
  }
}

/** Into lib as well, where the server finds it while it runs from source. Unchanged files keep their time, or no build were up to date. */
function vendorUplot() {
  const folder = join(root, 'lib', page, 'vendor')
  mkdirSync(folder, { recursive: true })
  for (const [from, to] of Object.entries(vendored)) {
    const source = join(uplot, 'dist', from)
    const target = join(folder, to)
    if (!existsSync(target) || !readFileSync(source).equals(readFileSync(target))) copyFileSync(source, target)
  }
}

function copyPage(fresh) {
  vendorUplot()
  cpSync(join(root, 'lib', page), join(fresh, 'esm', page), { recursive: true })
  const from = join(root, 'lib', 'dashboard', 'page-folder')
  copyFileSync(`${from}.js`, join(fresh, 'esm', 'dashboard', 'page-folder.js'))
  copyFileSync(`${from}.cjs`, join(fresh, 'cjs', 'dashboard', 'page-folder.js'))
}

function build() {
  const startedAt = new Date()
  const fresh = join(root, `.dist-${process.pid}`)
  const old = join(root, `.dist-${process.pid}-old`)
  try {
    mkdirSync(fresh)
    compile('tsconfig.build.json', join(fresh, 'esm'))
    compile('tsconfig.cjs.json', join(fresh, 'cjs'))
    rewriteDeclarations(fresh)
    copyPage(fresh)
    // npm makes it executable where it is installed; this is for whoever runs it from here.
    chmodSync(join(fresh, 'esm', 'cli', 'main.js'), 0o755)
    writeFileSync(join(fresh, 'cjs', 'package.json'), '{"type":"commonjs"}\n')
    utimesSync(join(fresh, 'cjs', 'package.json'), startedAt, startedAt)
    if (existsSync(dist)) renameSync(dist, old)
    renameSync(fresh, dist)
  } finally {
    rmSync(fresh, { recursive: true, force: true })
    rmSync(old, { recursive: true, force: true })
  }
}

try {
  if (!process.argv.includes('--if-needed') || !isUpToDate()) build()
} catch (error) {
  if (!(error instanceof BuildError)) throw error
  console.error(error.message)
  process.exitCode = 1
}
