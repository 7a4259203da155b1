/*
 * Memos of the keys' hashes by raw URL, one per route, under one bound: a sixteenth of L1's bytes, which they count
 * against. They hold hashes only, never entries or decisions.
 */
import { LRUCache } from 'lru-cache'
import type { Memory } from './memory.ts'

/** The string, the hash and the slots of the map. */
const bytesOf = (key: string): number => 2 * key.length + 200

export class Memos {
  readonly #hashes: LRUCache<string, string>
  readonly #memory: Memory
  #routes = 0

  constructor(memory: Memory, maxBytes: number) {
    this.#memory = memory
    this.#hashes = new LRUCache({
      maxSize: Math.max(1, Math.floor(maxBytes / 16)),
      sizeCalculation: (_hash, key) => bytesOf(key),
      dispose: (_hash, key) => this.#memory.account(-bytesOf(key)),
    })
  }

  /** The memo of one route. */
  make(): { parser: unknown; get(key: string): string | undefined; set(key: string, hash: string): void } {
    const route = `${++this.#routes} `
    return {
      parser: undefined,
      get: (key) => this.#hashes.get(route + key),
      set: (key, hash) => {
        const full = route + key
        if (bytesOf(full) > this.#hashes.maxSize) return
        // lru-cache disposes of nothing when it gets the very value that it has: it would count twice.
        this.#hashes.delete(full)
        this.#hashes.set(full, hash)
        this.#memory.account(bytesOf(full))
      },
    }
  }
}
