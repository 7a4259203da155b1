/*
 * Draws the dependencies of types. Pointing at a type shows what falls with it. The table says the same in words, so this is
 * one image to a screen reader.
 */
import { byId, setText, show, svg } from './dom.js'
import { list } from './format.js'
import { layersOf } from './layers.js'

/** @typedef {import('../wire.ts').TypeRow} TypeRow */

const HEIGHT = 32
const ROW = 54
const GAPS = { min: 28, max: 96 }
const PAD = 6

export class Graph {
  #drawn = ''
  #box = byId('graph', HTMLElement)
  /** @type {Map<string, Element>} */
  #nodes = new Map()
  /** @type {{ from: string, to: string, isMutual: boolean, path: Element }[]} */
  #edges = []
  /** @type {Map<string, Set<string>>} */
  #falls = new Map()

  /** @type {readonly TypeRow[]} */
  #types = []

  constructor() {
    let width = this.#box.clientWidth
    new ResizeObserver(() => {
      if (this.#box.clientWidth === width) return
      width = this.#box.clientWidth
      this.#draw(this.#types)
    }).observe(this.#box)
  }

  /** @param {readonly TypeRow[]} types */
  render(types) {
    const key = JSON.stringify(types.map(({ type, dependsOn }) => [type, dependsOn]))
    if (key === this.#drawn) return
    this.#drawn = key
    this.#draw(types)
  }

  /** @param {readonly TypeRow[]} types */
  #draw(types) {
    this.#types = types
    const { columns, edges, falls } = layersOf(types)
    this.#falls = falls
    this.#nodes.clear()
    this.#edges = []
    show(byId('graph-empty', HTMLElement), edges.length === 0)
    this.light(undefined)
    if (edges.length === 0) return this.#box.replaceChildren()

    const width = Math.max(...columns.flat().map((type) => type.length)) * 7.6 + 26
    const tallest = Math.max(...columns.map((column) => column.length))
    const free = (this.#box.clientWidth - 2 * PAD - columns.length * width) / Math.max(1, columns.length - 1)
    const gap = Math.min(GAPS.max, Math.max(GAPS.min, free))
    const size = {
      width: columns.length * (width + gap) - gap + 2 * PAD,
      height: tallest * ROW - (ROW - HEIGHT) + 2 * PAD,
    }
    /** @type {Map<string, { x: number, y: number }>} */
    const places = new Map()
    for (const [i, column] of columns.entries()) {
      const top = PAD + ((tallest - column.length) * ROW) / 2
      for (const [j, type] of column.entries()) places.set(type, { x: PAD + i * (width + gap), y: top + j * ROW })
    }
    const root = svg('svg', {
      viewBox: `0 0 ${size.width} ${size.height}`,
      width: size.width,
      height: size.height,
      role: 'img',
      'aria-label': `What falls with what: ${edges.map(({ from, to }) => `${from} with ${to}`).join(', ')}`,
    })
    root.append(svg('defs', {}, arrow()))
    for (const edge of edges) {
      const from = places.get(edge.from)
      const to = places.get(edge.to)
      if (!from || !to) continue
      const path = svg('path', { class: 'edge', d: line(from, to, width), 'marker-end': 'url(#arrow)' })
      if (edge.isMutual) path.setAttribute('marker-start', 'url(#arrow)')
      this.#edges.push({ ...edge, path })
      root.append(path)
    }
    for (const [type, { x, y }] of places) root.append(this.#node(type, x, y, width))
    this.#box.replaceChildren(root)
  }

  /**
   * Marks a type and all that falls with it.
   * @param {string | undefined} type
   */
  light(type) {
    const lit = type === undefined ? new Set() : new Set([type, ...(this.#falls.get(type) ?? [])])
    this.#box.classList.toggle('is-lit', lit.size > 0 && type !== undefined && this.#nodes.has(type))
    for (const [name, node] of this.#nodes) node.classList.toggle('lit', lit.has(name))
    for (const { from, to, path } of this.#edges) path.classList.toggle('lit', lit.has(from) && lit.has(to))
    const others = [...lit].filter((name) => name !== type).sort()
    setText(
      byId('graph-note', HTMLElement),
      type === undefined
        ? 'An arrow leads from a type to what falls with it; arrows that others imply are left out.'
        : `Invalidating ${type} takes ${others.length === 0 ? 'nothing else' : list(others)} along.`,
    )
  }

  /**
   * @param {string} type
   * @param {number} x
   * @param {number} y
   * @param {number} width
   */
  #node(type, x, y, width) {
    const text = svg('text', {
      x: x + width / 2,
      y: y + HEIGHT / 2,
      'text-anchor': 'middle',
      'dominant-baseline': 'central',
    })
    text.textContent = type
    const node = svg('g', { class: 'node' }, svg('rect', { x, y, width, height: HEIGHT, rx: 8 }), text)
    node.addEventListener('pointerenter', () => this.light(type))
    node.addEventListener('pointerleave', () => this.light(undefined))
    this.#nodes.set(type, node)
    return node
  }
}

function arrow() {
  return svg(
    'marker',
    {
      id: 'arrow',
      viewBox: '0 0 8 8',
      refX: 7,
      refY: 4,
      markerWidth: 7,
      markerHeight: 7,
      orient: 'auto-start-reverse',
    },
    svg('path', { d: 'M0 0.5 8 4 0 7.5z', class: 'tip', fill: '#8b949e' }),
  )
}

/**
 * @param {{ x: number, y: number }} from
 * @param {{ x: number, y: number }} to
 * @param {number} width
 */
function line(from, to, width) {
  if (from.x === to.x) {
    const [upper, lower] = from.y < to.y ? [from, to] : [to, from]
    const x = from.x + width / 2
    const ends = [upper.y + HEIGHT + 1, lower.y - 1]
    // Neighbours are joined straight; past others the line goes round them.
    if (lower.y - upper.y <= ROW) return from === upper ? `M${x} ${ends[0]}V${ends[1]}` : `M${x} ${ends[1]}V${ends[0]}`
    const side = from.x + width
    return `M${side} ${from.y + HEIGHT / 2}C${side + 40} ${from.y} ${side + 40} ${to.y + HEIGHT} ${side} ${to.y + HEIGHT / 2}`
  }
  const start = { x: from.x + width + 1, y: from.y + HEIGHT / 2 }
  const end = { x: to.x - 1, y: to.y + HEIGHT / 2 }
  const bend = Math.max(24, (end.x - start.x) / 2)
  return `M${start.x} ${start.y}C${start.x + bend} ${start.y} ${end.x - bend} ${end.y} ${end.x} ${end.y}`
}
