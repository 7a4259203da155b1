/*
 * What the commands print. Everything that comes out of Redis passes `printable`: whoever may publish or write there must
 * not speak to the operator's terminal.
 */

/** Where text goes. `out` is the result, `err` what is to be said about it. Each call is one line. */
export interface Output {
  out(line: string): void
  err(line: string): void
}

/** Without control characters and what else turns a terminal's text around; line breaks stay with `lines`. */
export function printable(text: string, { lines = false }: { lines?: boolean } = {}): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (character) => {
    if (lines && (character === '\n' || character === '\t')) return character
    return `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`
  })
}

/** JSON on one line, fit for a terminal too: JSON itself escapes only what is below U+0020. */
export function json(value: unknown): string {
  return printable(JSON.stringify(value))
}

/** Columns of text, two blanks apart; the last one is not padded. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = []
  for (const row of rows) {
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length)
  }
  return rows.map((row) => row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0))).join('  '))
}

/** Milliseconds as seconds, with as many digits as anybody wants to read. */
export function seconds(ms: number): number {
  return Math.round(ms) / 1000
}
