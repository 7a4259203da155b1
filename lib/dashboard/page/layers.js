/*
 * A small layered layout (after Sugiyama) of what depends on what. Types that depend on each other stand together; an edge
 * that others imply is left out, since invalidating goes all the way down anyhow.
 */

/** @typedef {{ readonly type: string, readonly dependsOn: readonly string[] }} Node */

/**
 * @param {readonly Node[]} nodes
 * @returns {{ columns: string[][], edges: { from: string, to: string, isMutual: boolean }[], falls: Map<string, Set<string>> }}
 *   `columns` from what is depended on to what depends; `falls`: all that falls with a type
 */
export function layersOf(nodes) {
  const known = new Set(nodes.map(({ type }) => type))
  /** @type {Map<string, Set<string>>} */
  const next = new Map(nodes.map(({ type }) => [type, new Set()]))
  for (const { type, dependsOn } of nodes) {
    for (const name of dependsOn) if (known.has(name) && name !== type) next.get(name)?.add(type)
  }
  const falls = new Map([...known].map((type) => [type, reachable(type, next)]))
  const isBelow = (/** @type {string} */ a, /** @type {string} */ b) => falls.get(a)?.has(b) === true
  const isMutual = (/** @type {string} */ a, /** @type {string} */ b) => isBelow(a, b) && isBelow(b, a)

  const edges = []
  for (const [from, targets] of next) {
    for (const to of targets) {
      if (isMutual(from, to)) {
        if (from < to || !next.get(to)?.has(from)) edges.push({ from, to, isMutual: true })
        continue
      }
      const isImplied = [...known].some(
        (via) =>
          via !== from &&
          via !== to &&
          isBelow(from, via) &&
          isBelow(via, to) &&
          !isMutual(from, via) &&
          !isMutual(via, to),
      )
      if (!isImplied) edges.push({ from, to, isMutual: false })
    }
  }

  const linked = new Set(edges.flatMap(({ from, to }) => [from, to]))
  /** @type {Map<string, number>} */
  const depth = new Map()
  const depthOf = (/** @type {string} */ type) => {
    const found = depth.get(type)
    if (found !== undefined) return found
    const above = [...known].filter((other) => isBelow(other, type) && !isMutual(other, type))
    /** @type {number} */
    const own = above.length === 0 ? 0 : 1 + Math.max(...above.map(depthOf))
    depth.set(type, own)
    return own
  }
  /** @type {string[][]} */
  const columns = []
  for (const type of linked) {
    const column = depthOf(type)
    columns[column] ??= []
    columns[column]?.push(type)
  }
  return { columns: untangled(columns.filter(Boolean), edges, isMutual), edges, falls }
}

/**
 * @param {string} from
 * @param {Map<string, Set<string>>} next
 */
function reachable(from, next) {
  /** @type {Set<string>} */
  const seen = new Set()
  const open = [from]
  for (let type = open.pop(); type !== undefined; type = open.pop()) {
    for (const to of next.get(type) ?? []) {
      if (seen.has(to)) continue
      seen.add(to)
      open.push(to)
    }
  }
  return seen
}

/**
 * Each type near the middle of those that it is linked with, some rounds to and fro; those of a cycle stay together.
 * @param {string[][]} columns
 * @param {readonly { from: string, to: string }[]} edges
 * @param {(a: string, b: string) => boolean} isMutual
 */
function untangled(columns, edges, isMutual) {
  let current = columns.map((column) => column.toSorted())
  for (let round = 0; round < 4; round++) {
    /** @type {Map<string, number>} */
    const place = new Map()
    for (const column of current) for (const [i, type] of column.entries()) place.set(type, i - (column.length - 1) / 2)
    const middle = (/** @type {string} */ type) => {
      const near = edges
        .filter(({ from, to }) => (from === type || to === type) && !isMutual(from, to))
        .map(({ from, to }) => place.get(from === type ? to : from) ?? 0)
      return near.length === 0 ? (place.get(type) ?? 0) : near.reduce((sum, at) => sum + at, 0) / near.length
    }
    current = current.map((column) => {
      /** @type {Map<string, number>} */
      const wish = new Map()
      for (const type of column) {
        const group = column.filter((other) => other === type || isMutual(type, other))
        wish.set(type, group.reduce((sum, each) => sum + middle(each), 0) / group.length)
      }
      return column.toSorted((a, b) => (wish.get(a) ?? 0) - (wish.get(b) ?? 0) || a.localeCompare(b))
    })
  }
  return current
}
