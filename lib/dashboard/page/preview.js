/*
 * The body of an entry, for those who may read it: fetched when asked for, shown as text.
 */
import { get, wordsOf } from './api.js'
import { byId, el, setText } from './dom.js'
import { bytes } from './format.js'

/** @typedef {import('../wire.ts').Preview} Preview */

const dialog = byId('preview', HTMLDialogElement)
const facts = byId('preview-headers', HTMLElement)
const text = byId('preview-body', HTMLElement)
const note = byId('preview-note', HTMLElement)

/** Further in, lines begin no further right: a body of brackets alone would else grow with the square of its length. */
const MAX_DEPTH = 40

byId('preview-close', HTMLButtonElement).addEventListener('click', () => dialog.close())

/**
 * @param {string} key
 * @param {string} title
 */
export async function preview(key, title) {
  setText(byId('preview-title', HTMLElement), title)
  setText(note, 'Fetching…')
  facts.replaceChildren()
  setText(text, '')
  dialog.showModal()
  try {
    /** @type {import('./api.js').Answer<Preview>} */
    const { body } = await get('entries/preview', { key })
    setText(note, `${bytes(body.bytes)}${body.cut ? ', of which the beginning is shown' : ''}`)
    facts.replaceChildren(
      ...Object.entries(body.headers).flatMap(([name, value]) => [
        el('dt', { text: name }),
        el('dd', { class: 'mono', text: value }),
      ]),
    )
    setText(text, body.cut ? body.body : indented(body.body))
  } catch (error) {
    setText(note, wordsOf(error))
  }
}

/**
 * JSON with line breaks; anything else as it is. Numbers are not read as JavaScript's, which would round large ones.
 * @param {string} body
 */
function indented(body) {
  try {
    JSON.parse(body)
  } catch {
    return body
  }
  let depth = 0
  let isInString = false
  let out = ''
  let last = ''
  const line = () => `\n${'  '.repeat(Math.min(depth, MAX_DEPTH))}`
  for (let i = 0; i < body.length; i++) {
    const char = body.charAt(i)
    if (isInString) {
      out += char === '\\' ? char + body.charAt(++i) : char
      isInString = char !== '"'
    } else if (char === '"') {
      isInString = true
      out += char
    } else if (char === '{' || char === '[') {
      depth++
      const isEmpty = /^\s*[}\]]/.test(body.slice(i + 1, i + 64))
      out += isEmpty ? char : char + line()
    } else if (char === '}' || char === ']') {
      depth--
      // What was written is not looked at: to read the end of a string that grows is to copy all of it.
      out += last === '{' || last === '[' ? char : line() + char
    } else if (char === ',') out += char + line()
    else if (char === ':') out += ': '
    else if (!/\s/.test(char)) out += char
    if (!/\s/.test(char)) last = char
  }
  return out
}
