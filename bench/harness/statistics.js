/*
 * Medians, and how far a ratio of medians can be trusted. A round measures every contestant once, one right after the other, so rounds are
 * resampled whole: what disturbed one round disturbs both sides of its ratio.
 */

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** A small generator with a fixed seed: the same samples give the same interval. */
function random(seed) {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

const RESAMPLES = 2000

/** `{ ratio, low, high }`: median(a) / median(b) with its 95 % bootstrap interval over the rounds. */
export function ratioOf(a, b) {
  const { value: ratio, low, high } = compared(a, b, (x, y) => x / y)
  return { ratio, low, high }
}

/** `{ value, low, high }`: median(a) - median(b), likewise. */
export function differenceOf(a, b) {
  return compared(a, b, (x, y) => x - y)
}

function compared(a, b, by) {
  const rounds = Math.min(a.length, b.length)
  const next = random(20_240_607)
  const values = []
  for (let i = 0; i < RESAMPLES; i++) {
    const picked = Array.from({ length: rounds }, () => Math.floor(next() * rounds))
    values.push(by(median(picked.map((at) => a[at])), median(picked.map((at) => b[at]))))
  }
  values.sort((x, y) => x - y)
  return {
    value: by(median(a), median(b)),
    low: values[Math.floor(RESAMPLES * 0.025)],
    high: values[Math.ceil(RESAMPLES * 0.975) - 1],
  }
}

export function round(value, digits = 3) {
  return Number.isFinite(value) ? Number(value.toPrecision(digits)) : value
}
