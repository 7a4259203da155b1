/*
 * The clock that users of the package test with is the one of its own tests.
 */
export { createFakeClock, type FakeClock, type FakeTimer, settle } from '../../lib/testing/fake-clock.ts'
