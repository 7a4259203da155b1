/*
 * The two charts over time, by uPlot: requests a second, stacked by outcome, and the hit rate. Colours come from the style
 * sheet; the time axis is as wide as the chosen range from the start, so nothing shifts while the history fills.
 */
import { byId, setText, show } from './dom.js'
import { count, NOTHING, percent, rate } from './format.js'

/** @typedef {import('./model.js').Model} Model */
/** @typedef {import('../wire.ts').Sample} Sample */
/** @typedef {import('uplot')} Plot */

const uPlot = /** @type {{ uPlot: typeof import('uplot') }} */ (/** @type {unknown} */ (globalThis)).uPlot

/** One second holds few requests, so its hit rate jumps; this many are taken together. */
const RATE_WINDOW_SECONDS = 10
const RANGES = [60, 300, 900]

const OUTCOMES = /** @type {const} */ (['hits', 'stale', 'misses', 'bypasses'])

/**
 * Columns for the stacked chart, upper edges of each area from the topmost down, then the hit rate. Where seconds are missing
 * a gap is put in, or the line would claim to know what happened.
 * @param {readonly Sample[]} history
 */
export function columnsOf(history) {
  /** @type {number[]} */
  const times = []
  /** @type {(number | null)[][]} */
  const edges = OUTCOMES.map(() => [])
  /** @type {(number | null)[]} */
  const rates = []
  let hits = 0
  let misses = 0
  /** @type {Sample[]} */
  let recent = []
  let beforeMs = Number.NaN
  for (const sample of history) {
    if (sample.atMs - beforeMs > 2500 * sample.seconds) {
      times.push((beforeMs + 1) / 1000)
      for (const edge of edges) edge.push(null)
      rates.push(null)
      recent = []
      hits = misses = 0
    }
    beforeMs = sample.atMs
    recent.push(sample)
    hits += sample.hits
    misses += sample.misses
    while (recent[0] && recent[0].atMs <= sample.atMs - RATE_WINDOW_SECONDS * 1000) {
      hits -= recent[0].hits
      misses -= recent[0].misses
      recent.shift()
    }
    times.push(sample.atMs / 1000)
    let sum = 0
    for (const [i, share] of [sample.hits - sample.stale, sample.stale, sample.misses, sample.bypasses].entries()) {
      sum += share / sample.seconds
      edges[i]?.push(sum)
    }
    rates.push(hits + misses === 0 ? null : (100 * hits) / (hits + misses))
  }
  return { times, edges: edges.toReversed(), rates }
}

export class Charts {
  /** @type {Plot | undefined} */
  #requests
  /** @type {Plot | undefined} */
  #rate
  #rangeSeconds = 300
  /** @type {Model} */
  #model
  #requestsBox = byId('chart-requests', HTMLElement)
  #rateBox = byId('chart-rate', HTMLElement)
  /** Where the pointer is, as an index into the columns. @type {number | null | undefined} */
  #cursor
  #columns = columnsOf([])

  /** @param {Model} model */
  constructor(model) {
    this.#model = model
    for (const seconds of RANGES) {
      byId(`range-${seconds}`, HTMLInputElement).addEventListener('change', () => {
        this.#rangeSeconds = seconds
        this.render()
      })
    }
    const dark = matchMedia('(prefers-color-scheme: dark)')
    dark.addEventListener('change', () => this.#draw())
    new ResizeObserver(() => this.#resize()).observe(this.#requestsBox)
    this.#draw()
  }

  render() {
    this.#columns = columnsOf(this.#model.history)
    const { times, edges, rates } = this.#columns
    this.#requests?.setData([times, ...edges], false)
    this.#rate?.setData([times, rates], false)
    this.#scale()
    this.#legend()
    const quiet = !this.#model.history.some(({ hits, misses, bypasses }) => hits + misses + bypasses > 0)
    show(byId('charts-empty', HTMLElement), quiet && this.#model.snapshot !== undefined)
  }

  /** How many points the charts hold and how wide their range is; for tests and the curious. */
  get size() {
    return { points: this.#columns.times.length, rangeSeconds: this.#rangeSeconds }
  }

  #scale() {
    const max = (this.#model.tick?.atMs ?? Date.now()) / 1000
    const min = max - this.#rangeSeconds
    this.#requests?.setScale('x', { min, max })
    this.#rate?.setScale('x', { min, max })
  }

  #resize() {
    this.#requests?.setSize(sizeOf(this.#requestsBox))
    this.#rate?.setSize(sizeOf(this.#rateBox))
  }

  #draw() {
    this.#requests?.destroy()
    this.#rate?.destroy()
    const colour = colours()
    const areas = OUTCOMES.toReversed().map((name) => ({
      label: name,
      stroke: colour(`--${name}`),
      fill: colour(`--${name}-fill`),
      width: 1.5,
      points: { show: false },
    }))
    const hooks = {
      setCursor: [
        (/** @type {Plot} */ plot) => {
          if (this.#cursor === plot.cursor.idx) return
          this.#cursor = plot.cursor.idx
          this.#legend()
        },
      ],
    }
    const common = { ...optionsOf(colour), hooks }
    this.#requests = new uPlot(
      {
        ...common,
        ...sizeOf(this.#requestsBox),
        series: [{}, ...areas],
        scales: { x: { time: true }, y: { range: (_plot, _min, max) => [0, Math.max(1, (max ?? 0) * 1.1)] } },
        axes: [
          common.axes.x,
          {
            ...common.axes.y,
            values: (_plot, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? count(tick) : String(tick))),
          },
        ],
      },
      [[], [], [], [], []],
      this.#requestsBox,
    )
    this.#rate = new uPlot(
      {
        ...common,
        ...sizeOf(this.#rateBox),
        series: [
          {},
          {
            label: 'hit rate',
            stroke: colour('--hits'),
            fill: colour('--rate-fill'),
            width: 2,
            points: { show: false },
          },
        ],
        scales: { x: { time: true }, y: { range: [0, 102] } },
        axes: [
          common.axes.x,
          { ...common.axes.y, splits: [0, 25, 50, 75, 100], values: (_plot, ticks) => ticks.map((tick) => `${tick}%`) },
        ],
      },
      [[], []],
      this.#rateBox,
    )
    this.render()
  }

  /** The figures beside the names: those under the pointer, else the latest. */
  #legend() {
    const { times, edges, rates } = this.#columns
    const index = this.#cursor ?? times.length - 1
    const upward = edges.toReversed()
    for (const [i, name] of OUTCOMES.entries()) {
      const edge = upward[i]?.[index]
      const value = typeof edge === 'number' ? edge - (upward[i - 1]?.[index] ?? 0) : undefined
      setText(byId(`now-${name}`, HTMLElement), value === undefined ? NOTHING : rate(value))
    }
    const share = rates[index]
    setText(byId('now-rate', HTMLElement), typeof share === 'number' ? percent(share / 100) : NOTHING)
  }
}

/** @param {HTMLElement} box */
function sizeOf(box) {
  return { width: Math.max(160, box.clientWidth), height: Math.max(120, box.clientHeight) }
}

function colours() {
  const style = getComputedStyle(document.documentElement)
  return (/** @type {string} */ name) => style.getPropertyValue(name).trim()
}

/** @param {(name: string) => string} colour */
function optionsOf(colour) {
  const font = `11px ${getComputedStyle(document.body).fontFamily}`
  const axis = {
    stroke: colour('--muted'),
    font,
    grid: { stroke: colour('--grid'), width: 1 },
    ticks: { show: false },
  }
  return {
    legend: { show: false },
    padding: /** @type {[number, number, number, number]} */ ([8, 24, 0, 0]),
    cursor: {
      sync: { key: 'time' },
      y: false,
      drag: { x: false, y: false },
      points: { show: false },
    },
    axes: {
      x: {
        ...axis,
        size: 28,
        gap: 6,
        space: (/** @type {Plot} */ plot) => (plot.width < 480 ? 48 : 70),
        values: TIMES,
      },
      y: { ...axis, size: 48, gap: 6, space: 36 },
    },
  }
}

/** uPlot's own are American. Steps in seconds, then the format and what replaces it where the day begins. */
const TIMES = [
  [3600, '{HH}:{mm}', null, null, null, null, null, null, 1],
  [60, '{HH}:{mm}', null, null, null, null, null, null, 1],
  [1, '{HH}:{mm}:{ss}', null, null, null, null, null, null, 1],
]
