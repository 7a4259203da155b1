/*
 * Where the files of the dashboard's page are. Not TypeScript: how a module finds itself differs between ESM and CJS, and the
 * build puts page-folder.cjs in this file's place for CJS.
 */
import { fileURLToPath } from 'node:url'

export const pageFolder = fileURLToPath(new URL('./page/', import.meta.url))
