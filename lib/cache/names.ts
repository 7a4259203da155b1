/*
 * What names look like. A type: 1 to 64 of A-Z a-z 0-9 _ . -; a tag: 1 to 512 bytes, blanks and colons allowed, no
 * control characters, no `:@` (which separates our own keys) and not the form of an epoch message.
 */

const TYPE = /^[A-Za-z0-9_.-]{1,64}$/
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
const CONTROL = /[\u0000-\u001f\u007f]/
const EPOCH_MESSAGE = /^epoch \d+ [0-9a-f]{8} /
const MAX_TAG_BYTES = 512

export function isType(name: unknown): name is string {
  return typeof name === 'string' && TYPE.test(name)
}

export function isTag(name: unknown): name is string {
  return (
    typeof name === 'string' &&
    name.length > 0 &&
    Buffer.byteLength(name) <= MAX_TAG_BYTES &&
    !name.includes(':@') &&
    !CONTROL.test(name) &&
    !/\p{Surrogate}/u.test(name) &&
    !EPOCH_MESSAGE.test(name)
  )
}
