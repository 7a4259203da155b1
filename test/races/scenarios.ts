/*
 * All interleavings that are written out by hand.
 */
import { found } from './found-races.ts'
import { rare } from './rare-races.ts'

export const scenarios = { ...found, ...rare }
export type ScenarioName = keyof typeof scenarios
