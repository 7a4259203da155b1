/*
 * What may happen next: the steps of the world that are under way, in no order but the one that a schedule chooses.
 */

export interface Step {
  readonly label: string
  /** On a wire, so it may also never happen. */
  readonly losable: boolean
  readonly run: () => void
}

export class Steps {
  readonly #pending: Step[] = []
  /** Every step that was taken, for the story of a violation. */
  readonly story: string[] = []

  get pending(): readonly Step[] {
    return this.#pending
  }

  add(label: string, run: () => void, losable = false): void {
    this.#pending.push({ label, run, losable })
  }

  note(what: string): void {
    this.story.push(what)
  }

  take(index: number): void {
    const [step] = this.#pending.splice(index, 1)
    if (!step) throw new Error(`there is no step ${index}`)
    this.note(step.label)
    step.run()
  }

  lose(index: number): void {
    const [step] = this.#pending.splice(index, 1)
    if (!step?.losable) throw new Error(`step ${index} can not be lost`)
    this.note(`LOST ${step.label}`)
  }

  /** The index of the first step whose label matches. */
  find(label: RegExp): number {
    return this.#pending.findIndex((step) => label.test(step.label))
  }
}
