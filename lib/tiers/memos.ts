/*
 * Memos of the keys' hashes by raw URL, one per route, under one bound: a sixteenth of L1's bytes, which they count
 * against. They hold hashes only, never entries or decisions.
 *
 * Two generations in place of a list in the order of use, so that a look-up is one of a map: what is new goes into the young
 * one; when the young ones hold half the bound they become the old ones, and what nobody asked for since then goes.
 */
import type { Memory } from './memory.ts'

/** The string, the hash and the slots of the map. */
const bytesOf = (key: string): number => 2 * key.length + 200

interface Generations {
  young: Map<string, string>
  old: Map<string, string>
}

export class Memos {
  readonly #memory: Memory
  readonly #halfBytes: number
  readonly #routes: Generations[] = []
  #youngBytes = 0
  #oldBytes = 0

  constructor(memory: Memory, maxBytes: number) {
    this.#memory = memory
    this.#halfBytes = Math.max(1, Math.floor(maxBytes / 32))
  }

  /** The memo of one route. */
  make(): { parser: unknown; get(key: string): string | undefined; set(key: string, hash: string): void } {
    const hashes: Generations = { young: new Map(), old: new Map() }
    this.#routes.push(hashes)
    return {
      parser: undefined,
      get: (key) => {
        const hash = hashes.young.get(key)
        if (hash !== undefined) return hash
        const kept = hashes.old.get(key)
        if (kept !== undefined) this.#set(hashes, key, kept)
        return kept
      },
      set: (key, hash) => this.#set(hashes, key, hash),
    }
  }

  #set(hashes: Generations, key: string, hash: string): void {
    const bytes = bytesOf(key)
    if (bytes > this.#halfBytes) return
    if (hashes.young.has(key)) {
      hashes.young.set(key, hash)
      return
    }
    if (this.#youngBytes + bytes > this.#halfBytes) this.#age()
    hashes.young.set(key, hash)
    this.#youngBytes += bytes
    this.#memory.account(bytes)
  }

  #age(): void {
    for (const hashes of this.#routes) {
      hashes.old = hashes.young
      hashes.young = new Map()
    }
    this.#memory.account(-this.#oldBytes)
    this.#oldBytes = this.#youngBytes
    this.#youngBytes = 0
  }
}
