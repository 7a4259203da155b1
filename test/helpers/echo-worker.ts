/* The smallest worker there is; the tests of forkWorker run it. */
import { serve } from './worker.ts'

const handlers = {
  pid: (): number => process.pid,
  add: (a: number, b: number): number => a + b,
  environment: (name: string): string | null => process.env[name] ?? null,
  fail: async (code: string): Promise<never> => {
    throw Object.assign(new TypeError('as you wish'), { code })
  },
  hang: (): Promise<never> => new Promise<never>(() => {}),
  /** Keeps the event loop busy with a timer, as a worker that forgot to stop something would. */
  linger: (): void => void setInterval(() => {}, 1_000),
}

export type EchoHandlers = typeof handlers

serve(handlers)
