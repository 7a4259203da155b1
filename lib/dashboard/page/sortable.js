/*
 * Tables that are sorted by a press on a column's name: `th` with a button that has `data-sort`. The first press on figures
 * brings the greatest up, on names the first of the alphabet.
 */
import { setAttr } from './dom.js'

/**
 * @template T
 * @param {HTMLTableElement} table
 * @param {Readonly<Record<string, (item: T) => string | number>>} columns
 */
export function sortable(table, columns) {
  /** @type {{ name: string, sign: 1 | -1 } | undefined} */
  let chosen
  let changed = () => {}
  const buttons = [...table.querySelectorAll('button[data-sort]')]
  for (const button of buttons) {
    button.addEventListener('click', () => {
      const name = button.getAttribute('data-sort') ?? ''
      const isSame = chosen?.name === name
      const isText = button.closest('th')?.classList.contains('num') !== true
      const first = isText ? 1 : -1
      chosen = { name, sign: isSame && chosen?.sign === first ? (first === 1 ? -1 : 1) : first }
      for (const other of buttons) {
        const th = other.closest('th')
        if (other !== button) th?.removeAttribute('aria-sort')
        else if (th) setAttr(th, 'aria-sort', chosen.sign === 1 ? 'ascending' : 'descending')
      }
      changed()
    })
  }
  return {
    /** @param {() => void} next */
    onChange(next) {
      changed = next
    },
    /**
     * @param {readonly T[]} items
     * @returns {readonly T[]} the order that they came in, until somebody chose another
     */
    sort(items) {
      const value = chosen && columns[chosen.name]
      if (!chosen || !value) return items
      const { sign } = chosen
      return items.toSorted((a, b) => {
        const left = value(a)
        const right = value(b)
        const order =
          typeof left === 'string' ? left.localeCompare(String(right), 'en', { numeric: true }) : left - Number(right)
        return order * sign
      })
    },
  }
}
