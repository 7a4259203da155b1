/*
 * Where the files of the dashboard's page are: beside this module, in lib and in dist. Not TypeScript: tsc has no import.meta for the
 * CommonJS that is published, the bundler translates it.
 */
import { fileURLToPath } from 'node:url'

export const pageFolder = fileURLToPath(new URL('./page/', import.meta.url))
