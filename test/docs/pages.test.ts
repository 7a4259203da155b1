/*
 * What the pages say of the package as a whole: the index and llms.txt know every page, the comparison is what was measured, and the
 * licences are those of what is installed.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { links, page, pages, root, table, uncode } from './blocks.ts'

const json = (path: string): Record<string, unknown> => JSON.parse(readFileSync(join(root, path), 'utf8'))

describe('The pages', () => {
  it('are all in the index', () => {
    const listed = links(page('docs/README.md')).map(({ target }) => `docs/${target}`)
    const all = pages().map(({ name }) => name)
    expect(
      all.filter((name) => !['README.md', 'docs/README.md'].includes(name) && !listed.includes(name)),
    ).to.deep.equal([])
  })

  it('are summed up in llms.txt; otherwise: npm run docs:index', () => {
    const { status, stderr } = spawnSync(process.execPath, [join('scripts', 'llms.js'), '--check'], {
      cwd: root,
      encoding: 'utf8',
      timeout: 30_000,
    })
    expect({ status, stderr }).to.deep.equal({ status: 0, stderr: '' })
  })

  it('compare by what bench/results/behaviour.json says was measured; otherwise: node bench/behaviour.js', async () => {
    const script: string = new URL('../../bench/behaviour/table.js', import.meta.url).href
    const { withTable } = (await import(script)) as { withTable(text: string, results: object): string }
    const { text } = page('docs/comparison.md')
    expect(withTable(text, json('bench/results/behaviour.json'))).to.equal(text)
  })

  it('show of bench/results what is in it; otherwise: node bench/publish.js', async () => {
    const script: string = new URL('../../bench/harness/report.js', import.meta.url).href
    const { pagesWithResults } = (await import(script)) as {
      pagesWithResults(folder: string): { path: string; text: string }[]
    }
    const folder = join(root, 'bench')
    for (const { path, text } of pagesWithResults(folder)) {
      expect(readFileSync(join(folder, path), 'utf8'), path).to.equal(text)
    }
  })

  it('compare every peer in every row', () => {
    const results = json('bench/results/behaviour.json') as {
      probes: string[]
      peers: Record<string, { answers: Record<string, unknown> }>
    }
    expect(results.probes.length).to.be.at.least(12)
    for (const [name, { answers }] of Object.entries(results.peers)) {
      expect(Object.keys(answers), name).to.have.members(results.probes)
    }
  })
})

describe('The licences', () => {
  const { dependencies } = json('package.json') as { dependencies: Record<string, string> }
  const licenceOf = (name: string): unknown => json(join('node_modules', name, 'package.json')).license

  it('in docs/package.md are those of every dependency, and of no other', () => {
    const rows = table(page('docs/package.md'), 'licences').map(([name = '', licence]) => [uncode(name), licence])
    expect(Object.fromEntries(rows)).to.deep.equal(
      Object.fromEntries(Object.keys(dependencies).map((name) => [name, licenceOf(name)])),
    )
  })

  it('are permissive, and the dependencies bring none of their own', () => {
    for (const name of Object.keys(dependencies)) {
      expect(['MIT', 'ISC', 'BSD-2-Clause', 'BSD-3-Clause', 'Apache-2.0', 'BlueOak-1.0.0'], name).to.include(
        licenceOf(name),
      )
      expect(json(join('node_modules', name, 'package.json')).dependencies ?? {}, name).to.deep.equal({})
    }
  })

  it('in the README are the same', () => {
    const { text } = page('README.md')
    for (const name of Object.keys(dependencies)) expect(text).to.include(`\`${name}\` (${String(licenceOf(name))})`)
  })
})
