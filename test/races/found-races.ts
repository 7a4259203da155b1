/*
 * Interleavings that broke a promise once.
 */
import { hearAll, type Scenario, warm, writeUntold } from './scenario.ts'
import { GATEWAY, TYPE, Violation } from './world.ts'

export const found = {
  revealedJoin: {
    name: 'a reader joins a load that began before a write of a tag that only its answer reveals',
    settings: { reveals: true },
    async play(world) {
      world.subscribe()
      world.read(world.a)
      await world.flow()
      await world.writeNow(world.a, GATEWAY)
      const read = world.read(world.a)
      await world.flow(/handler/)
      if (read.answer?.version !== 1) throw new Violation(`the later reader got ${read.answer?.version}`)
    },
  },

  revealedJoinStrong: {
    name: 'a strong reader joins a load that began before a write elsewhere of a tag that only its answer reveals',
    settings: { reveals: true },
    async play(world) {
      world.subscribe()
      world.read(world.a)
      await world.flow()
      await world.writeNow(world.b, GATEWAY)
      world.read(world.a, true)
      await world.flow(/handler/)
    },
  },

  heardWhileAway: {
    name: 'a message tells of a raise while Redis is away and a load runs whose answer will reveal the tag',
    settings: { reveals: true },
    async play(world) {
      await warm(world)
      await world.writeNow(world.a, TYPE)
      hearAll(world)
      world.drop(world.b)
      const late = world.read(world.b)
      await world.flow()
      const told = world.write(world.a, GATEWAY)
      await world.flow()
      await told
      hearAll(world)
      await world.flow(/handler/)
      if (late.answer?.version !== 1) throw new Error('the load read what came after it')
      world.b.recover()
      await world.flow()
      await world.readNow(world.b)
    },
  },

  foreignSwallows: {
    name: "a foreign message comes while a raise of this worker's own is untold, and another worker has raised the tag",
    settings: { whenRedisIsDown: 'bypass' },
    async play(world) {
      await warm(world)
      const told = world.write(world.a, TYPE)
      await world.flow()
      await told
      while (world.b.inbox.length > 0) world.b.loseMessage()
      await world.readNow(world.a)
      await writeUntold(world, TYPE)
      world.store.publish(TYPE, true)
      world.b.hear()
      await world.flow()
      await world.readNow(world.b)
    },
  },

  foreignAfterReconnect: {
    name: 'a foreign message comes to a worker that missed a raise while it was not subscribed',
    settings: {},
    async play(world) {
      await warm(world)
      world.b.loseSubscription()
      await world.writeNow(world.a, TYPE)
      await world.readNow(world.a)
      world.subscribe(world.b)
      // A's own subscription goes deaf: only B hears what comes.
      world.a.goDeaf()
      world.writeForeign(TYPE, false)
      world.b.hear()
      await world.flow()
      await world.readNow(world.b)
    },
  },

  overtakenWhilePending: {
    name: "an older raise of another worker is heard after this worker's own, and an entry of that raise is on its way",
    settings: { reveals: true, isSplit: true },
    async play(world) {
      world.subscribe()
      await world.readNow(world.a)
      world.read(world.b)
      await world.settle()
      await world.step(/B lookup of epochs: executed/)
      const told = world.write(world.a, TYPE)
      await world.step(/A raise.*executed/)
      await world.step(/A raise.*answered/)
      await told
      world.read(world.a)
      for (const what of [
        /A lookup of epochs: ex/,
        /A lookup of entry: ex/,
        /A lookup of ep.*ans/,
        /A lookup of en.*ans/,
      ]) {
        await world.settle()
        await world.step(what)
      }
      await world.step(/A handler/)
      for (let i = world.steps.find(/^A /); i >= 0; i = world.steps.find(/^A /)) {
        world.steps.take(i)
        await world.settle()
      }
      await world.step(/B lookup of entry: executed/)
      await world.step(/B lookup of epochs: answered/)
      await world.step(/B lookup of entry: answered/)
      void world.write(world.b, TYPE)
      await world.settle()
      world.steps.lose(world.steps.find(/B raise/))
      while (world.b.inbox.length > 0) world.b.hear()
      await world.step(/B epochs.*executed/)
      await world.step(/B epochs.*answered/)
      world.drop(world.b)
      await world.readNow(world.b)
    },
  },

  ownNumbers: {
    name: 'this worker raises a tag while a question about another one is on the wire',
    settings: { reveals: true },
    async play(world) {
      world.subscribe()
      await world.readNow(world.a)
      world.read(world.b)
      await world.settle()
      await world.step(/B lookup: executed/)
      await world.step(/B lookup: answered/)
      void world.write(world.b, TYPE)
      await world.settle()
      await world.step(/B epochs.*executed/)
      await world.step(/B epochs.*answered/)
      await world.flow(/handler/, /B raise/)
    },
  },

  shortStaleness: {
    name: 'a question is on the wire for longer than a reader may believe a number',
    settings: { maxStalenessMs: 100 },
    async play(world) {
      await warm(world)
      await world.pass(101)
      world.read(world.b)
      await world.settle()
      await world.step(/B epochs.*executed/)
      await world.writeNow(world.a, TYPE, /B /)
      while (world.b.inbox.length > 0) world.b.loseMessage()
      await world.pass(150)
      world.read(world.b)
      await world.flow(/handler/)
    },
  },

  revealAcrossFailover: {
    name: 'Redis fails over to a clock that is ahead while a load runs whose answer reveals a tag that was raised meanwhile',
    settings: { reveals: true },
    async play(world) {
      world.subscribe()
      world.read(world.a)
      await world.flow()
      await world.pass(60)
      await world.writeNow(world.b, GATEWAY)
      world.failOver(world.store.copy(), 5_000_000)
      for (const worker of world.workers) worker.recover()
      await world.flow()
      await world.flow(/handler/)
    },
  },

  untoldRepair: {
    name: 'Redis does not take a repair at first, and answers otherwise',
    settings: { clockRate: 0 },
    async play(world) {
      await warm(world)
      await world.writeNow(world.a, TYPE)
      // On a clock that stands still, the number that the tag gets anew is lower than the lost one.
      world.store.loseEpoch(TYPE)
      world.read(world.a, true)
      await world.settle()
      await world.step(/A epochs.*executed/)
      await world.step(/A epochs.*answered/)
      world.steps.lose(world.steps.find(/A raise/))
      await world.pass(251)
      await world.heal()
    },
  },

  copyOnItsWay: {
    name: 'an entry that another worker stored is a while on its way to the one that waited for it',
    settings: { lockTtlMs: 600 },
    async play(world) {
      world.subscribe()
      world.read(world.a)
      await world.flow()
      world.read(world.b)
      await world.flow()
      await world.step(/A handler/)
      await world.step(/A set: executed/)
      await world.pass(20)
      await world.step(/B watch: executed/)
      await world.pass(100)
      await world.flow()
    },
  },
} satisfies Record<string, Scenario>
