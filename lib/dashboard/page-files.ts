/*
 * The files of the page: read once, when the dashboard is made, and served from memory by their exact names. So no name of a
 * request ever reaches the file system.
 */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { extname, join, relative, sep } from 'node:path'
import { OptionError } from '../errors.ts'
import type { CacheRequest } from '../http/exchange.ts'

export interface PageFile {
  readonly body: Buffer
  readonly type: string
  readonly etag: string
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.txt': 'text/plain; charset=utf-8',
}

/**
 * By their path below the dashboard, which begins with a slash; the page itself is `/`.
 * @throws OptionError ERR_DASHBOARD_PAGE where they are not beside this module
 */
export function readPage(folder: string): ReadonlyMap<string, PageFile> {
  const files = new Map<string, PageFile>()
  try {
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      const type = TYPES[extname(entry.name)]
      if (!entry.isFile() || type === undefined) continue
      const path = join(entry.parentPath, entry.name)
      const body = readFileSync(path)
      const name = `/${relative(folder, path).split(sep).join('/')}`
      const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 27)}"`
      files.set(name === '/index.html' ? '/' : name, { body, type, etag })
    }
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === undefined) throw cause
  }
  if (files.has('/')) return files
  const expected = 'the files of the page beside the module; leave express-registry-cache out of your bundle'
  throw new OptionError('ERR_DASHBOARD_PAGE', 'cacheDashboard', folder, expected)
}

export function sendFile(req: CacheRequest, res: ServerResponse, file: PageFile): void {
  // Kept, and asked for anew each time: a new version is seen at once.
  res.setHeader('Cache-Control', 'private, no-cache')
  res.setHeader('ETag', file.etag)
  if (matches(req.headers['if-none-match'], file.etag)) {
    res.statusCode = 304
    res.end()
    return
  }
  res.statusCode = 200
  res.setHeader('Content-Type', file.type)
  res.setHeader('Content-Length', file.body.byteLength)
  res.end(req.method === 'HEAD' ? undefined : file.body)
}

/** Weakly (RFC 9110 section 13.1.2): a compressing proxy makes a strong validator weak. */
function matches(given: string | undefined, etag: string): boolean {
  if (given === undefined) return false
  return given.split(',').some((one) => one.trim() === '*' || one.trim().replace(/^W\//, '') === etag)
}
