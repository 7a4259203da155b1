/**
 * The documentation for language models, in the form of llmstxt.org.
 *
 *   node scripts/llms.js           writes llms.txt: every page with its TL;DR, in the order of docs/README.md
 *   node scripts/llms.js --check   fails when the file says something else
 *   node scripts/llms.js --one     prints every page, one after the other, with links from the root
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const file = join(root, 'llms.txt')
const read = (path) => readFileSync(join(root, path), 'utf8')

/** The sections of docs/README.md: `[heading, [[title, path], …]]`. */
function sections() {
  return read('docs/README.md')
    .split(/^## /m)
    .slice(1)
    .map((text) => {
      const links = [...text.matchAll(/^\| \[([^\]]+)\]\(([\w-]+\.md)\)/gm)].map(([, title, name]) => [
        title,
        `docs/${name}`,
      ])
      return [text.split('\n')[0], links]
    })
}

/** The first sentence or two of a page's TL;DR, as one line without links. */
function summary(path) {
  const [, text = ''] = /^\*\*TL;DR\*\* ([\s\S]*?)\n\n/m.exec(read(path)) ?? []
  return text.replace(/\s+/g, ' ').replace(/\[([^\]]+)\]\([^)]*\)/g, '$1')
}

function index() {
  const { description, name } = JSON.parse(read('package.json'))
  const lists = sections().map(([heading, links]) => {
    const lines = links.map(([title, path]) => `- [${title}](${path}): ${summary(path)}`)
    return `## ${heading}\n\n${lines.join('\n')}`
  })
  return `# ${name}\n\n> ${description}\n\n- [README](README.md): the three lines, options, promises and limits\n\n${lists.join('\n\n')}\n`
}

function one() {
  const paths = ['README.md', ...sections().flatMap(([, links]) => links.map(([, path]) => path))]
  return paths
    .map((path) => {
      const folder = dirname(path)
      const text = read(path).replace(/\]\((?!\w+:|#)([^)\s]+)\)/g, (_, target) => `](${join(folder, target)})`)
      return `<!-- ${path} -->\n\n${text.trim()}\n`
    })
    .join('\n')
}

if (process.argv.includes('--one')) process.stdout.write(one())
else if (!process.argv.includes('--check')) writeFileSync(file, index())
else if (read('llms.txt') !== index()) {
  console.error('llms.txt is not what the pages say now: npm run docs:index')
  process.exitCode = 1
}
