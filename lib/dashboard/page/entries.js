/*
 * The entries in this worker's memory, a page at a time: what is not on the screen is neither fetched nor in the document.
 */
import { get, post, wordsOf } from './api.js'
import { byId, el, Rows, setAttr, setText, show } from './dom.js'
import { age, bytes, clock, count, counted, duration, NOTHING } from './format.js'
import { notify } from './notice.js'
import { preview } from './preview.js'

/** @typedef {import('./model.js').Model} Model */
/** @typedef {import('../wire.ts').EntryPage} EntryPage */
/** @typedef {import('../wire.ts').EntryRow} EntryRow */
/** @typedef {import('../wire.ts').Evicted} Evicted */

const PAGE = '50'
const TYPING_MS = 200
/** Invalidations may come many a second; the list is asked for again no more often than this. */
const REFRESH_MS = 2_000

const id = (/** @type {string} */ name) => byId(name, HTMLElement)
const section = id('entries')
const search = byId('entries-search', HTMLInputElement)
const typeSelect = byId('entries-type', HTMLSelectElement)
const older = byId('entries-next', HTMLButtonElement)
const newer = byId('entries-previous', HTMLButtonElement)

export class Entries {
  /** @type {Model} */
  #model
  /** @type {Rows<EntryRow>} */
  #rows
  /** @type {EntryPage | undefined} */
  #page
  #fetchedAtMs = 0
  /** Cursors of the pages before this one; the first page has none. @type {(string | undefined)[]} */
  #before = []
  /** @type {string | undefined} */
  #cursor
  /** @type {AbortController | undefined} */
  #asking
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer
  #isOutdated = true
  #isVisible = false
  #types = ''

  /**
   * @param {Model} model
   * @param {(url: string) => void} explain
   */
  constructor(model, explain) {
    this.#model = model
    this.#rows = new Rows(
      id('entries-body'),
      ({ key }) => key,
      (row) =>
        makeRow(row, {
          explain,
          evict: (key, node) => void this.#evict(key, node),
          mayPreview: model.snapshot?.may.preview === true,
          mayEvict: model.snapshot?.may.invalidate === true,
        }),
    )
    search.addEventListener('input', () => this.#restart(TYPING_MS))
    typeSelect.addEventListener('change', () => this.#restart(0))
    byId('entries-form', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault()
      this.#restart(0)
    })
    older.addEventListener('click', () => this.#turn(1))
    newer.addEventListener('click', () => this.#turn(-1))
    new IntersectionObserver(
      ([entry]) => {
        this.#isVisible = entry?.isIntersecting === true
        if (this.#isVisible && this.#isOutdated) this.#ask(0)
        this.render()
      },
      { rootMargin: '200px' },
    ).observe(section)
  }

  /** Told when what is shown may no longer be so. */
  outdated() {
    this.#isOutdated = true
    if (this.#isVisible && this.#timer === undefined)
      this.#ask(Math.max(0, this.#fetchedAtMs + REFRESH_MS - Date.now()))
  }

  /** Ages go on counting; nothing is drawn that is not on the screen. */
  render() {
    this.#offerTypes()
    if (!this.#isVisible || !this.#page) return
    const passed = (Date.now() - this.#fetchedAtMs) / 1000
    this.#rows.render(
      this.#page.entries.map((row) => ({
        ...row,
        ageSeconds: row.ageSeconds + passed,
        ttlSeconds: row.ttlSeconds - passed,
      })),
    )
  }

  /** @param {number} afterMs */
  #restart(afterMs) {
    this.#before = []
    this.#cursor = undefined
    this.#ask(afterMs)
  }

  /** @param {1 | -1} step */
  #turn(step) {
    if (step === 1) {
      this.#before.push(this.#cursor)
      this.#cursor = this.#page?.cursor
    } else this.#cursor = this.#before.pop()
    this.#ask(0)
  }

  /** @param {number} afterMs */
  #ask(afterMs) {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      void this.#fetch()
    }, afterMs)
  }

  async #fetch() {
    this.#asking?.abort()
    const asking = new AbortController()
    this.#asking = asking
    this.#isOutdated = false
    try {
      const query = { limit: PAGE, type: typeSelect.value, search: search.value.trim(), cursor: this.#cursor }
      /** @type {import('./api.js').Answer<EntryPage>} */
      const { body, worker } = await get('entries', query, asking.signal)
      this.#page = body
      this.#fetchedAtMs = Date.now()
      this.#show(worker)
    } catch (error) {
      if (asking.signal.aborted) return
      this.#isOutdated = true
      setText(id('entries-note'), wordsOf(error))
    }
  }

  /** @param {string | undefined} worker that answered */
  #show(worker) {
    const page = this.#page
    if (!page) return
    const first = this.#before.length * Number(PAGE)
    const isFiltered = search.value.trim() !== '' || typeSelect.value !== ''
    const shown = page.entries.length === 0 ? '' : `${count(first + 1)} to ${count(first + page.entries.length)} of `
    const found = isFiltered ? `${count(page.matched)}${page.complete ? '' : ' or more'} that match, among ` : ''
    const other = worker !== undefined && worker !== this.#model.snapshot?.worker ? `, on worker ${worker}` : ''
    setText(
      id('entries-note'),
      `${shown}${found}${counted(page.total, 'entry', 'entries')}, as of ${clock(this.#fetchedAtMs)}${other}`,
    )
    show(id('entries-empty'), page.entries.length === 0)
    setText(
      id('entries-empty'),
      page.total === 0
        ? 'This worker’s memory is empty. Ask for a cached route, and what it answered stands here.'
        : 'No entry matches. Search by a part of the path or of the key, or choose another type.',
    )
    show(id('entries-table'), page.entries.length > 0)
    older.disabled = page.cursor === undefined
    newer.disabled = this.#before.length === 0
    this.render()
  }

  #offerTypes() {
    const names = (this.#model.tick?.types ?? []).map(({ type }) => type).sort()
    if (names.join() === this.#types) return
    this.#types = names.join()
    const chosen = typeSelect.value
    typeSelect.replaceChildren(
      el('option', { text: 'All types', attrs: { value: '' } }),
      ...names.map((name) => el('option', { text: name, attrs: { value: name } })),
    )
    if (names.includes(chosen)) typeSelect.value = chosen
  }

  /**
   * @param {string} key
   * @param {HTMLElement} node its row
   */
  async #evict(key, node) {
    try {
      /** @type {import('./api.js').Answer<Evicted>} */
      const { body, worker } = await post('evict', { key })
      notify(whatWasEvicted(body, worker === this.#model.snapshot?.worker ? undefined : worker))
    } catch (error) {
      return notify(wordsOf(error), 'bad')
    }
    // The row goes, and the keyboard's place with it, were it not moved on.
    const next = node.nextElementSibling ?? node.previousElementSibling
    const button = next?.querySelector('button.evict')
    if (node.contains(document.activeElement)) (button instanceof HTMLElement ? button : search).focus()
    if (this.#page) this.#page = { ...this.#page, entries: this.#page.entries.filter((row) => row.key !== key) }
    this.render()
    this.#ask(0)
  }
}

/**
 * @param {Evicted} evicted
 * @param {string | undefined} other the worker that answered, where it is not the one that this page shows
 */
function whatWasEvicted({ key, memory, redis }, other) {
  const where = other === undefined ? 'this worker' : `worker ${other}`
  const here = memory ? `from the memory of ${where}` : ''
  const shared = redis === true ? 'from Redis' : ''
  const removed = [here, shared].filter(Boolean).join(' and ')
  const rest =
    redis === undefined ? '' : ' Other workers keep their copies until their TTL; to end those at once, invalidate.'
  return removed === ''
    ? `${key} was gone already, from ${where} and from Redis.${rest}`
    : `Evicted ${key} ${removed}.${rest}`
}

/**
 * @param {EntryRow} row
 * @param {{ explain: (url: string) => void, evict: (key: string, node: HTMLElement) => void, mayPreview: boolean, mayEvict: boolean }} may
 */
function makeRow({ key, url, kind, type }, { explain, evict, mayPreview, mayEvict }) {
  const cell = (/** @type {string} */ name) => el('td', { class: name })
  const [ageCell, ttlCell, sizeCell, hitsCell, scopeCell, stateCell] = [
    cell('num'),
    cell('num'),
    cell('num'),
    cell('num'),
    cell('mono'),
    cell('state-cell'),
  ]
  const what = url ?? (kind === 'value' ? 'value' : NOTHING)
  const name = el(
    'th',
    { attrs: { scope: 'row' } },
    el('span', { class: 'path', text: what }),
    el('span', { class: 'under mono', text: key }),
  )
  const act = cell('act')
  const button = (/** @type {string} */ text, /** @type {string} */ more, /** @type {() => void} */ press) =>
    act.append(
      el('button', {
        class: `small ${more}`,
        text,
        attrs: { type: 'button', 'aria-label': `${text} ${what}` },
        on: { click: press },
      }),
    )
  const node = el(
    'tr',
    {},
    name,
    el('td', { text: type }),
    ageCell,
    ttlCell,
    sizeCell,
    hitsCell,
    scopeCell,
    stateCell,
    act,
  )
  if (kind === 'response' && url !== undefined) button('Explain', '', () => explain(url))
  if (mayPreview) button('Preview', '', () => void preview(key, what))
  if (mayEvict) button('Evict', 'evict', () => evict(key, node))
  return {
    node,
    /** @param {EntryRow} next */
    update(next) {
      const isFresh = next.ttlSeconds > 0
      setText(ageCell, age(next.ageSeconds))
      setText(ttlCell, isFresh ? duration(Math.ceil(next.ttlSeconds)) : NOTHING)
      setText(sizeCell, bytes(next.bytes))
      setText(hitsCell, count(next.hits))
      setText(scopeCell, next.scope)
      const state = !next.valid ? 'invalidated' : isFresh ? 'fresh' : 'expired'
      setText(stateCell, state)
      setAttr(node, 'data-state', state)
    },
  }
}
