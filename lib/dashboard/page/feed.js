/*
 * Who invalidated what, and when: newest first, filtered by words and by kind of cause.
 */
import { byId, el, Rows, setText, show } from './dom.js'
import { clock, counted } from './format.js'

/** @typedef {import('./model.js').Model} Model */
/** @typedef {import('../wire.ts').Invalidation} Invalidation */

const id = (/** @type {string} */ name) => byId(name, HTMLElement)

const CAUSES = /** @type {Readonly<Record<string, string>>} */ ({
  api: 'API call',
  foreign: 'a publisher of the older system',
  repair: 'repair of what Redis lost',
  pending: 'told after an outage',
})

export class Feed {
  /** @type {Model} */
  #model
  #words = byId('feed-filter', HTMLInputElement)
  #cause = byId('feed-cause', HTMLSelectElement)
  /** @type {Rows<Invalidation>} */
  #rows = new Rows(id('feed-list'), ({ id: number }) => String(number), makeItem)

  /** @param {Model} model */
  constructor(model) {
    this.#model = model
    this.#words.addEventListener('input', () => this.render())
    this.#cause.addEventListener('change', () => this.render())
  }

  render() {
    const { invalidations, snapshot } = this.#model
    if (!snapshot) return
    const words = this.#words.value.trim().toLowerCase()
    const kind = this.#cause.value
    const shown = invalidations.filter(
      (one) =>
        (kind === '' || kindOf(one.cause) === kind) &&
        (words === '' || `${one.tag} ${one.cause} ${wordsOf(one.cause)} ${one.worker}`.toLowerCase().includes(words)),
    )
    this.#rows.render(shown)
    const isFiltered = shown.length < invalidations.length
    setText(
      id('feed-count'),
      invalidations.length === 0
        ? ''
        : isFiltered
          ? `${shown.length} of ${invalidations.length}`
          : counted(shown.length, 'invalidation'),
    )
    const { leftOut } = this.#model
    show(id('feed-left-out'), leftOut > 0)
    setText(id('feed-left-out'), `${counted(leftOut, 'more invalidation')} came too many at once to be listed`)
    show(id('feed-empty'), shown.length === 0)
    setText(
      id('feed-empty'),
      invalidations.length === 0
        ? 'Nothing has been invalidated yet. A write through invalidateOn(), a call of invalidate() or the button above appears here within a moment.'
        : 'No invalidation matches. Clear the filter to see all.',
    )
  }
}

/** @param {string} cause */
function kindOf(cause) {
  return Object.hasOwn(CAUSES, cause) ? cause : 'route'
}

/** @param {string} cause */
function wordsOf(cause) {
  return CAUSES[cause] ?? cause.replace(':', ' ')
}

/** @param {Invalidation} one */
function makeItem(one) {
  const at = new Date(one.atMs)
  const time = el('time', { text: clock(one.atMs), attrs: { datetime: at.toISOString() } })
  const kind = kindOf(one.cause)
  const colon = one.cause.indexOf(':')
  const cause = el('span', { class: 'cause' })
  if (kind === 'route' && colon > 0) {
    cause.append(
      el('span', { class: 'method', text: one.cause.slice(0, colon) }),
      ' ',
      el('span', { class: 'mono', text: one.cause.slice(colon + 1) }),
    )
  } else cause.append(wordsOf(one.cause))
  const node = el(
    'li',
    { attrs: { 'data-kind': kind } },
    time,
    el('span', { class: 'tag mono', text: one.tag }),
    cause,
    el('span', { class: one.own ? 'worker' : 'worker mono', text: one.own ? 'this worker' : one.worker }),
  )
  return { node, update: () => {} }
}
