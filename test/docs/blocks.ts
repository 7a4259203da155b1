/*
 * The documentation as data: its pages, their code blocks, tables, headings and links. Line numbers are the page's own.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root: string = fileURLToPath(new URL('../..', import.meta.url))

export interface Block {
  /** Relative to the root, as in `docs/errors.md`. */
  readonly page: string
  /** Of its first line of code, counted from 1. */
  readonly line: number
  readonly language: string
  /** The words after the language. */
  readonly marks: readonly string[]
  readonly code: string
}

export interface Page {
  readonly name: string
  readonly text: string
  readonly lines: readonly string[]
  readonly blocks: readonly Block[]
}

/** README.md and everything in docs/. */
export function pages(): Page[] {
  const docs = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'))
  return ['README.md', ...docs.sort().map((name) => `docs/${name}`)].map(page)
}

export function page(name: string): Page {
  const text = readFileSync(join(root, name), 'utf8')
  const lines = text.replace(/\n$/, '').split('\n')
  return { name, text, lines, blocks: blocksOf(name, lines) }
}

function blocksOf(name: string, lines: readonly string[]): Block[] {
  const blocks: Block[] = []
  let open: { line: number; info: string } | undefined
  for (const [i, line] of lines.entries()) {
    if (!line.startsWith('```')) continue
    if (!open) {
      open = { line: i + 2, info: line.slice(3).trim() }
      continue
    }
    const [language = '', ...marks] = open.info.split(/\s+/)
    blocks.push({ page: name, line: open.line, language, marks, code: lines.slice(open.line - 1, i).join('\n') })
    open = undefined
  }
  if (open) throw new Error(`${name}:${open.line - 1}: the code block is not closed`)
  return blocks
}

/** The text without its code blocks, line by line. */
export function prose({ lines }: Page): string[] {
  let isCode = false
  return lines.map((line) => {
    if (line.startsWith('```')) isCode = !isCode
    return isCode || line.startsWith('```') ? '' : line
  })
}

/** The rows of the table that follows `<!-- MARK -->`, without its head; cells without their blanks. */
export function table({ name, lines }: Page, mark: string): string[][] {
  const at = lines.indexOf(`<!-- ${mark} -->`)
  if (at < 0) throw new Error(`${name} has no table marked ${mark}`)
  const rows: string[][] = []
  for (const line of lines.slice(at + 3)) {
    if (!line.startsWith('|')) break
    rows.push(
      line
        .slice(1, line.lastIndexOf('|'))
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim().replaceAll('\\|', '|')),
    )
  }
  return rows
}

/** `` `x` `` as x; what is no code as it is. */
export function uncode(cell: string): string {
  return /^`([^`]*)`$/.exec(cell)?.[1] ?? cell
}

/** The anchors that GitHub gives a page's headings. */
export function anchors(of: Page): Set<string> {
  const headings = prose(of).flatMap((line) => /^#{1,6} (.*)$/.exec(line)?.[1] ?? [])
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .trim()
        .replace(/\s/g, '-'),
    ),
  )
}

/** Targets of links and images, with their line. */
export function links(of: Page): { readonly line: number; readonly target: string }[] {
  return prose(of).flatMap((line, i) =>
    [...line.replace(/`[^`]*`/g, '').matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => ({ line: i + 1, target })),
  )
}
