/*
 * What went wrong, as a value: a test asserts on code and fields instead of on a message.
 */

/** What the function throws. Throws itself when it throws nothing. */
export function thrownBy(run: () => unknown): Record<string, unknown> & Error {
  try {
    run()
  } catch (error) {
    return asError(error)
  }
  throw new Error('it should have thrown')
}

/** What the promise is rejected with. */
export async function rejectionOf(promise: Promise<unknown>): Promise<Record<string, unknown> & Error> {
  try {
    await promise
  } catch (error) {
    return asError(error)
  }
  throw new Error('it should have been rejected')
}

function asError(error: unknown): Record<string, unknown> & Error {
  if (!(error instanceof Error)) throw new TypeError(`not an Error was thrown: ${String(error)}`)
  return error as Record<string, unknown> & Error
}
