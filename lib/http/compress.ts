/*
 * br and gzip variants of an entry: made once, off the hot path, when a client first asks for one; until then it gets the
 * identity form. Chosen by Accept-Encoding (RFC 9110 section 12.5.3), each with an ETag of its own.
 */
import { promisify } from 'node:util'
import { brotliCompress, constants, gzip } from 'node:zlib'
import type { Entry } from '../cache/entry.ts'
import { type Form, identityOf, makeForm } from './respond.ts'

export type Coding = 'br' | 'gzip'

/** Below this many bytes the head outweighs what compression saves. */
const MIN_BYTES = 1024
const BROTLI_QUALITY = 5

const toBrotli = promisify(brotliCompress)
const toGzip = promisify(gzip)

export class Compressor {
  /** By entry, so that it goes with it. */
  readonly #coded = new WeakMap<Entry, Map<Coding, Form | Promise<Form | undefined>>>()
  readonly #inBackground: (work: Promise<unknown>, reason: string) => void
  /** The entry has grown by so many bytes. */
  readonly #onGrown: (type: string, entry: Entry, bytes: number) => void

  constructor(options: {
    inBackground: (work: Promise<unknown>, reason: string) => void
    onGrown: (type: string, entry: Entry, bytes: number) => void
  }) {
    this.#inBackground = options.inBackground
    this.#onGrown = options.onGrown
  }

  /** The variant to send; undefined for identity; a promise where only a variant that is not made yet will do. */
  choose(
    type: string,
    entry: Entry,
    acceptEncoding: string | string[] | undefined,
  ): Form | undefined | Promise<Form | undefined> {
    if (acceptEncoding === undefined || entry.body.byteLength < MIN_BYTES) return undefined
    const { coding, identity } = negotiate(String(acceptEncoding))
    if (coding === undefined) return undefined
    const coded = this.#variant(type, entry, coding)
    return coded instanceof Promise && identity ? undefined : coded
  }

  #variant(type: string, entry: Entry, coding: Coding): Form | Promise<Form | undefined> {
    let variants = this.#coded.get(entry)
    if (!variants) {
      variants = new Map()
      this.#coded.set(entry, variants)
    }
    const known = variants.get(coding)
    if (known) return known
    const made = this.#make(type, entry, coding, variants)
    variants.set(coding, made)
    this.#inBackground(made, 'compress')
    return made
  }

  async #make(
    type: string,
    entry: Entry,
    coding: Coding,
    variants: Map<Coding, Form | Promise<Form | undefined>>,
  ): Promise<Form | undefined> {
    const size = { [constants.BROTLI_PARAM_SIZE_HINT]: entry.body.byteLength }
    const params = { [constants.BROTLI_PARAM_QUALITY]: BROTLI_QUALITY, ...size }
    const body = coding === 'br' ? await toBrotli(entry.body, { params }) : await toGzip(entry.body)
    const { etag } = identityOf(entry)
    const coded = makeForm(body, entry.headers, etag === undefined ? undefined : codedEtag(etag, coding), coding)
    variants.set(coding, coded)
    this.#onGrown(type, entry, body.byteLength)
    return coded
  }
}

/** The coding that the client likes best of ours, and whether it takes identity. Of equals br goes before gzip. */
export function negotiate(acceptEncoding: string): { readonly coding: Coding | undefined; readonly identity: boolean } {
  const weights = new Map<string, number>()
  for (const part of acceptEncoding.toLowerCase().split(',')) {
    const [name = '', ...parameters] = part.split(';').map((piece) => piece.trim())
    if (name === '') continue
    const q = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2)
    weights.set(name === 'x-gzip' ? 'gzip' : name, q === undefined ? 1 : toWeight(q))
  }
  const any = weights.get('*') ?? 0
  const identity = weights.get('identity') ?? (weights.has('*') && any === 0 ? 0 : undefined)
  let best: { coding: Coding; weight: number } | undefined
  for (const coding of ['br', 'gzip'] as const) {
    const weight = weights.get(coding) ?? any
    if (weight > (best?.weight ?? 0)) best = { coding, weight }
  }
  const likesIdentity = best === undefined || (weights.get('identity') ?? 0) > best.weight
  return { coding: likesIdentity ? undefined : best?.coding, identity: identity !== 0 }
}

/** A weight of RFC 9110 section 12.4.2; what is none counts as 0. */
function toWeight(q: string): number {
  return /^(0(\.\d{0,3})?|1(\.0{0,3})?)$/.test(q) ? Number(q) : 0
}

/** The variant's own ETag: another representation (RFC 9110 section 8.8.3). */
function codedEtag(etag: string, coding: Coding): string {
  return etag.replace(/"$/, `-${coding}"`)
}
