/*
 * What the Lua scripts of tiers/scripts.ts do, in JavaScript: a fake server runs no Lua. One contract suite runs against both.
 */
import type { FakeStore } from './fake-store.ts'

export interface ScriptContext {
  readonly store: FakeStore
  /** Microseconds since 1970, an integer, as `TIME` gives it. */
  nowUs(): number
  /** What one script publishes arrives in one piece. */
  publish(channel: string, messages: readonly string[]): void
}

type Script = (context: ScriptContext, key: string, args: readonly string[]) => unknown

const epochAt = (store: FakeStore, key: string): number => Number(store.get(key)?.toString() ?? 0) || 0

function write({ store }: ScriptContext, key: string, epoch: number, seconds: string | undefined): void {
  store.set(key, `${epoch}`, Number(seconds) * 1000)
}

function tell(context: ScriptContext, epoch: number, args: readonly string[]): string {
  const [, , , channel = '', space = '', about = '', tag = ''] = args
  context.publish(channel, [`epoch ${epoch} ${space} ${about}`, tag])
  return `${epoch}`
}

function raise(context: ScriptContext, key: string, args: readonly string[]): string {
  const [floor, step] = [Number(args[0]), Number(args[1])]
  const epoch = Math.max(epochAt(context.store, key) + step, floor + step, context.nowUs())
  write(context, key, epoch, args[2])
  return tell(context, epoch, args)
}

export const FAKE_SCRIPTS: Readonly<Record<string, Script>> = {
  registryCacheRaise: raise,

  registryCacheRaiseUnlessChanged(context, key, args) {
    const [current, known] = [epochAt(context.store, key), Number(args[7])]
    return known > 0 && current > known ? `${current}` : raise(context, key, args)
  },

  registryCacheDrop(context, key, args) {
    context.store.delete(key)
    return tell(context, Math.max(Number(args[0]) + Number(args[1]), context.nowUs()), args)
  },

  registryCacheOpen(context, key, args) {
    const { store } = context
    const epoch = epochAt(store, key)
    if (epoch > 0) {
      if (store.pttl(key) < Number(args[0]) * 500) write(context, key, epoch, args[0])
      return `${epoch}`
    }
    write(context, key, context.nowUs(), args[0])
    return `${epochAt(store, key)}`
  },

  registryCacheReveal(context, key, args) {
    const epoch = epochAt(context.store, key)
    const nowUs = context.nowUs()
    if (epoch > 0) return [`${epoch}`, `${nowUs}`, 0]
    write(context, key, nowUs - Number(args[1]) - 1, args[0])
    return [`${epochAt(context.store, key)}`, `${nowUs}`, 1]
  },

  registryCacheFetch: ({ store }, key) => [store.pttl(key), store.get(key)],

  registryCacheBeat({ store }, key, [seconds, ...fields]) {
    const hash = store.map(key)
    for (let i = 0; i + 1 < fields.length; i += 2) hash.set(fields[i] ?? '', fields[i + 1] ?? '')
    store.expire(key, Number(seconds) * 1000)
    return 1
  },

  registryCacheJoin({ store, nowUs }, key, [id = '', seconds]) {
    const ids = store.map(key)
    ids.set(id, `${nowUs()}`)
    for (const [member, score] of ids) if (Number(score) <= nowUs() - Number(seconds) * 1e6) ids.delete(member)
    store.expire(key, Number(seconds) * 1000)
    return 1
  },

  registryCacheLook: ({ store }, key) => [store.pttl(key), store.has(key) ? [...store.map(key)].flat() : []],

  registryCacheUnlock({ store }, key, args) {
    return store.get(key)?.toString() === args[0] && store.delete(key) ? 1 : 0
  },
}
