/*
 * Figures as people read them. Units follow the number after a space that does not break.
 */

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 })
const clockOfDay = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' })
const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' })

/** What stands where nothing was measured. */
export const NOTHING = '–'

/** @param {number} n */
export function count(n) {
  return Math.abs(n) < 1e7 ? whole.format(n) : compact.format(n)
}

/**
 * `1 entry`, `2 entries`
 * @param {number} n
 * @param {string} one
 * @param {string} [many]
 */
export function counted(n, one, many = `${one}s`) {
  return `${count(n)}\u00a0${n === 1 ? one : many}`
}

/** @param {number} n a second */
export function rate(n) {
  return n >= 100 || n === 0 ? count(n) : n.toFixed(n >= 10 ? 1 : 2)
}

/** @param {number} share 0 to 1 */
export function percent(share) {
  if (share === 0 || share === 1) return `${share * 100}%`
  // Rounded, 99.97 % would claim that nothing missed.
  return `${Math.min(99.9, Math.max(0.1, share * 100)).toFixed(1)}%`
}

/**
 * @param {number} hits
 * @param {number} misses
 */
export function hitRate(hits, misses) {
  return hits + misses === 0 ? NOTHING : percent(hits / (hits + misses))
}

/** @param {number} n */
export function bytes(n) {
  if (n < 1024) return `${n}\u00a0B`
  if (n < 1024 ** 2) return `${(n / 1024).toFixed(1)}\u00a0KiB`
  if (n < 1024 ** 3) return `${(n / 1024 ** 2).toFixed(1)}\u00a0MiB`
  return `${(n / 1024 ** 3).toFixed(2)}\u00a0GiB`
}

/** @param {number | undefined} ms */
export function milliseconds(ms) {
  if (ms === undefined) return NOTHING
  if (ms < 1) return `${Math.round(ms * 1000)}\u00a0µs`
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)}\u00a0ms`
  return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)}\u00a0s`
}

/**
 * The two largest units: `42 s`, `3 min 5 s`, `2 h 10 min`, `4 d 3 h`.
 * @param {number} seconds
 */
export function duration(seconds) {
  const total = Math.max(0, Math.floor(seconds))
  if (total < 60)
    return seconds > 0 && seconds < 10 && total !== seconds ? `${seconds.toFixed(1)}\u00a0s` : `${total}\u00a0s`
  const units = [
    { size: 86_400, name: 'd' },
    { size: 3_600, name: 'h' },
    { size: 60, name: 'min' },
    { size: 1, name: 's' },
  ]
  const first = units.findIndex(({ size }) => total >= size)
  return units
    .slice(first, first + 2)
    .map(({ size, name }, i) => ({
      n: Math.floor(i === 0 ? total / size : (total % (units[first]?.size ?? 1)) / size),
      name,
    }))
    .filter(({ n }) => n > 0)
    .map(({ n, name }) => `${n}\u00a0${name}`)
    .join(' ')
}

/** @param {number} seconds in whole ones, as ages are shown: they change once a second */
export function age(seconds) {
  return duration(Math.max(0, Math.floor(seconds)))
}

/** @param {number} atMs */
export function clock(atMs) {
  const at = new Date(atMs)
  const time = clockOfDay.format(at)
  return at.toDateString() === new Date().toDateString() ? time : `${day.format(at)} ${time}`
}

/** @param {readonly string[]} names */
export function list(names) {
  const last = names.at(-1)
  if (last === undefined) return ''
  return names.length === 1 ? last : `${names.slice(0, -1).join(', ')} and ${last}`
}
