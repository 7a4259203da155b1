/*
 * Interleavings that random schedules meet too rarely to catch a mistake by.
 */
import { hearAll, type Scenario, warm, writeUntold } from './scenario.ts'
import { ALL, TYPE } from './world.ts'

export const rare = {
  strongShares: {
    name: 'a strong reader comes while a question is on the wire that was answered before a write',
    settings: {},
    async play(world) {
      await warm(world)
      world.read(world.b, true)
      await world.settle()
      await world.step(/B epochs.*executed/)
      const told = world.write(world.a, TYPE)
      await world.step(/A raise.*executed/)
      await world.step(/A raise.*answered/)
      await told
      world.read(world.b, true)
      await world.flow(/handler/)
    },
  },

  unsubscribedShares: {
    name: 'a reader comes without a subscription while a question is on the wire that was answered before a write',
    settings: {},
    async play(world) {
      await warm(world)
      world.b.loseSubscription()
      world.read(world.b)
      await world.settle()
      await world.step(/B epochs.*executed/)
      await world.writeNow(world.a, TYPE, /B /)
      world.read(world.b)
      await world.flow(/handler/)
    },
  },

  untoldBelieved: {
    name: "a raise of this worker's own is untold, and another worker has raised the tag before",
    settings: { whenRedisIsDown: 'bypass' },
    async play(world) {
      await warm(world)
      await world.writeNow(world.a, TYPE)
      while (world.b.inbox.length > 0) world.b.loseMessage()
      await world.readNow(world.a)
      await writeUntold(world, TYPE)
      await world.readNow(world.b)
    },
  },

  lostRaise: {
    name: 'Redis loses a raise that only the worker knows that made it',
    settings: {},
    async play(world) {
      await warm(world)
      const copy = world.store.copy()
      await world.writeNow(world.a, TYPE)
      while (world.b.inbox.length > 0) world.b.loseMessage()
      world.failOver(copy, 0)
      await world.heal()
    },
  },

  slowReply: {
    name: 'a reply is a while on its way, and the message of a raise meanwhile is lost',
    settings: { maxStalenessMs: 1000 },
    async play(world) {
      await warm(world)
      await world.pass(1001)
      world.read(world.b)
      await world.settle()
      await world.step(/B epochs.*executed/)
      await world.writeNow(world.a, TYPE, /B /)
      while (world.b.inbox.length > 0) world.b.loseMessage()
      await world.pass(200)
      await world.flow(/handler/)
      await world.pass(850)
      await world.readNow(world.b)
    },
  },

  lateMessage: {
    name: 'a message comes long after a question has told the same, and that of the next raise is lost',
    settings: { maxStalenessMs: 1000 },
    async play(world) {
      await warm(world)
      await world.writeNow(world.a, TYPE)
      await world.readNow(world.b, true)
      await world.pass(450)
      await world.writeNow(world.a, TYPE)
      await world.pass(540)
      world.b.hear()
      world.b.hear()
      while (world.b.inbox.length > 0) world.b.loseMessage()
      // Less than half of maxStaleness since the message: or a question in the background would find out in time.
      await world.pass(470)
      await world.readNow(world.b)
    },
  },

  reconnected: {
    name: 'a raise is missed while the subscription is away',
    settings: { maxStalenessMs: 5000 },
    async play(world) {
      await warm(world)
      world.b.loseSubscription()
      await world.writeNow(world.a, TYPE)
      world.subscribe(world.b)
      await world.readNow(world.b)
    },
  },

  oldSession: {
    name: 'a question is asked in one session and answered in the next',
    settings: { maxStalenessMs: 5000 },
    async play(world) {
      await warm(world)
      world.b.loseSubscription()
      world.subscribe(world.b)
      world.read(world.b)
      await world.settle()
      await world.step(/B epochs.*executed/)
      world.b.loseSubscription()
      await world.writeNow(world.a, TYPE, /B /)
      world.subscribe(world.b)
      await world.step(/B epochs.*answered/)
      await world.flow(/handler/)
      await world.readNow(world.b)
    },
  },

  fallenOutWhileAway: {
    name: 'a record falls out between two outages, and an entry of the first one is still in memory',
    settings: { hasRedis: false, maxRecords: 4 },
    async play(world) {
      await world.readNow(world.a)
      await world.writeNow(world.a, TYPE)
      // Four other tags push the records out.
      for (const tag of ['x:1', 'x:2', 'x:3', 'x:4']) world.a.epochs.record(tag)
      await world.readNow(world.a)
    },
  },

  resentAfterFailover: {
    name: 'a question is sent once more to a server that has lost a raise, whose record has fallen out',
    settings: { resends: true, maxRecords: 4, maxStalenessMs: 5000, ttlMs: 60_000 },
    async play(world) {
      world.subscribe()
      await world.readNow(world.b)
      const copy = world.store.copy()
      await world.writeNow(world.b, TYPE)
      while (world.b.inbox.length > 0) world.b.hear()
      await writeUntold(world, 'x:9')
      for (const tag of ['x:1', 'x:2', 'x:3', 'x:4']) world.b.epochs.record(tag)
      world.read(world.b)
      await world.settle()
      world.failOver(copy, 0)
      // The next connection is there, the recovery is still telling what was untold and has asked for nothing yet.
      world.b.recover()
      await world.step(/B epochs of .*,.*executed/)
      await world.step(/B epochs of .*,.*answered/)
      await world.readNow(world.b)
    },
  },

  repairedTwice: {
    name: 'one worker knows more lost raises than another that repairs first',
    settings: { maxStalenessMs: 1000 },
    async play(world) {
      await warm(world)
      const copy = world.store.copy()
      await world.writeNow(world.a, TYPE)
      hearAll(world)
      await world.readNow(world.a)
      // B writes, A does not hear of it.
      const told = world.write(world.b, TYPE)
      await world.flow()
      await told
      while (world.a.inbox.length > 0) world.a.loseMessage()
      world.failOver(copy, 0)
      for (const worker of world.workers) worker.loseSubscription()
      world.subscribe()
      world.a.recover()
      await world.flow()
      await world.readNow(world.a, true)
    },
  },

  foreignTakenForOurs: {
    name: 'a foreign message comes some time after a plain message of ours was lost',
    settings: {},
    async play(world) {
      await warm(world)
      await world.writeNow(world.a, TYPE)
      world.b.hear()
      world.b.loseMessage()
      await world.pass(1500)
      await world.readNow(world.b)
      world.b.hasMissed = false
      world.writeForeign(TYPE, false)
      world.b.hear()
      await world.flow()
      await world.readNow(world.b)
    },
  },

  lateReplies: {
    name: 'a message overtakes a reply',
    settings: { maxStalenessMs: 5000 },
    async play(world) {
      await warm(world)
      world.read(world.b, true)
      await world.settle()
      await world.step(/B epochs.*executed/)
      const told = world.write(world.a, ALL)
      await world.step(/A raise.*executed/)
      await world.step(/A raise.*answered/)
      await told
      while (world.b.inbox.length > 0) world.b.hear()
      await world.step(/B epochs.*answered/)
      await world.flow(/handler/)
      await world.readNow(world.b)
    },
  },
} satisfies Record<string, Scenario>
