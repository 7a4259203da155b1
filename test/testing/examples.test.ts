/*
 * The examples for mocha and node:test run as they stand, and the documentation shows exactly them.
 */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect } from 'chai'

const root = fileURLToPath(new URL('../..', import.meta.url))

async function node(...args: string[]): Promise<string> {
  const options = { cwd: root, timeout: 40_000, killSignal: 'SIGKILL' as const, env: { PATH: process.env.PATH } }
  const { stdout } = await promisify(execFile)(process.execPath, args, options)
  return stdout
}

describe('the examples of tests', function () {
  this.timeout(60_000)

  before(() => node(join('scripts', 'build.js'), '--if-needed'))

  it('run with mocha', async () => {
    const mocha = ['node_modules/mocha/bin/mocha.js', '--no-config', '--import=./test/helpers/register.js']
    expect(await node(...mocha, 'examples/testing/mocha.test.ts')).to.include('1 passing')
  })

  it('run with node:test', async () => {
    const test = ['--import=./test/helpers/register.js', '--test', '--test-reporter=tap']
    expect(await node(...test, 'examples/testing/node.test.ts')).to.match(/# pass 1\n# fail 0/)
  })

  for (const name of ['mocha.test.ts', 'node.test.ts']) {
    it(`are what docs/testing.md shows: ${name}`, () => {
      const code = readFileSync(join(root, 'examples/testing', name), 'utf8')
      expect(readFileSync(join(root, 'docs/testing.md'), 'utf8')).to.include(`\`\`\`ts\n${code}\`\`\`\n`)
    })
  }
})
