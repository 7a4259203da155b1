/*
 * The schedules are worth something when they notice what is missing: each mutant must break a promise within its budget,
 * while the real code (races.test.ts) breaks none in many more.
 */
import { expect } from 'chai'
import { mutate } from './modules.ts'
import { mutants } from './mutants.ts'
import { play } from './scenario.ts'
import { scenarios } from './scenarios.ts'
import { chosenSeed, search } from './schedules.ts'

/** Most are caught by the first hundred. */
const BUDGET = 3000

describe('the races with a mistake put in', function () {
  this.timeout(60_000)
  // The same schedules each time, unless others are asked for: whether a mutant is caught is not left to chance.
  const seed = process.env.RACES_SEED === undefined ? 1 : chosenSeed()

  for (const { name, patches, scenarios: caughtBy } of mutants) {
    it(`are lost when ${name}`, async () => {
      const { modules, remove } = await mutate(patches)
      try {
        if (caughtBy.length === 0) {
          const found = await search(modules, { runs: BUDGET, seed })
          expect(found, `no schedule of ${BUDGET} noticed it (RACES_SEED=${seed})`).not.to.equal(undefined)
        }
        for (const scenario of caughtBy) {
          const violation = await play(modules, scenarios[scenario])
          expect(violation, `"${scenarios[scenario].name}" did not notice it`).not.to.equal(undefined)
        }
      } finally {
        remove()
      }
    })
  }
})
