/*
 * Why requests were not hits, counted: what was left out of the cache, and what was not stored.
 */
import { byId, cells, el, Rows, show } from './dom.js'
import { count } from './format.js'
import { meaningOf } from './reasons.js'

/** @typedef {import('./model.js').Model} Model */
/** @typedef {{ readonly kind: string, readonly reason: string, readonly times: number }} Why */

/** @type {Rows<Why>} */
const rows = new Rows(byId('why-body', HTMLElement), ({ kind, reason }) => `${kind} ${reason}`, makeRow)

/** @param {Model} model */
export function renderWhy({ tick }) {
  if (!tick) return
  const { bypasses, notStored } = tick.stats
  const of = (/** @type {string} */ kind, /** @type {Readonly<Record<string, number>>} */ counts) =>
    Object.entries(counts).map(([reason, times]) => ({ kind, reason, times }))
  const all = [...of('Left out', bypasses), ...of('Not stored', notStored)].sort((a, b) =>
    a.reason.localeCompare(b.reason),
  )
  rows.render(all)
  show(byId('why-table', HTMLElement), all.length > 0)
  show(byId('why-empty', HTMLElement), all.length === 0)
}

/** @param {Why} why */
function makeRow({ kind, reason }) {
  const { all, set } = cells(['num'])
  const name = el(
    'th',
    { attrs: { scope: 'row' } },
    el('code', { text: reason }),
    el('span', { class: 'under', text: meaningOf(reason) }),
  )
  const node = el('tr', {}, name, el('td', { text: kind }), ...all)
  return {
    node,
    /** @param {Why} next */
    update: ({ times }) => set(0, count(times)),
  }
}
