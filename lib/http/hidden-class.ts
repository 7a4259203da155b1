/*
 * Makes requests and responses that Express has taken over cheap to work with: for us, for the handler and for Node.
 *
 * Express exchanges the prototype of each. Up to V8 12 (Node 22) the hidden class that comes of it has no transitions, so each
 * property that is added from then on makes one more class, which this one object has for itself, and every access from then on, those
 * in Node's own `writeHead` and `end` included, misses its inline cache: most of what a request costs in Express. Objects whose
 * properties are a dictionary share a class again, and to take a property away and give it back makes one of them (until a mounted
 * sub-application exchanges the prototypes once more). From V8 13 on such classes are connected, and this would only cost
 * (`hit` and `miss` in bench/). V8 finds those classes again by a random hash of six bits: in one process out of 64 the two push
 * each other out all the time, and nothing is gained.
 */
import type { CacheRequest, CacheResponse } from './exchange.ts'

const isDetached = Number.parseInt(process.versions.v8, 10) < 13

/** Nothing that can be seen of them changes, but for the order of their properties. */
export function shareClasses(req: CacheRequest, res: CacheResponse): void {
  if (!isDetached) return
  // Any field would do. These two Node gives each of them in its constructor, and hardly anybody looks at them.
  toDictionary(req, 'statusMessage')
  toDictionary(res, 'strictContentLength')
}

function toDictionary(of: object, name: string): void {
  const own = Object.getOwnPropertyDescriptor(of, name)
  if (own?.configurable && Reflect.deleteProperty(of, name)) Object.defineProperty(of, name, own)
}
