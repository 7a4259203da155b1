/*
 * Asks before it invalidates a type, a tag or everything, and says what came of it.
 */
import { post, wordsOf } from './api.js'
import { byId, el, setText, show } from './dom.js'
import { list } from './format.js'
import { notify } from './notice.js'

/** @typedef {import('./model.js').Model} Model */
/** @typedef {import('../wire.ts').Invalidated} Invalidated */

const dialog = byId('invalidate', HTMLDialogElement)
const form = byId('invalidate-form', HTMLFormElement)
const type = byId('invalidate-type', HTMLSelectElement)
const tag = byId('invalidate-tag', HTMLInputElement)
const submit = byId('invalidate-submit', HTMLButtonElement)
const failure = byId('invalidate-failure', HTMLElement)
const what = () => form.querySelector('input[name=what]:checked')?.getAttribute('value') ?? 'type'

export class Invalidate {
  /** @type {Model} */
  #model

  /** @param {Model} model */
  constructor(model) {
    this.#model = model
    byId('invalidate-open', HTMLButtonElement).addEventListener('click', () => this.open())
    byId('invalidate-cancel', HTMLButtonElement).addEventListener('click', () => dialog.close())
    form.addEventListener('input', () => this.#show())
    // A dialog's form closes it on submit; ours closes when the server has answered.
    form.addEventListener('submit', (event) => {
      event.preventDefault()
      void this.#send()
    })
  }

  /** @param {string} [name] of a type; without one the dialog asks for what */
  open(name) {
    const names = (this.#model.tick?.types ?? []).map((row) => row.type).sort()
    type.replaceChildren(...names.map((each) => el('option', { text: each, attrs: { value: each } })))
    if (name !== undefined) {
      type.value = name
      byId('what-type', HTMLInputElement).checked = true
    }
    this.#show()
    dialog.showModal()
    // To the answer that does nothing, as it asks for a confirmation.
    if (name !== undefined) byId('invalidate-cancel', HTMLButtonElement).focus()
  }

  #show() {
    const kind = what()
    type.disabled = kind !== 'type'
    tag.disabled = kind !== 'tag'
    tag.required = kind === 'tag'
    show(failure, false)
    const row = this.#model.tick?.types.find((each) => each.type === type.value)
    const along = row ? this.#fallingWith(row.type) : []
    const words = {
      type:
        along.length === 0
          ? `Every entry of ${type.value} is recomputed at its next request.`
          : `Every entry of ${type.value} is recomputed at its next request, and of ${list(along)}, which ${along.length === 1 ? 'depends' : 'depend'} on it.`,
      tag: 'Every entry that depends on the tag is recomputed at its next request.',
      all: 'Every entry of every type is recomputed at its next request: expect the load of an empty cache.',
    }
    setText(byId('invalidate-words', HTMLElement), words[/** @type {'type' | 'tag' | 'all'} */ (kind)])
    setText(
      submit,
      kind === 'all' ? 'Invalidate everything' : kind === 'type' ? `Invalidate ${type.value}` : 'Invalidate the tag',
    )
    submit.classList.toggle('danger', kind === 'all')
  }

  /** @param {string} name */
  #fallingWith(name) {
    const next = new Map((this.#model.tick?.types ?? []).map((row) => [row.type, row.dependents]))
    const seen = new Set([name])
    for (const each of seen) for (const dependent of next.get(each) ?? []) seen.add(dependent)
    seen.delete(name)
    return [...seen].sort()
  }

  async #send() {
    const kind = what()
    submit.disabled = true
    try {
      const target = kind === 'all' ? { all: true } : kind === 'tag' ? { tag: tag.value } : { type: type.value }
      /** @type {import('./api.js').Answer<Invalidated>} */
      const { body } = await post('invalidate', target)
      dialog.close()
      notify(outcomeOf(kind, body, this.#model.tick?.redis !== undefined))
    } catch (error) {
      show(failure, true)
      setText(failure, wordsOf(error))
    } finally {
      submit.disabled = false
    }
  }
}

/**
 * @param {string} kind
 * @param {Invalidated} done
 * @param {boolean} hasRedis
 */
function outcomeOf(kind, { target, dependents, shared }, hasRedis) {
  const name = kind === 'all' ? 'everything' : kind === 'tag' ? `the tag ${target}` : target
  const along = dependents.length === 0 ? '' : `, and with it ${list(dependents)}`
  const reach = !hasRedis
    ? 'This cache is in memory alone, so no other worker is concerned.'
    : shared
      ? 'Redis and all workers were told.'
      : 'It holds on this worker at once. Redis could not be told yet: that is kept, and other workers hear of it when Redis answers.'
  return `Invalidated ${name}${along}. ${reach}`
}
