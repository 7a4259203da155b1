/*
 * docs/api-report.md shows the public surface as it is, so that a change of it is seen in a review.
 */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'

const root = fileURLToPath(new URL('../..', import.meta.url))

function run(script: string, ...args: string[]): { code: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join('scripts', script), ...args], {
    cwd: root,
    encoding: 'utf8',
    timeout: 120_000,
    killSignal: 'SIGKILL',
  })
  return { code: status, output: stdout + stderr }
}

describe('the API report', function () {
  this.timeout(130_000)

  it('says what the entry points export; otherwise: npm run api:report', () => {
    expect(run('build.js', '--if-needed')).to.deep.equal({ code: 0, output: '' })
    expect(run('api-report.js', '--check')).to.deep.equal({ code: 0, output: '' })
  })
})
