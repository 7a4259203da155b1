/*
 * What JSON carries faithfully, and a canonical form of it. The check comes first because the stringifiers are lenient:
 * they write Map and Set as `{}` and NaN as `null`, so two different filters would share an entry.
 */
import { hash } from 'node:crypto'
import stringify from 'fast-json-stable-stringify'
import { ValueError } from '../errors.ts'

/** Classes that one of the stringifiers writes as an empty object, or not at all. */
const LOST =
  /^\[object (Number|String|Boolean|Map|Set|WeakMap|WeakSet|Promise|RegExp|Error|ArrayBuffer|DataView|\w+Array|Symbol|BigInt)\]$/

/** Throws a ValueError that names the path of the first thing that JSON would lose. `toJSON` applies. */
export function checkJson(value: unknown): void {
  checkNode(value, '$', '', [])
}

function checkNode(given: unknown, path: string, key: string, above: readonly object[]): void {
  const value = hasToJson(given) ? given.toJSON(key) : given
  if (value === null || typeof value === 'string' || typeof value === 'boolean' || value === undefined) return
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new ValueError(path, String(value))
    return
  }
  if (typeof value !== 'object') throw new ValueError(path, `a ${typeof value}`)
  if (above.includes(value)) throw new ValueError(path, 'a reference to an object that contains it')
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) checkNode(value[i], `${path}[${i}]`, String(i), [...above, value])
    return
  }
  const kind = Object.prototype.toString.call(value)
  if (LOST.test(kind)) throw new ValueError(path, `a ${kind.slice(8, -1)}`)
  for (const name of Object.keys(value)) {
    const at = /^[A-Za-z_$][\w$]*$/.test(name) ? `${path}.${name}` : `${path}[${JSON.stringify(name)}]`
    checkNode((value as Record<string, unknown>)[name], at, name, [...above, value])
  }
}

function hasToJson(value: unknown): value is { toJSON(key: string): unknown } {
  return typeof value === 'object' && value !== null && typeof (value as { toJSON?: unknown }).toJSON === 'function'
}

/** JSON with sorted keys: equal values in any order of members give equal text. Throws ValueError. */
export function canonical(value: unknown): string {
  checkJson(value)
  return stringify(value)
}

/** 32 hex digits (128 bits) of SHA-256. A string of its own: a slice would keep the whole digest for as long as the entry. */
export function hash32(text: string): string {
  return Buffer.from(hash('sha256', text, 'hex'), 'latin1').toString('latin1', 0, 32)
}
