/*
 * The sub-paths of the package as they are resolved by its `exports`, in both module styles, and what each of them loads: the core
 * knows none of the optional peers.
 */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect } from 'chai'

const root = fileURLToPath(new URL('../..', import.meta.url))

async function node(...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, args, {
    cwd: root,
    timeout: 30_000,
    killSignal: 'SIGKILL',
  })
  return stdout.trim()
}

/** The packages that a file of lib loads, by itself and by what it imports; types are not loaded. */
function packagesOf(file: string, seen = new Set<string>()): Set<string> {
  const packages = new Set<string>()
  if (seen.has(file)) return packages
  seen.add(file)
  for (const [, clause = '', specifier = ''] of readFileSync(file, 'utf8').matchAll(
    /^(?:import|export)\s([^'"]*?from\s+)?['"]([^'"]+)['"]/gm,
  )) {
    if (/^type\s/.test(clause)) continue
    if (!specifier.startsWith('.')) packages.add(specifier)
    else for (const one of packagesOf(join(dirname(file), specifier), seen)) packages.add(one)
  }
  return packages
}

const peersOf = (path: string): string[] =>
  [...packagesOf(join(root, 'lib', path))].filter((name) => !name.startsWith('node:')).sort()

describe('the sub-paths', function () {
  this.timeout(60_000)

  before(() => node(join('scripts', 'build.js'), '--if-needed'))

  const expected = {
    '': ['fast-json-stable-stringify', 'lru-cache'],
    '/prometheus': ['prom-client'],
    '/opentelemetry': ['@opentelemetry/api'],
    '/testing': [],
    '/dashboard': [],
  }

  for (const [path, peers] of Object.entries(expected)) {
    it(`express-registry-cache${path} loads ${peers.length === 0 ? 'nothing' : `only ${peers.join(' and ')}`}`, () => {
      expect(peersOf(join(path, 'index.ts'))).to.deep.equal(peers)
    })

    it(`express-registry-cache${path} is there for import and for require, with the same names`, async () => {
      const name = JSON.stringify(`express-registry-cache${path}`)
      const print =
        'console.log(Object.keys(all).filter((one) => !/^(default|module.exports)$/.test(one)).sort().join())'
      const imported = await node('--input-type=module', '-e', `const all = await import(${name}); ${print}`)
      const required = await node('--input-type=commonjs', '-e', `const all = require(${name}); ${print}`)
      expect(imported).not.to.equal('')
      expect(imported).to.equal(required.replace(/(^|,)__esModule/, ''))
    })
  }

  it('share one register between the module and the CommonJS copy without a clash of names', async () => {
    const script = `
      import { createRequire } from 'node:module'
      import { createRegistryCache } from 'express-registry-cache'
      import { registerCacheMetrics } from 'express-registry-cache/prometheus'
      const require = createRequire(import.meta.url)
      registerCacheMetrics(createRegistryCache(), undefined, { name: 'esm' })
      try {
        require('express-registry-cache/prometheus').registerCacheMetrics(createRegistryCache(), undefined, { name: 'cjs' })
      } catch (error) {
        console.log(error.code)
      }
      const text = await require('prom-client').register.metrics()
      console.log(text.includes('cache="esm"'), text.includes('cache="cjs"'))`
    expect(await node('--input-type=module', '-e', script)).to.equal('true true')
  })
})
