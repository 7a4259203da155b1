/*
 * The lists that the servers answer: made from a counter, so every run and every server has the same bytes. A record is about 570 bytes
 * of JSON in Latin-1, as a registry's entry is; 10 of them are "small", 100 are "large".
 */

/** One record of a registry, a plain object. */
export function record(id) {
  const name = `tool-${String(id).padStart(7, '0')}`
  return {
    id,
    name,
    displayName: `Tool number ${id}`,
    description: `Looks up what belongs to ${name}, and answers with a list of at most ${(id % 50) + 1} matches in the order of relevance.`,
    gatewayId: `gateway-${id % 16}`,
    enabled: id % 7 !== 0,
    tags: ['search', `team-${id % 9}`, `zone-${id % 4}`],
    inputSchema: {
      type: 'object',
      properties: { query: { type: 'string', maxLength: 256 }, limit: { type: 'integer', minimum: 1, maximum: 100 } },
      required: ['query'],
    },
    documentation: `https://registry.example/tools/${name}/documentation`,
    createdAt: new Date(1_700_000_000_000 + id * 60_000).toISOString(),
    updatedAt: new Date(1_710_000_000_000 + id * 60_000).toISOString(),
  }
}

/** A page of records. */
export function records(count, page = 0) {
  return Array.from({ length: count }, (_, i) => record(page * count + i + 1))
}

export const SIZES = { small: 10, large: 100 }
