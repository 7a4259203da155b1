/*
 * The workers of the fleet, as their heartbeats tell.
 */
import { byId, cells, el, Rows, setAttr, setText, show } from './dom.js'
import { age, bytes, count, counted, hitRate } from './format.js'
import { sortable } from './sortable.js'

/** @typedef {import('./model.js').Model} Model */
/** @typedef {import('../wire.ts').WorkerRow} WorkerRow */

/** Workers beat every few seconds; one that has been silent for longer is likely gone. */
const LATE_MS = 10_000

const id = (/** @type {string} */ name) => byId(name, HTMLElement)

export class Workers {
  /** @type {Model} */
  #model
  /** @type {Rows<WorkerRow>} */
  #rows = new Rows(id('fleet-body'), (worker) => worker.id, makeRow)
  #order = sortable(byId('fleet-table', HTMLTableElement), {
    host: (/** @type {WorkerRow} */ worker) => `${worker.host} ${worker.pid}`,
    hits: (worker) => worker.hits,
    rate: (worker) => rateOf(worker),
    entries: (worker) => worker.entries,
    bytes: (worker) => worker.bytes,
    errors: (worker) => worker.errors,
    up: (worker) => -worker.startedAtMs,
    beat: (worker) => worker.beatMsAgo,
  })

  /** @param {Model} model */
  constructor(model) {
    this.#model = model
    this.#order.onChange(() => this.render())
  }

  render() {
    const { tick } = this.#model
    if (!tick) return
    const { fleet } = tick
    show(id('fleet-none'), fleet === undefined)
    show(id('fleet-known'), fleet !== undefined)
    if (!fleet) return
    setText(id('fleet-rate'), hitRate(fleet.hits, fleet.misses))
    setText(
      id('fleet-note'),
      `${counted(fleet.total, 'worker')}, ${counted(fleet.hits + fleet.misses, 'look-up')}${fleet.workers.length < fleet.total ? `; ${count(fleet.workers.length)} are shown` : ''}`,
    )
    show(id('fleet-old'), !fleet.known)
    this.#rows.render(this.#order.sort(fleet.workers.toSorted(byPlace)))
  }
}

/**
 * Our own first.
 * @param {WorkerRow} a
 * @param {WorkerRow} b
 */
function byPlace(a, b) {
  return (
    Number(b.own) - Number(a.own) ||
    a.host.localeCompare(b.host, 'en', { numeric: true }) ||
    a.pid - b.pid ||
    a.id.localeCompare(b.id)
  )
}

/** @param {WorkerRow} worker */
function rateOf({ hits, misses }) {
  return hits + misses === 0 ? 0 : hits / (hits + misses)
}

function makeRow(/** @type {WorkerRow} */ worker) {
  const { all, set } = cells(['num', 'num', 'num', 'num', 'num', 'num', '', 'num'])
  const name = el(
    'th',
    { attrs: { scope: 'row' } },
    el('span', { class: 'host', text: `${worker.host} ${worker.pid}` }),
  )
  const about = el('span', { class: 'under mono' })
  name.append(about)
  const version = el('span')
  const runtime = el('span', { class: 'under' })
  all[6]?.append(version, runtime)
  const node = el('tr', { class: worker.own ? 'own' : '' }, name, ...all)
  return {
    node,
    /** @param {WorkerRow} next */
    update(next) {
      const own = next.own ? [next.id, 'this worker'] : [next.id]
      setText(about, (next.subscribed ? own : [...own, 'hears no other']).join(', '))
      set(0, count(next.hits))
      set(1, hitRate(next.hits, next.misses))
      set(2, count(next.entries))
      set(3, bytes(next.bytes))
      set(4, count(next.errors))
      set(5, age((Date.now() - next.startedAtMs) / 1000))
      setText(version, next.version)
      setText(runtime, `Node ${next.node.replace(/^v/, '')}`)
      set(7, `${age(next.beatMsAgo / 1000)} ago`)
      setAttr(node, 'data-late', String(next.beatMsAgo > LATE_MS || !next.subscribed))
    },
  }
}
