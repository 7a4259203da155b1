/*
 * Why requests were not hits, counted: what was left out of the cache, and what was not stored.
 */
import { byId, cells, el, Rows, show } from './dom.js'
import { count, NOTHING } from './format.js'
import { meaningOf } from './reasons.js'

/** @typedef {import('./model.js').Model} Model */
/** @typedef {{ readonly reason: string, readonly leftOut: number, readonly notStored: number }} Why */

/** @type {Rows<Why>} */
const rows = new Rows(byId('why-body', HTMLElement), ({ reason }) => reason, makeRow)

/** @param {Model} model */
export function renderWhy({ tick }) {
  if (!tick) return
  const { bypasses, notStored } = tick.stats
  const reasons = [...new Set([...Object.keys(bypasses), ...Object.keys(notStored)])].sort()
  rows.render(reasons.map((reason) => ({ reason, leftOut: bypasses[reason] ?? 0, notStored: notStored[reason] ?? 0 })))
  show(byId('why-table', HTMLElement), reasons.length > 0)
  show(byId('why-empty', HTMLElement), reasons.length === 0)
}

/** @param {Why} why */
function makeRow({ reason }) {
  const { all, set } = cells(['num', 'num'])
  const code = el('code', { text: reason })
  const name = el('th', { attrs: { scope: 'row' } }, code, el('span', { class: 'under', text: meaningOf(reason) }))
  return {
    node: el('tr', {}, name, ...all),
    /** @param {Why} next */
    update({ leftOut, notStored }) {
      set(0, leftOut === 0 ? NOTHING : count(leftOut))
      set(1, notStored === 0 ? NOTHING : count(notStored))
    },
  }
}
