/*
 * The files for GitHub, as far as they can be judged from here: they parse, run what is run by hand, and ask for no more than they need.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'
import { load } from 'js-yaml'

const root = fileURLToPath(new URL('../..', import.meta.url))

interface Step {
  readonly uses?: string
  readonly run?: string
  readonly with?: Readonly<Record<string, unknown>>
}

interface Job {
  readonly permissions?: Readonly<Record<string, string>>
  readonly strategy?: { readonly matrix: { readonly node: readonly number[] } }
  readonly steps: readonly Step[]
}

interface Workflow {
  readonly on: Readonly<Record<string, unknown>>
  readonly permissions: Readonly<Record<string, string>>
  readonly jobs: Readonly<Record<string, Job>>
}

interface IssueForm {
  readonly name?: string
  readonly description?: string
  readonly body?: readonly { readonly type: string; readonly id?: string; readonly attributes: object }[]
}

const read = (path: string): unknown => load(readFileSync(join(root, '.github', path), 'utf8'))
const workflow = (name: string): Workflow => read(join('workflows', name)) as Workflow
const job = (name: string, key: string): Job => {
  const found = workflow(name).jobs[key]
  if (!found) throw new Error(`${name} has no job ${key}`)
  return found
}
const commands = ({ steps }: Job): string[] => steps.flatMap(({ run }) => (run === undefined ? [] : [run.trim()]))

describe('the workflows', () => {
  it('check a change with .ci/run, from the oldest Node that the package takes on', () => {
    const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { engines: { node: string } }
    const check = job('ci.yml', 'check')
    expect(commands(check)).to.include('.ci/run')
    expect(check.strategy?.matrix.node).to.deep.equal([20, 22, 24])
    expect(engines.node).to.equal('>=20.19')
  })

  it('publish what was checked, on a release alone, with provenance', () => {
    const publish = job('publish.yml', 'publish')
    const run = commands(publish)
    expect(Object.keys(workflow('publish.yml').on)).to.deep.equal(['release'])
    expect(publish.permissions).to.deep.equal({ contents: 'read', 'id-token': 'write' })
    expect(run.at(-1)).to.equal('npm publish --provenance --access public')
    expect(run.findIndex((one) => one.startsWith('npm ci'))).to.be.within(0, run.indexOf('npm run check') - 1)
  })

  it('may write nothing, know no secret and name no registry', () => {
    for (const name of readdirSync(join(root, '.github', 'workflows'))) {
      const text = readFileSync(join(root, '.github', 'workflows', name), 'utf8')
      expect(workflow(name).permissions, name).to.deep.equal({ contents: 'read' })
      expect(text, name).not.to.match(/secrets\.|registry|https?:/)
    }
  })
})

describe('the issue forms', () => {
  for (const name of ['bug.yml', 'feature.yml']) {
    it(`${name} has what GitHub demands of one`, () => {
      const form = read(join('ISSUE_TEMPLATE', name)) as IssueForm
      const ids = (form.body ?? []).flatMap(({ id }) => id ?? [])
      expect(form.name).to.be.a('string')
      expect(form.description).to.be.a('string')
      expect(ids).not.to.have.lengthOf(0)
      expect(new Set(ids).size).to.equal(ids.length)
      for (const { type, attributes } of form.body ?? []) {
        expect(['markdown', 'textarea', 'input']).to.include(type)
        expect(attributes).to.have.property(type === 'markdown' ? 'value' : 'label')
      }
    })
  }
})
