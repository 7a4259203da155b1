/*
 * How the way to Redis is, and which epochs this worker keeps.
 */
import { byId, cells, el, Rows, setAttr, setText, show } from './dom.js'
import { age, count, counted, milliseconds, NOTHING } from './format.js'

/** @typedef {import('./model.js').Model} Model */
/** @typedef {import('../wire.ts').Tick} Tick */
/** @typedef {import('../wire.ts').EpochRow} EpochRow */

const id = (/** @type {string} */ name) => byId(name, HTMLElement)

/** @type {Rows<EpochRow>} */
const rows = new Rows(id('epochs-body'), ({ tag }) => tag, makeRow)

/** @param {Model} model */
export function renderRedis({ tick }) {
  if (!tick) return
  const { redis, epochs, stats } = tick
  show(id('redis-none'), redis === undefined)
  show(id('redis-facts'), redis !== undefined)
  if (redis) {
    fact('redis-up', redis.up ? 'Up' : 'Down', redis.up)
    fact('redis-breaker', redis.breakerOpen ? 'Open: requests leave Redis alone' : 'Closed', !redis.breakerOpen)
    fact(
      'redis-subscriber',
      redis.subscribed ? 'Hears other workers' : 'Not connected: every hit is verified',
      redis.subscribed,
    )
    setText(id('redis-round-trip'), milliseconds(redis.roundTripMs))
    const pending = stats.pendingInvalidations
    fact('redis-pending', pending === 0 ? 'None' : `${count(pending)} to be told`, pending === 0)
  }
  const { total, shown } = epochs
  const known = stats.epochs.tags - stats.epochs.unknown
  setText(
    id('epochs-note'),
    total === 0
      ? 'No tag has been asked for yet.'
      : `${counted(total, 'tag')}, ${count(known)} known${shown.length < total ? `; ${count(shown.length)} are shown` : ''}`,
  )
  show(id('epochs-table'), shown.length > 0)
  rows.render(shown)
}

/**
 * @param {string} name
 * @param {string} text
 * @param {boolean} isGood
 */
function fact(name, text, isGood) {
  setText(id(name), text)
  setAttr(id(name), 'data-good', String(isGood))
}

function makeRow(/** @type {EpochRow} */ { tag }) {
  const { all, set } = cells(['mono num', '', 'num'])
  const node = el('tr', {}, el('th', { class: 'mono', text: tag, attrs: { scope: 'row' } }), ...all)
  return {
    node,
    /** @param {EpochRow} row */
    update(row) {
      set(0, String(row.epoch))
      set(1, row.pending ? 'pending' : row.known ? 'known' : 'to be verified')
      set(2, row.verifiedMsAgo === undefined ? NOTHING : age(row.verifiedMsAgo / 1000))
    },
  }
}
