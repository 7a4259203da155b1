/*
 * The promises of the cache under orders of events that no machine would show by itself: two workers with the real code of
 * lib/cache, a model of Redis and of its channel, and a schedule that decides what happens next. world.ts says what may
 * happen and what must hold after each step.
 *
 * RACES_SEED=n repeats a run, RACES_RUNS=n makes it longer, RACES_SHRINK=1 looks for a shorter schedule that fails too.
 */
import { expect } from 'chai'
import { real } from './modules.ts'
import { play, type Scenario } from './scenario.ts'
import { scenarios } from './scenarios.ts'
import { chosenSeed, search } from './schedules.ts'

const RUNS = Number(process.env.RACES_RUNS ?? 3000)

describe('races', function () {
  this.timeout(RUNS * 40)

  it(`keep every promise in ${RUNS} random schedules`, async () => {
    const seed = chosenSeed()
    console.log(`      RACES_SEED=${seed}`)
    const found = await search(real, { runs: RUNS, seed })
    const story = found && `${found.violation.message}\n${JSON.stringify(found.schedule.settings)}`
    expect(found, `RACES_SEED=${seed}, schedule ${found?.runs}: ${story}`).to.equal(undefined)
  })

  it('meet in their schedules what they are for: late and lost replies, lost links, records that fall out, a slow clock', async () => {
    const stories: string[] = []
    await search(real, { runs: 150, seed: 1, onStory: (story) => stories.push(story) })
    const all = stories.join('\n')
    for (const met of [
      /LOST . (lookup|epochs).*answered/,
      /LOST . raise.*executed/,
      /LOST . raise.*answered/,
      /LOST . message epoch/,
      /came after its deadline/,
      /loses its link/,
      /recovers/,
      /loses its subscription/,
      /goes deaf/,
      /is live/,
      /a record of . has fallen out/,
      /the clock of Redis is behind/,
      /fails over to a copy/,
      /loses everything/,
      /Redis is full/,
      /a foreign publisher writes/,
      /is told that \d+ is not shared/,
    ]) {
      expect(met.test(all), `no schedule has ${met}`).to.equal(true)
    }
  })

  for (const scenario of Object.values(scenarios) as Scenario[]) {
    it(`keep every promise when ${scenario.name}`, async () => {
      const violation = await play(real, scenario)
      expect(violation?.message).to.equal(undefined)
    })
  }
})
