/*
 * Programs that tests need: found in PATH or, as root on Debian, installed. What is not there throws one line.
 */
import { spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'

export function inPath(name: string): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '')
  return folders.map((folder) => join(folder, name)).find(isExecutable)
}

export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/**
 * False where there is no apt-get, or no right to use it. Nothing of what is installed is started. Several processes that need
 * something take turns: apt waits for another's dpkg, but not for another's `update`.
 */
export function installFromDebian(packageName: string, problem: string): boolean {
  if (process.getuid?.() !== 0 || inPath('apt-get') === undefined) return false
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  for (const args of [['update'], ['install', '-y', '--no-install-recommends', packageName]]) {
    const all = ['-o', 'DPkg::Lock::Timeout=300', '-qq', ...args]
    const run = spawnSync('flock', [join(tmpdir(), 'registry-cache-apt.lock'), 'apt-get', ...all], {
      env,
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    if (run.status !== 0) fail(`${problem}, and apt-get ${args[0]} failed: ${String(run.stderr).trim().split('\n')[0]}`)
  }
  return true
}

export function fail(line: string): never {
  const error = new Error(line)
  // The line says it all; a stack would bury it.
  error.stack = line
  throw error
}
