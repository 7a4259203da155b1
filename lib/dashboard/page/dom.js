/*
 * Making and changing the document. Everything that came from outside enters it as text, never as markup; what did not change
 * is not touched, so that a page which is told something every second lays out and announces only what is new.
 */

/**
 * @typedef {{ class?: string, text?: string, attrs?: Readonly<Record<string, string>>, on?: Readonly<Record<string, (event: Event) => void>> }} Props
 */

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Props} [props]
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag)
  if (props.class !== undefined) node.className = props.class
  if (props.text !== undefined) node.textContent = props.text
  for (const [name, value] of Object.entries(props.attrs ?? {})) node.setAttribute(name, value)
  for (const [name, listener] of Object.entries(props.on ?? {})) node.addEventListener(name, listener)
  node.append(...children)
  return node
}

/**
 * @param {keyof SVGElementTagNameMap} tag
 * @param {Readonly<Record<string, string | number>>} attrs
 * @param {(Node | string)[]} children
 */
export function svg(tag, attrs, ...children) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag)
  for (const [name, value] of Object.entries(attrs)) node.setAttribute(name, String(value))
  node.append(...children)
  return node
}

/**
 * An element of index.html; a missing one is a mistake of ours, so it throws.
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
export function byId(id, kind) {
  const node = document.getElementById(id)
  if (!(node instanceof kind)) throw new Error(`index.html has no ${kind.name} #${id}`)
  return node
}

/**
 * @param {Element} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text
}

/**
 * @param {Element} node
 * @param {string} name
 * @param {string} value
 */
export function setAttr(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value)
}

/**
 * @param {HTMLElement} node
 * @param {boolean} isShown
 */
export function show(node, isShown) {
  if (node.hidden === isShown) node.hidden = !isShown
}

/**
 * A run of like elements, one for each item: kept by key, moved only where the order changed.
 * @template T
 */
export class Rows {
  /** @type {Map<string, { node: HTMLElement, update: (item: T) => void }>} */
  #kept = new Map()
  /** @type {HTMLElement} */
  #parent
  /** @type {(item: T) => string} */
  #keyOf
  /** @type {(item: T) => { node: HTMLElement, update: (item: T) => void }} */
  #make

  /**
   * @param {HTMLElement} parent
   * @param {(item: T) => string} keyOf
   * @param {(item: T) => { node: HTMLElement, update: (item: T) => void }} make
   */
  constructor(parent, keyOf, make) {
    this.#parent = parent
    this.#keyOf = keyOf
    this.#make = make
  }

  /** @param {readonly T[]} items */
  render(items) {
    /** @type {Map<string, { node: HTMLElement, update: (item: T) => void }>} */
    const next = new Map()
    for (const item of items) {
      const key = this.#keyOf(item)
      // Of two items with one key the later would steal the earlier's element.
      if (next.has(key)) continue
      const row = this.#kept.get(key) ?? this.#make(item)
      row.update(item)
      next.set(key, row)
    }
    for (const [key, { node }] of this.#kept) if (!next.has(key)) node.remove()
    let at = this.#parent.firstElementChild
    for (const { node } of next.values()) {
      if (node === at) at = at.nextElementSibling
      else this.#parent.insertBefore(node, at)
    }
    this.#kept = next
  }
}

/**
 * Cells of a table row: `set` changes the text of one by its position.
 * @param {readonly string[]} classes
 */
export function cells(classes) {
  const all = classes.map((name) => el('td', { class: name }))
  return {
    all,
    /**
     * @param {number} index
     * @param {string} text
     */
    set(index, text) {
      const cell = all[index]
      if (cell) setText(cell, text)
    },
  }
}
