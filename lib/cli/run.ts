/*
 * From the command line to the exit code: 0 done, 1 not done, 2 wrong usage. Knows no process.
 */
import { OptionError } from '../errors.ts'
import { VERSION } from '../version.ts'
import { type Invocation, readArguments, UsageError } from './arguments.ts'
import { ConnectionError, messageOf, withoutSecrets } from './connection.ts'
import { doctor } from './doctor.ts'
import { help } from './help.ts'
import { inspect } from './inspect.ts'
import { invalidate } from './invalidate.ts'
import { type Output, printable } from './output.ts'
import { stats } from './stats.ts'
import { watch } from './watch.ts'

export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly output: Output
  /** Resolves when the user wants a command to end that would go on for ever. */
  readonly stopped: () => Promise<void>
}

/** Never rejects. */
export async function run(args: readonly string[], surroundings: Surroundings): Promise<number> {
  const { env, output } = surroundings
  let redisUrl = ''
  try {
    const invocation = readArguments(args, env)
    if (invocation.kind === 'run') redisUrl = invocation.settings.redisUrl
    return await perform(invocation, surroundings)
  } catch (error) {
    const isUsage = error instanceof UsageError || error instanceof OptionError
    const isOurs = isUsage || error instanceof ConnectionError
    const message = isOurs ? messageOf(error) : withoutSecrets(messageOf(error), redisUrl)
    output.err(`express-registry-cache: ${printable(message)}`)
    return isUsage ? 2 : 1
  }
}

async function perform(invocation: Invocation, { output, stopped }: Surroundings): Promise<number> {
  switch (invocation.kind) {
    case 'help':
      output.out(help(invocation.command))
      return 0
    case 'version':
      output.out(VERSION)
      return 0
    case 'run': {
      const { command, settings } = invocation
      if (command === 'invalidate') return await invalidate(settings, output)
      if (command === 'stats') return await stats(settings, output)
      if (command === 'inspect') return await inspect(settings, output)
      if (command === 'doctor') return await doctor(settings, output)
      return await watch(settings, output, stopped())
    }
  }
}
