/*
 * The table of types, and the graph beside it of what falls with what.
 */
import { byId, cells, el, Rows, setAttr, setText, show } from './dom.js'
import { bytes, count, counted, duration, hitRate, NOTHING } from './format.js'
import { Graph } from './graph.js'
import { sortable } from './sortable.js'

/** @typedef {import('./model.js').Model} Model */
/** @typedef {import('../wire.ts').TypeRow} TypeRow */

export class Types {
  /** @type {Rows<TypeRow>} */
  #rows
  #graph = new Graph()
  #order = sortable(byId('types-table', HTMLTableElement), {
    type: (/** @type {TypeRow} */ row) => row.type,
    ttl: (row) => row.ttlSeconds ?? 0,
    entries: (row) => row.entries,
    bytes: (row) => row.bytes,
    hits: (row) => row.hits,
    misses: (row) => row.misses,
    stale: (row) => row.stale,
    rate: (row) => row.hitRate,
    invalidations: (row) => row.invalidations,
  })
  /** @type {Model} */
  #model

  /**
   * @param {Model} model
   * @param {(type: string) => void} invalidate
   */
  constructor(model, invalidate) {
    this.#model = model
    this.#order.onChange(() => this.render())
    this.#rows = new Rows(
      byId('types-body', HTMLElement),
      ({ type }) => type,
      (row) => this.#make(row, invalidate),
    )
  }

  render() {
    const { tick, snapshot } = this.#model
    if (!tick || !snapshot) return
    // Told by traffic, which changes every second: rows that jump can not be read.
    this.#rows.render(this.#order.sort(tick.types.toSorted((a, b) => a.type.localeCompare(b.type))))
    const left = tick.typesTotal - tick.types.length
    setText(byId('types-note', HTMLElement), left > 0 ? `${counted(left, 'type')} with less traffic are not shown` : '')
    byId('types-table', HTMLTableElement).classList.toggle('may-act', snapshot.may.invalidate)
    this.#graph.render(tick.types)
    show(
      byId('types-empty', HTMLElement),
      tick.types.every(({ hits, misses }) => hits + misses === 0),
    )
  }

  /**
   * @param {TypeRow} row
   * @param {(type: string) => void} invalidate
   */
  #make({ type }, invalidate) {
    const { all, set } = cells(['num', 'num', 'num', 'num', 'num', 'num', 'num rate', 'num', 'names', 'names', 'act'])
    const share = el('span', { class: 'share', text: NOTHING })
    const bar = el('span', { class: 'bar', attrs: { 'aria-hidden': 'true' } })
    all[6]?.append(share, bar)
    all[10]?.append(
      el('button', {
        class: 'small',
        text: 'Invalidate',
        attrs: { type: 'button', 'aria-label': `Invalidate ${type}` },
        on: { click: () => invalidate(type) },
      }),
    )
    const node = el('tr', {}, el('th', { text: type, attrs: { scope: 'row' } }), ...all)
    const light = () => this.#graph.light(type)
    const dark = () => this.#graph.light(undefined)
    for (const name of ['pointerenter', 'focusin']) node.addEventListener(name, light)
    for (const name of ['pointerleave', 'focusout']) node.addEventListener(name, dark)
    return {
      node,
      /** @param {TypeRow} next */
      update(next) {
        set(0, next.ttlSeconds === undefined ? NOTHING : duration(next.ttlSeconds))
        set(1, count(next.entries))
        set(2, bytes(next.bytes))
        set(3, count(next.hits))
        set(4, count(next.misses))
        set(5, count(next.stale))
        setText(share, hitRate(next.hits, next.misses))
        bar.style.setProperty('--share', next.hitRate.toFixed(3))
        set(7, count(next.invalidations))
        set(8, next.dependsOn.join(', ') || NOTHING)
        set(9, next.dependents.join(', ') || NOTHING)
        setAttr(node, 'class', next.hits + next.misses + next.entries === 0 ? 'idle' : '')
      },
    }
  }
}
