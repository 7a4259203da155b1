/*
 * "Why is this not a hit?": sends a request's method, URL and headers to the cache, which decides as it would and says why.
 */
import { ApiError, post, wordsOf } from './api.js'
import { byId, el } from './dom.js'
import { bytes, count, duration, list } from './format.js'
import { meaningOf, OUTCOMES } from './reasons.js'

/** @typedef {import('./model.js').Model} Model */
/** @typedef {import('../wire.ts').Explained} Explained */

const form = byId('explain-form', HTMLFormElement)
const method = byId('explain-method', HTMLSelectElement)
const url = byId('explain-url', HTMLInputElement)
const headers = byId('explain-headers', HTMLTextAreaElement)
const route = byId('explain-route', HTMLSelectElement)
const result = byId('explain-result', HTMLElement)

export class Explain {
  #routes = ''
  #asked = 0

  constructor() {
    form.addEventListener('submit', (event) => {
      event.preventDefault()
      void this.#ask()
    })
  }

  /** @param {Model} model */
  render({ snapshot }) {
    const routes = snapshot?.routes ?? []
    const key = JSON.stringify(routes)
    if (key === this.#routes) return
    this.#routes = key
    const chosen = route.value
    route.replaceChildren(
      el('option', { text: 'Found by the URL', attrs: { value: '' } }),
      ...routes.map(({ id, type, scope, lastUrl }) =>
        el('option', {
          text: `${type}, scope ${scope}${lastUrl === undefined ? '' : `, last ${lastUrl}`}`,
          attrs: { value: id },
        }),
      ),
    )
    if (routes.some(({ id }) => id === chosen)) route.value = chosen
    const example = routes.find(({ lastUrl }) => lastUrl !== undefined)?.lastUrl
    if (example !== undefined) url.placeholder = example
  }

  /**
   * Fills the form for a request and asks.
   * @param {string} requested method and path, or a path
   */
  askAbout(requested) {
    const [first = '', second] = requested.split(' ')
    method.value = second === undefined ? 'GET' : first
    url.value = second ?? first
    route.value = ''
    form.scrollIntoView({ block: 'nearest' })
    url.focus()
    void this.#ask()
  }

  async #ask() {
    const asked = ++this.#asked
    try {
      const given = headersOf(headers.value)
      const body = {
        method: method.value,
        url: url.value.trim(),
        headers: given,
        ...(route.value === '' ? {} : { route: route.value }),
      }
      /** @type {import('./api.js').Answer<Explained>} */
      const answer = await post('explain', body)
      if (asked === this.#asked) this.#answer(answer.body)
    } catch (error) {
      if (asked !== this.#asked) return
      const isUnknown = error instanceof ApiError && error.code === 'ERR_ROUTE_ID' && route.value === ''
      const text = isUnknown
        ? 'No route of this worker has answered this path yet, so it can not be found by its URL: choose the route in the form.'
        : wordsOf(error)
      result.replaceChildren(el('p', { class: 'bad', text }))
    }
  }

  /** @param {Explained} explained */
  #answer({ route: name, explanation }) {
    const { outcome, reason, key, scope, parameters, vary, tags, ttlSeconds, entry, type } = explanation
    const facts = el('dl', { class: 'facts' })
    const add = (/** @type {string} */ term, /** @type {string} */ text, mono = false) =>
      facts.append(el('dt', { text: term }), el('dd', { class: mono ? 'mono' : '', text }))
    add('Route', `${name}, type ${type}, TTL ${duration(ttlSeconds)}`)
    if (key !== undefined) add('Key', key, true)
    add('Scope', SCOPES[scope] ?? scope)
    add('Parameters', parametersOf(parameters))
    if (vary.length > 0) add('Varies by', list(vary))
    if (tags.length > 0) add('Tags', tags.join(', '), true)
    if (entry) {
      const left =
        entry.ttlSeconds > 0 ? `${duration(entry.ttlSeconds)} left` : `expired ${duration(-entry.ttlSeconds)} ago`
      add('Entry', `${entry.status}, ${bytes(entry.bytes)}, ${duration(entry.ageSeconds)} old, ${left}`)
    }
    const verdict = el('p', { class: 'verdict', attrs: { 'data-outcome': outcome } })
    verdict.append(el('strong', { text: outcome.toUpperCase() }), ' ', OUTCOMES[outcome] ?? '')
    result.replaceChildren(verdict)
    if (reason !== undefined) {
      result.append(el('p', { class: 'reason' }, el('code', { text: reason }), ' ', meaningOf(reason)))
    }
    result.append(facts)
    if (entry && entry.stamps.length > 0) result.append(stampTable(entry.stamps))
  }
}

/** @type {Readonly<Record<string, string>>} */
const SCOPES = {
  public: 'public: everyone shares the entry',
  shared: 'shared by those for whom the route’s scope gives the same string',
  credentials: 'none, and the request has credentials: only entries marked shareable count',
  none: 'none needed: the request has no credentials',
}

/** @param {{ readonly used: readonly string[], readonly ignored: readonly string[] }} parameters */
function parametersOf({ used, ignored }) {
  if (used.length + ignored.length === 0) return 'none'
  return [used.length > 0 ? `${list(used)} in the key` : '', ignored.length > 0 ? `${list(ignored)} left out` : '']
    .filter(Boolean)
    .join('; ')
}

/** @param {readonly { readonly tag: string, readonly epoch: number, readonly current: number, readonly known: boolean }[]} stamps */
function stampTable(stamps) {
  const head = ['Tag', 'Stamped', 'Current', 'So it is'].map((text, i) =>
    el('th', { text, attrs: { scope: 'col' }, ...(i === 1 || i === 2 ? { class: 'num' } : {}) }),
  )
  const body = stamps.map(({ tag, epoch, current, known }) => {
    const verdict = epoch !== current ? 'overtaken' : known ? 'current' : 'current, to be verified'
    return el(
      'tr',
      { attrs: { 'data-state': epoch === current ? 'current' : 'overtaken' } },
      el('th', { class: 'mono', text: tag, attrs: { scope: 'row' } }),
      el('td', { class: 'mono num', text: String(epoch) }),
      el('td', { class: 'mono num', text: String(current) }),
      el('td', { text: verdict }),
    )
  })
  const caption = el('caption', {
    text: `Stamps: ${count(stamps.length)}, each against the epoch that this worker knows`,
  })
  const table = el('table', {}, caption, el('thead', {}, el('tr', {}, ...head)), el('tbody', {}, ...body))
  return el('div', { class: 'scroll', attrs: { tabindex: '0', role: 'region', 'aria-label': 'Stamps' } }, table)
}

/**
 * @param {string} text a header a line
 * @returns {Record<string, string>}
 */
function headersOf(text) {
  /** @type {Record<string, string>} */
  const headers = {}
  for (const line of text.split('\n').filter((each) => each.trim() !== '')) {
    const colon = line.indexOf(':')
    const name = line.slice(0, colon).trim().toLowerCase()
    if (colon < 1 || !/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name))
      throw new Error(`“${line.trim()}” is no header: write Name: value, one a line.`)
    const value = line.slice(colon + 1).trim()
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`
  }
  return headers
}
