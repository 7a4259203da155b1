/** The demo's figures as text. */
import type { Figures } from './drive.ts'

const columns: [title: string, cell: (figures: Figures) => string][] = [
  ['  s', ({ seconds }) => String(seconds)],
  ['requests/s', ({ requests }) => String(requests)],
  ['hit rate', (figures) => hitRate(figures)],
  ['cached p50 / p99', ({ cachedMs }) => percentiles(cachedMs)],
  ['not cached p50 / p99', ({ uncachedMs }) => percentiles(uncachedMs)],
  ['queries avoided', ({ avoided }) => String(avoided)],
  ['writes', ({ writes }) => String(writes)],
  [
    'seen elsewhere after',
    ({ seenElsewhereMs }) => (seenElsewhereMs.length ? `${ms(Math.max(...seenElsewhereMs))} ms` : '-'),
  ],
  ['stale reads', ({ stale }) => String(stale.length)],
]

export const header: string = columns.map(([title]) => title).join('  ')

export function row(figures: Figures): string {
  return columns.map(([title, cell]) => cell(figures).padStart(title.length)).join('  ')
}

export function summary(figures: Figures): string {
  const { seconds, requests, failed, cachedMs, uncachedMs, avoided, writes, seenElsewhereMs, stale } = figures
  const faster = percentile(uncachedMs, 0.5) / percentile(cachedMs, 0.5)
  const lines = [
    `${requests} reads in ${seconds.toFixed(0)} s, ${Math.round(requests / seconds)} a second; ${failed} requests failed`,
    `${hitRate(figures)} hits: ${avoided} of ${requests} reads made no query`,
    `cached      p50 / p99  ${percentiles(cachedMs)}${Number.isFinite(faster) ? `, ${faster.toFixed(1)} times as fast at p50` : ''}`,
    `not cached  p50 / p99  ${percentiles(uncachedMs)}`,
    `${writes} writes${stale.length ? '' : ', each seen at once on the worker that made it'}${
      seenElsewhereMs.length
        ? `, and on others after p50 ${ms(percentile(seenElsewhereMs, 0.5))}, at most ${ms(Math.max(...seenElsewhereMs))} ms`
        : ''
    }`,
    `stale reads seen: ${stale.length}`,
    ...stale.slice(0, 10).map((what) => `  ${what}`),
  ]
  return lines.join('\n')
}

function hitRate({ requests, cachedMs }: Figures): string {
  return requests === 0 ? '-' : `${((100 * cachedMs.length) / requests).toFixed(1)} %`
}

function percentiles(values: number[]): string {
  return values.length === 0 ? '-' : `${ms(percentile(values, 0.5))} / ${ms(percentile(values, 0.99))} ms`
}

function percentile(values: number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
}

function ms(value: number): string {
  return value < 10 ? value.toFixed(1) : value.toFixed(0)
}
