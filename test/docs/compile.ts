/*
 * Compiles the documentation's code, strictly and all at once, and runs what is marked `runnable`.
 *
 * Each block is a module of its own. What a reader takes from the context is put before it: imports that the page has shown
 * already, and the application's own things (`app`, `listTools`), which prelude.ts declares. Blank lines before the code make
 * the compiler's line numbers those of the page.
 */
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import * as api from '../../lib/index.ts'
import { type Block, root } from './blocks.ts'
import { PRELUDE } from './prelude.ts'

const modules = join(root, 'node_modules')

const CONTEXT: Readonly<Record<string, string>> = {
  express: "import express from 'express'",
  Redis: "import { Redis } from 'ioredis'",
  Cluster: "import { Cluster } from 'ioredis'",
  ...Object.fromEntries(Object.keys(api).map((name) => [name, `import { ${name} } from 'express-registry-cache'`])),
}

/** The block as a module, without what stands before it. */
function moduleOf({ code, line }: Block): string {
  const isUsed = (name: string): boolean => new RegExp(`(?<![\\w.'"])${name}(?![\\w'"])`).test(code)
  const isBrought = (name: string): boolean =>
    new RegExp(`import [^\\n]*\\b${name}\\b|(const|function) ${name}\\b`).test(code)
  const names = Object.keys(CONTEXT).filter((name) => isUsed(name) && !isBrought(name))
  const before = names.map((name) => CONTEXT[name]).join('; ')
  return `${before}${'\n'.repeat(line - 1)}${code}\nexport {}\n`
}

/** A folder in which the package resolves to lib/, and its peers to what is installed here. */
function makeProject(): string {
  const folder = mkdtempSync(join(tmpdir(), 'erc-docs-'))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  const own = join(folder, 'node_modules', 'express-registry-cache')
  mkdirSync(own, { recursive: true })
  for (const name of readdirSync(modules)) {
    if (!name.startsWith('.') && name !== 'express-registry-cache') {
      symlinkSync(join(modules, name), join(folder, 'node_modules', name))
    }
  }
  writeFileSync(join(own, 'package.json'), '{ "type": "module", "exports": "./index.js" }')
  writeFileSync(join(own, 'index.js'), `export * from '${pathToFileURL(join(root, 'lib/index.ts')).href}'\n`)
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
  paths: { 'express-registry-cache': [join(root, 'lib/index.ts')] },
}

/** What the compiler has to say about these blocks, as `page:line: text`; empty when all is well. */
export async function compile(blocks: readonly Block[]): Promise<string[]> {
  const folder = makeProject()
  try {
    writeFileSync(
      join(folder, 'tsconfig.json'),
      JSON.stringify({ compilerOptions: COMPILER_OPTIONS, include: ['blocks'] }),
    )
    mkdirSync(join(folder, 'blocks'))
    writeFileSync(join(folder, 'blocks', 'prelude.d.ts'), PRELUDE)
    const names = new Map<string, string>()
    for (const block of blocks) {
      const name = `${block.page.replace(/\W/g, '_')}_${block.line}.${block.language === 'js' ? 'js' : 'ts'}`
      names.set(name, block.page)
      writeFileSync(join(folder, 'blocks', name), moduleOf(block))
    }
    const output = await promisify(execFile)(join(modules, '.bin', 'tsc'), ['-p', folder, '--pretty', 'false'], {
      cwd: folder,
    }).then(
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

/** Runs a block to its end, which must come by itself, with `epilogue` after it. Resolves to what it printed; rejects when it failed. */
export async function run(block: Block, epilogue = '', env: Readonly<Record<string, string>> = {}): Promise<string> {
  const folder = makeProject()
  try {
    const file = join(folder, 'block.ts')
    const code = moduleOf(block).replace(/listen\(\d+\)/g, "listen(0, '127.0.0.1')")
    writeFileSync(file, `${code}\n${epilogue}\n`)
    const register = import.meta.resolve('ts-blank-space/register')
    const { stdout, stderr } = await promisify(execFile)(process.execPath, ['--import', register, file], {
      cwd: folder,
      env: { PATH: process.env.PATH, ...env },
      timeout: 20_000,
      killSignal: 'SIGKILL',
    })
    if (stderr !== '') throw new Error(`${block.page}:${block.line} wrote to stderr:\n${stderr}`)
    return stdout
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
