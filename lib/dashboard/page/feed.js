/*
 * Who invalidated what, and when: newest first, filtered by words and by kind of cause. What one write raised, the type that it
 * named and those that fall with it, is one line.
 */
import { byId, el, Rows, setText, show } from './dom.js'
import { clock, count, counted, list } from './format.js'

/** @typedef {import('./model.js').Model} Model */
/** @typedef {import('../wire.ts').Invalidation} Invalidation */
/** @typedef {{ readonly first: Invalidation, readonly along: readonly string[] }} Group */

/** Tags of one write come in the same instant, by way of one message each. */
const TOGETHER_MS = 50

const id = (/** @type {string} */ name) => byId(name, HTMLElement)

/** @type {Readonly<Record<string, string>>} */
const CAUSES = {
  api: 'API call',
  foreign: 'a publisher of the older system',
  repair: 'repair of what Redis lost',
  pending: 'told after an outage',
}

export class Feed {
  /** @type {Model} */
  #model
  #words = byId('feed-filter', HTMLInputElement)
  #cause = byId('feed-cause', HTMLSelectElement)
  /** @type {Rows<Group>} */
  #rows = new Rows(id('feed-list'), ({ first }) => String(first.id), makeItem)

  /** @param {Model} model */
  constructor(model) {
    this.#model = model
    this.#words.addEventListener('input', () => this.render())
    this.#cause.addEventListener('change', () => this.render())
  }

  render() {
    const { invalidations, snapshot, leftOut } = this.#model
    if (!snapshot) return
    const words = this.#words.value.trim().toLowerCase()
    const kind = this.#cause.value
    const groups = grouped(invalidations)
    const shown = groups.filter(
      ({ first, along }) =>
        (kind === '' || kindOf(first.cause) === kind) &&
        (words === '' || textOf(first, along).toLowerCase().includes(words)),
    )
    this.#rows.render(shown)
    setText(
      id('feed-count'),
      shown.length < groups.length
        ? `${count(shown.length)} of the last ${count(groups.length)}`
        : groups.length === 0
          ? ''
          : `the last ${count(groups.length)}`,
    )
    show(id('feed-left-out'), leftOut > 0)
    setText(id('feed-left-out'), `${counted(leftOut, 'more invalidation')} came too many at once to be listed`)
    show(id('feed-empty'), shown.length === 0)
    show(id('feed'), shown.length > 0)
    setText(
      id('feed-empty'),
      groups.length === 0
        ? 'Nothing has been invalidated yet. A write through invalidateOn(), a call of invalidate() or the button above appears here within a moment.'
        : 'No invalidation matches. Clear the filter to see all.',
    )
  }
}

/**
 * A group begins with the tag that the write named: its message comes before those of what falls with it.
 * @param {readonly Invalidation[]} invalidations newest first
 * @returns {Group[]} newest first
 */
export function grouped(invalidations) {
  /** @type {{ first: Invalidation, along: string[] }[]} */
  const groups = []
  for (const one of invalidations.toReversed()) {
    const group = groups.at(-1)
    if (
      group &&
      group.first.cause === one.cause &&
      group.first.worker === one.worker &&
      one.atMs - group.first.atMs <= TOGETHER_MS &&
      one.tag.startsWith('registry:') &&
      one.tag !== group.first.tag &&
      !group.along.includes(one.tag)
    ) {
      group.along.push(one.tag)
    } else groups.push({ first: one, along: [] })
  }
  return groups.reverse()
}

/**
 * @param {Invalidation} first
 * @param {readonly string[]} along
 */
function textOf({ tag, cause, worker, own }, along) {
  return [tag, ...along, cause, wordsOf(cause), worker, own ? 'this worker' : ''].join(' ')
}

/** @param {string} cause */
function kindOf(cause) {
  return Object.hasOwn(CAUSES, cause) ? cause : 'route'
}

/** @param {string} cause */
function wordsOf(cause) {
  // What another worker said may be the name of something that every object has.
  return (Object.hasOwn(CAUSES, cause) ? CAUSES[cause] : undefined) ?? cause.replace(':', ' ')
}

/** @param {Group} group */
function makeItem({ first: one }) {
  const time = el('time', { text: clock(one.atMs), attrs: { datetime: new Date(one.atMs).toISOString() } })
  const kind = kindOf(one.cause)
  const colon = one.cause.indexOf(':')
  const cause = el('span', { class: 'cause' })
  if (kind === 'route' && colon > 0) {
    const method = el('span', { class: 'method', text: one.cause.slice(0, colon) })
    cause.append(method, ' ', el('span', { class: 'mono', text: one.cause.slice(colon + 1) }))
  } else cause.append(wordsOf(one.cause))
  const rest = el('span', { class: 'along' })
  const tag = el('span', { class: 'tag' }, el('span', { class: 'mono', text: one.tag }), rest)
  const worker = el('span', {
    class: one.own ? 'worker' : 'worker mono',
    text: one.own ? 'this worker' : one.worker,
  })
  return {
    node: el('li', { attrs: { 'data-kind': kind } }, time, tag, cause, worker),
    /** @param {Group} next */
    update({ along }) {
      setText(rest, along.length === 0 ? '' : `with ${list(along.map((each) => each.replace(/^registry:/, '')))}`)
    },
  }
}
