/* Writes the tables of bench/README.md and README.md anew, from what is in bench/results. */
import { fileURLToPath } from 'node:url'
import { publish } from './harness/report.js'

publish(fileURLToPath(new URL('.', import.meta.url)))
