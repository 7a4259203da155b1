/*
 * The header's word on the connection, and the figures at the top: hit rate, traffic, what the hits saved, memory.
 */
import { byId, setText, show } from './dom.js'
import { bytes, clock, count, counted, duration, hitRate, milliseconds, NOTHING, rate } from './format.js'

/** @typedef {import('./model.js').Model} Model */
/** @typedef {import('../wire.ts').Tick} Tick */

const id = (/** @type {string} */ name) => byId(name, HTMLElement)

/** @param {Model} model */
export function renderOverview(model) {
  renderState(model)
  const { tick, snapshot } = model
  if (!tick || !snapshot) return
  const { stats, fleet } = tick
  setText(id('about-worker'), snapshot.worker)
  setText(id('about-prefix'), snapshot.prefix)
  setText(id('about-version'), snapshot.version)
  show(id('disabled'), !stats.enabled)

  const minute = model.lately(60)
  const asked = stats.hits + stats.misses + sum(stats.bypasses)
  setText(id('kpi-hit-rate'), hitRate(minute.hits, minute.misses))
  setText(
    id('kpi-hit-rate-note'),
    stats.hits + stats.misses === 0
      ? 'nothing was looked up yet'
      : fleet
        ? `fleet ${hitRate(fleet.hits, fleet.misses)}, this worker ${hitRate(stats.hits, stats.misses)} since start`
        : `${hitRate(stats.hits, stats.misses)} since start`,
  )
  const requests = minute.hits + minute.misses + minute.bypasses
  setText(id('kpi-requests'), minute.seconds === 0 ? NOTHING : rate(requests / minute.seconds))
  setText(id('kpi-requests-note'), `${counted(asked, 'request')} since start`)
  renderSaved(tick)
  setText(id('kpi-memory'), bytes(stats.bytes))
  setText(id('kpi-memory-note'), `${counted(stats.entries, 'entry', 'entries')}, ${count(stats.evictions)} evicted`)
}

/** @param {Tick} tick */
function renderSaved({ savedMs, stats, durations: { hit, handler } }) {
  setText(
    id('kpi-saved'),
    stats.hits === 0 ? NOTHING : savedMs < 1000 ? milliseconds(savedMs) : duration(savedMs / 1000),
  )
  const times = handler.p50Ms !== undefined && hit.p50Ms !== undefined && hit.p50Ms > 0 ? handler.p50Ms / hit.p50Ms : 0
  setText(
    id('kpi-saved-note'),
    times >= 1.5
      ? `a hit is ${count(Math.round(times))} times as fast as the handler`
      : 'of handlers that did not have to run',
  )
  const longest = Math.max(hit.p99Ms ?? 0, handler.p99Ms ?? 0)
  for (const [name, times] of /** @type {const} */ ([
    ['hit', hit],
    ['handler', handler],
  ])) {
    for (const [point, ms] of /** @type {const} */ ([
      ['p50', times.p50Ms],
      ['p99', times.p99Ms],
    ])) {
      setText(id(`${name}-${point}`), milliseconds(ms))
      const share = ms === undefined || longest === 0 ? 0 : logShare(ms, longest)
      id(`${name}-${point}-bar`).style.setProperty('--share', share.toFixed(3))
    }
  }
}

/**
 * From 10 microseconds on: on a linear scale a hit would not be seen beside its handler.
 * @param {number} ms
 * @param {number} longest
 */
function logShare(ms, longest) {
  const from = Math.log10(0.01)
  return Math.min(
    1,
    Math.max(0.02, (Math.log10(Math.max(ms, 0.01)) - from) / (Math.log10(Math.max(longest, 0.1)) - from)),
  )
}

const STATES = {
  connecting: 'Connecting…',
  live: 'Live',
  away: 'Reconnecting…',
  refused: 'Refused',
}

/** @param {Model} model */
function renderState({ state, reason, tick }) {
  const pill = id('state')
  if (pill.dataset.state === state) return
  pill.dataset.state = state
  setText(id('state-text'), STATES[state])
  const asOf = tick ? ` The figures are those of ${clock(tick.atMs)}.` : ''
  const words =
    state === 'away'
      ? `The connection is lost; trying again.${asOf}`
      : state === 'refused'
        ? `The server refuses this page: ${reason}${asOf} Log in again where you did before, then reload.`
        : ''
  setText(id('away'), words)
  show(id('away-bar'), words !== '')
  document.title = state === 'live' || state === 'connecting' ? 'Registry cache' : `${STATES[state]} Registry cache`
}

/** @param {Readonly<Record<string, number>>} counts */
function sum(counts) {
  return Object.values(counts).reduce((all, each) => all + each, 0)
}
