/*
 * Questions to the dashboard's server. Addresses are relative, so the page works wherever it is mounted.
 */

/** What the server refused, or that it could not be asked; `message` is fit to be shown. */
export class ApiError extends Error {
  /**
   * @param {number} status 0 when there was no answer
   * @param {string} code
   * @param {string} message
   */
  constructor(status, code, message) {
    super(message)
    this.name = 'ApiError'
    this.status = status
    this.code = code
  }
}

let token = ''

/** @param {string} next of the latest snapshot */
export function useToken(next) {
  token = next
}

/**
 * @template T
 * @typedef {{ readonly body: T, readonly worker: string | undefined }} Answer
 */

/**
 * @template T
 * @param {string} path
 * @param {Readonly<Record<string, string | undefined>>} [query]
 * @param {AbortSignal} [signal]
 * @returns {Promise<Answer<T>>}
 */
export async function get(path, query = {}, signal) {
  const params = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) if (value !== undefined && value !== '') params.set(name, value)
  const text = params.toString()
  return await ask(text === '' ? path : `${path}?${text}`, signal ? { signal } : {})
}

/**
 * @template T
 * @param {string} path
 * @param {unknown} body
 * @returns {Promise<Answer<T>>}
 */
export async function post(path, body) {
  return await ask(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'X-CSRF-Token': token },
    body: JSON.stringify(body),
  })
}

/**
 * @template T
 * @param {string} path
 * @param {RequestInit} init
 * @returns {Promise<Answer<T>>}
 */
async function ask(path, init) {
  /** @type {Response} */
  let response
  try {
    response = await fetch(`api/${path}`, { ...init, cache: 'no-store', credentials: 'same-origin' })
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === 'AbortError') throw cause
    throw new ApiError(0, 'UNREACHABLE', 'The server could not be reached. Try again once the page is live.')
  }
  const body = await response.json().catch(() => undefined)
  if (!response.ok) {
    const error = body?.error
    throw new ApiError(
      response.status,
      String(error?.code ?? response.status),
      String(error?.message ?? `The server answered ${response.status} ${response.statusText}`),
    )
  }
  if (body === undefined) throw new ApiError(response.status, 'NO_JSON', 'The server’s answer was cut off. Try again.')
  return { body, worker: response.headers.get('X-Cache-Worker') ?? undefined }
}

/**
 * @param {unknown} error
 * @returns {string}
 */
export function wordsOf(error) {
  return error instanceof Error ? error.message : String(error)
}
