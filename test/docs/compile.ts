/*
 * Compiles the documentation's code, strictly and all at once, and runs what is marked `runnable`.
 *
 * Each block is a module of its own. What a reader takes from the context is put before it: imports that the page has shown already, and
 * the application's own things (`app`, `listTools`), which prelude.ts declares. Blank lines before the code make the compiler's line
 * numbers those of the page.
 */
import { execFile } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import blankSpace from 'ts-blank-space'
import { type Block, root } from './blocks.ts'
import { PRELUDE } from './prelude.ts'

const NAME = 'express-registry-cache'
const modules = join(root, 'node_modules')

/** The package's entry points and their sources: lib/index.ts, and lib/NAME/index.ts for each sub-path. */
const entryPoints: readonly (readonly [specifier: string, source: string])[] = [
  [NAME, 'lib/index.ts'] as const,
  ...readdirSync(join(root, 'lib'))
    .filter((name) => existsSync(join(root, 'lib', name, 'index.ts')))
    .map((name) => [`${NAME}/${name}`, `lib/${name}/index.ts`] as const),
]

/** What a block may use without importing it. */
const context: ReadonlyMap<string, string> = await findContext()

async function findContext(): Promise<Map<string, string>> {
  const found = new Map([
    ['express', "import express from 'express'"],
    ['Redis', "import { Redis } from 'ioredis'"],
  ])
  for (const [specifier, source] of entryPoints) {
    for (const name of Object.keys((await import(join(root, source))) as object)) {
      found.set(name, `import { ${name} } from '${specifier}'`)
    }
  }
  return found
}

/** The block as a module, with what it needs before it. */
function moduleOf({ code, line }: Block): string {
  const isUsed = (name: string): boolean => new RegExp(`(?<![\\w.'"])${name}(?![\\w'"])`).test(code)
  const isBrought = (name: string): boolean =>
    new RegExp(`import [^\\n]*\\b${name}\\b|(const|function) ${name}\\b`).test(code)
  const before = [...context].filter(([name]) => isUsed(name) && !isBrought(name)).map(([, statement]) => statement)
  return `${before.join('; ')}${'\n'.repeat(line - 1)}${code}\nexport {}\n`
}

/** A folder from which everything that is installed here can be imported. */
function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'erc-docs-'))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  mkdirSync(join(folder, 'node_modules'))
  for (const name of readdirSync(modules)) {
    if (!name.startsWith('.') && name !== NAME) symlinkSync(join(modules, name), join(folder, 'node_modules', name))
  }
  return folder
}

const COMPILER_OPTIONS = {
  target: 'es2023',
  lib: ['es2023'],
  module: 'nodenext',
  types: ['node'],
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  verbatimModuleSyntax: true,
  isolatedModules: true,
  erasableSyntaxOnly: true,
  allowImportingTsExtensions: true,
  allowJs: true,
  checkJs: true,
  noEmit: true,
  skipLibCheck: true,
  paths: Object.fromEntries(entryPoints.map(([specifier, source]) => [specifier, [join(root, source)]])),
}

/** What the compiler has to say about these blocks, as `page:line: text`; empty when all is well. */
export async function compile(blocks: readonly Block[]): Promise<string[]> {
  const folder = makeFolder()
  try {
    const config = { compilerOptions: COMPILER_OPTIONS, include: ['blocks'] }
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
    mkdirSync(join(folder, 'blocks'))
    writeFileSync(join(folder, 'blocks', 'prelude.d.ts'), PRELUDE)
    const names = new Map<string, string>()
    for (const block of blocks) {
      const name = `${block.page.replace(/\W/g, '_')}_${block.line}.${block.language === 'js' ? 'js' : 'ts'}`
      names.set(name, block.page)
      writeFileSync(join(folder, 'blocks', name), moduleOf(block))
    }
    const tsc = join(modules, '.bin', 'tsc')
    const output = await promisify(execFile)(tsc, ['-p', folder, '--pretty', 'false'], { cwd: folder }).then(
      () => '',
      (error: { stdout?: string; message: string }) => error.stdout || error.message,
    )
    return output
      .split('\n')
      .filter((line) => line !== '')
      .map((line) =>
        line.replace(/^blocks\/([^(]+)\((\d+),\d+\)/, (_all, name, at) => `${names.get(name) ?? name}:${at}`),
      )
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

export interface Runner {
  /** Runs a block to its end, which must come by itself, with `epilogue` after it. Gives what it printed; rejects when it failed. */
  run(block: Block, epilogue?: string): Promise<string>
  close(): void
}

/** Types become blanks before anything runs, so that each block costs no more than a start of Node. */
export function makeRunner(): Runner {
  const folder = makeFolder()
  const own = join(folder, 'node_modules', NAME)
  for (const file of readdirSync(join(root, 'lib'), { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.ts')) continue
    const target = join(own, 'lib', file.replace(/\.ts$/, '.js'))
    mkdirSync(dirname(target), { recursive: true })
    const code = toJavaScript(readFileSync(join(root, 'lib', file), 'utf8'))
    writeFileSync(target, code.replace(/(from |import\()'(\.[^']*)\.ts'/g, "$1'$2.js'"))
  }
  const exports = Object.fromEntries(
    entryPoints.map(([specifier, source]) => [specifier.replace(NAME, '.'), `./${source.replace(/ts$/, 'js')}`]),
  )
  writeFileSync(join(own, 'package.json'), JSON.stringify({ type: 'module', exports }))
  return {
    async run(block, epilogue = '') {
      const file = join(folder, `block-${block.line}.js`)
      const code = moduleOf(block).replace(/listen\(\d+\)/g, "listen(0, '127.0.0.1')")
      writeFileSync(file, toJavaScript(`${code}\n${epilogue}\n`))
      const { stdout, stderr } = await promisify(execFile)(process.execPath, [file], {
        cwd: folder,
        env: { PATH: process.env.PATH },
        timeout: 40_000,
        killSignal: 'SIGKILL',
      })
      if (stderr !== '') throw new Error(`${block.page}:${block.line} wrote to stderr:\n${stderr}`)
      return stdout
    },
    close: () => rmSync(folder, { recursive: true, force: true }),
  }
}

function toJavaScript(code: string): string {
  return blankSpace(code, (node) => {
    throw new Error(`it does not erase: ${node.getText()}`)
  })
}
