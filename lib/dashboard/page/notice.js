/*
 * What the last action did, in words: one message at a time, which stays until it is closed or replaced. Screen readers are
 * told it politely.
 */
import { byId, setText, show } from './dom.js'

const box = byId('notice', HTMLElement)
const words = byId('notice-text', HTMLElement)

byId('notice-close', HTMLButtonElement).addEventListener('click', () => {
  show(box, false)
  setText(words, '')
})

/**
 * @param {string} text
 * @param {'good' | 'bad'} [kind]
 */
export function notify(text, kind = 'good') {
  box.dataset.kind = kind
  show(box, true)
  setText(words, text)
}
