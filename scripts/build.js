/**
 * Builds dist from lib.
 *
 *   node scripts/build.js               always
 *   node scripts/build.js --if-needed   only when lib or a build setting is newer than dist
 *
 * The code is in dist once, as CommonJS, one file for each entry point and one for each group of modules that several of them load; its
 * ES modules name the exports and take them from there. So an application that imports and requires has one cache, and one of each class.
 * Comments, types and line breaks are left out and local names shortened; names that a stack trace shows (functions, classes, methods)
 * stay. Declarations keep their docstrings.
 *
 * All of it is made in a folder beside dist that takes dist's place at the end, so a program that runs from dist never sees half a build.
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
import { rollup } from 'rollup'
import { minify } from 'terser'
import { bundleDeclarations } from './bundle-declarations.js'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const dist = join(root, 'dist')
/** The last file that a build writes; its modification time is when that build began. */
const marker = 'index.js'
/** The dashboard's page is no TypeScript: it is served as it is, with uPlot's own build beside it. */
const page = join('dashboard', 'page')
const uplot = join(root, 'node_modules', 'uplot')
const vendored = { 'uPlot.iife.min.js': 'uplot.js', 'uPlot.min.css': 'uplot.css', '../LICENSE': 'uplot-license.txt' }
const inputs = ['lib', 'package.json', 'tsconfig.json', 'tsconfig.build.json', 'scripts']

/** tsc has said what is wrong; a stack would only bury it. */
class BuildError extends Error {}

function filesUnder(path) {
  if (!statSync(path).isDirectory()) return [path]
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
}

function isUpToDate() {
  if (!existsSync(join(dist, marker)) || !existsSync(join(root, 'lib', page, 'vendor'))) return false
  const builtAtMs = statSync(join(dist, marker)).mtimeMs
  return inputs.flatMap((input) => filesUnder(join(root, input))).every((file) => statSync(file).mtimeMs < builtAtMs)
}

/** The entry points by their module in lib and their file in dist, such as `index` and `prometheus/index`. */
function entryNames() {
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  return Object.values(exports)
    .filter((conditions) => typeof conditions !== 'string')
    .map((conditions) => conditions.require.default.replace(/^\.\/dist\/|\.cjs$/g, ''))
}

/** lib as ES modules with declarations, one of each per file, into `outDir`. */
function compile(outDir) {
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const args = [tsc, '-p', join(root, 'tsconfig.build.json'), '--outDir', outDir]
  const run = spawnSync(process.execPath, args, { stdio: 'inherit' })
  if (run.status !== 0) throw new BuildError('tsc failed')
  const script = join('dashboard', 'page-folder.js')
  copyFileSync(join(root, 'lib', script), join(outDir, script))
  rewriteDeclarations(outDir)
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

const terserOptions = {
  toplevel: true,
  keep_classnames: true,
  keep_fnames: true,
  // A function that is called once stays where it is: put into its caller, it would be made anew at each call.
  compress: { ecma: 2020, passes: 3, reduce_funcs: false },
  // The place in a stack trace is a line and a column: lines short enough to be read.
  format: { ecma: 2020, max_line_len: 160, comments: false },
}

function write(folder, path, text) {
  mkdirSync(dirname(join(folder, path)), { recursive: true })
  writeFileSync(join(folder, path), text)
}

async function bundle(modules, fresh, entries) {
  const bundled = await rollup({
    input: Object.fromEntries([...entries, 'cli/main'].map((name) => [name, join(modules, `${name}.js`)])),
    external: (specifier) => /^[^./]/.test(specifier),
    onwarn: ({ message }) => {
      throw new BuildError(message)
    },
  })
  const names = { entryFileNames: '[name].cjs', chunkFileNames: '[name].cjs' }
  const { output } = await bundled.generate({ format: 'cjs', exports: 'named', esModule: false, ...names })
  for (const { fileName, code } of output) write(fresh, fileName, (await minify(code, terserOptions)).code)
  for (const { name, exports } of output.filter((chunk) => entries.includes(chunk.name))) {
    const from = JSON.stringify(`./${name.split('/').at(-1)}.cjs`)
    write(fresh, `${name}.js`, `export { ${exports.join(', ')} } from ${from}\n`)
  }
}

function declare(modules, fresh, entries) {
  const texts = bundleDeclarations(new Map(entries.map((name) => [name, join(modules, `${name}.d.ts`)])))
  for (const [name, text] of texts) write(fresh, `${name}.d.cts`, text)
  for (const name of entries) write(fresh, `${name}.d.ts`, `export * from './${name.split('/').at(-1)}.cjs';\n`)
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

async function build() {
  const startedAt = new Date()
  const modules = join(root, `.dist-${process.pid}-modules`)
  const fresh = join(root, `.dist-${process.pid}`)
  const old = join(root, `.dist-${process.pid}-old`)
  try {
    mkdirSync(fresh)
    vendorUplot()
    compile(modules)
    await bundle(modules, fresh, entryNames())
    declare(modules, fresh, entryNames())
    cpSync(join(root, 'lib', page), join(fresh, page), { recursive: true })
    // npm makes it executable where it is installed; this is for whoever runs it from here.
    chmodSync(join(fresh, 'cli', 'main.cjs'), 0o755)
    utimesSync(join(fresh, marker), startedAt, startedAt)
    if (existsSync(dist)) renameSync(dist, old)
    renameSync(fresh, dist)
  } finally {
    for (const folder of [modules, fresh, old]) rmSync(folder, { recursive: true, force: true })
  }
}

try {
  if (!process.argv.includes('--if-needed') || !isUpToDate()) await build()
} catch (error) {
  if (!(error instanceof BuildError)) throw error
  console.error(error.message)
  process.exitCode = 1
}
