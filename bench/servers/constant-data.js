/* The two lists as bytes with their heads, made once. */
import { createHash } from 'node:crypto'
import { records, SIZES } from '../harness/data.js'

function constant(count) {
  const body = Buffer.from(JSON.stringify(records(count)))
  const digest = createHash('sha1').update(body).digest('base64').slice(0, 27)
  const head = {
    'Content-Type': 'application/json; charset=utf-8',
    ETag: `W/"${body.byteLength.toString(16)}-${digest}"`,
    'Content-Length': body.byteLength,
  }
  return { body, head }
}

export const constants = { small: constant(SIZES.small), large: constant(SIZES.large) }

/** By path; the query does not count. */
export function constantFor(url) {
  return url.startsWith('/small') ? constants.small : constants.large
}
