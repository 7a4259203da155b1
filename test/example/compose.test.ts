/* No Docker engine runs here: what compose and the build would read is read, and compared with what is there. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'
import { load } from 'js-yaml'
import { readConfig } from '../../examples/express-gateway/config.ts'

const folder = fileURLToPath(new URL('../../examples/express-gateway/', import.meta.url))
const root = join(folder, '../..')

interface Service {
  image?: string
  build?: { context: string; dockerfile: string }
  environment?: Record<string, string>
  ports?: string[]
  volumes?: string[]
  depends_on?: Record<string, { condition: string }>
  healthcheck?: { test: string[] }
}

/** As compose does it: `${NAME:-default}`, and `${NAME:?error}` for what has to be given. */
function interpolate(text: string, env: Record<string, string>): string {
  return text.replace(/\$\{(\w+):([-?])([^}]*)\}/g, (_all, name: string, kind: string, rest: string) => {
    const value = env[name]
    if (value !== undefined) return value
    if (kind === '?') throw new Error(`${name}: ${rest}`)
    return rest
  })
}

const text = readFileSync(join(folder, 'docker-compose.yml'), 'utf8')
const parse = (env: Record<string, string>) =>
  load(interpolate(text, env)) as { services: Record<string, Service>; volumes: Record<string, unknown> }

describe("the example's docker-compose.yml", () => {
  const { services, volumes } = parse({ ADMIN_TOKEN: 'token-of-the-tests' })
  const gateway = services.gateway ?? {}

  it('has the gateway, Redis and PostgreSQL, and names that compose knows', () => {
    expect(Object.keys(services)).to.have.members(['gateway', 'redis', 'postgres'])
    const known = [
      'build',
      'command',
      'depends_on',
      'environment',
      'healthcheck',
      'image',
      'init',
      'ports',
      'restart',
      'stop_grace_period',
      'volumes',
    ]
    for (const [name, service] of Object.entries(services)) {
      expect(known, name).to.include.members(Object.keys(service))
      expect([service.image, service.build].filter(Boolean), name).to.have.length(1)
    }
  })

  it('gives the gateway an environment that it takes, with all of its variables spelt right', () => {
    const config = readConfig({ ...gateway.environment, HOST: '0.0.0.0' })
    expect(config).to.include({ WORKERS: 2, redisUrl: 'redis://redis:6379', openWrites: false })
    const documented = readFileSync(join(folder, 'README.md'), 'utf8')
    for (const name of Object.keys(gateway.environment ?? {})) expect(documented, name).to.contain(`\`${name}\``)
  })

  it('refuses to start without an admin token, rather than with one that all know', () => {
    expect(() => parse({})).to.throw('ADMIN_TOKEN')
  })

  it('connects to the services by their names, with the user and database that they make', () => {
    const { hostname, username, password, pathname } = new URL(gateway.environment?.DATABASE_URL ?? '')
    const { POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB } = services[hostname]?.environment ?? {}
    expect([username, password, pathname]).to.deep.equal([POSTGRES_USER, POSTGRES_PASSWORD, `/${POSTGRES_DB}`])
    expect(services).to.have.property(new URL(gateway.environment?.REDIS_URL ?? '').hostname)
    const changed = parse({ ADMIN_TOKEN: 'x', POSTGRES_PASSWORD: 'other' }).services
    expect(changed.gateway?.environment?.DATABASE_URL).to.contain(':other@')
    expect(changed.postgres?.environment?.POSTGRES_PASSWORD).to.equal('other')
  })

  it('waits only for services that can be healthy, and declares the volumes that it mounts', () => {
    for (const [name, { condition }] of Object.entries(gateway.depends_on ?? {})) {
      expect(condition).to.equal('service_healthy')
      expect(services[name]?.healthcheck?.test[0], name).to.equal('CMD')
    }
    const mounted = Object.values(services).flatMap((service) => service.volumes ?? [])
    expect(mounted.map((volume) => volume.split(':')[0])).to.deep.equal(Object.keys(volumes))
  })

  it('is reachable from this machine alone, and its databases from nowhere', () => {
    expect(gateway.ports).to.deep.equal(['127.0.0.1:3000:3000'])
    expect([services.redis?.ports, services.postgres?.ports]).to.deep.equal([undefined, undefined])
  })

  it('builds from files that are there, and runs what `npm start` runs', () => {
    const { context = '', dockerfile = '' } = gateway.build ?? {}
    expect(join(folder, context, dockerfile)).to.equal(join(root, dockerfile))
    const lines = readFileSync(join(root, dockerfile), 'utf8').replaceAll('\\\n', ' ').split('\n')
    const stages = lines.filter((line) => line.startsWith('FROM ')).map((line) => line.split(' AS ')[1])
    for (const line of lines.filter((line) => line.startsWith('COPY '))) {
      const from = /--from=(\S+) /.exec(line)?.[1]
      if (from === undefined) continue
      expect(stages, line).to.include(from)
      const source = /\/app\/(\S+) /.exec(line)?.[1] ?? ''
      // These two are made by the build.
      if (!['node_modules', 'dist'].includes(source)) expect(existsSync(join(root, source)), source).to.equal(true)
    }
    const { scripts } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { scripts: { start: string } }
    const command = lines.find((line) => line.startsWith('CMD '))?.slice(4) ?? ''
    expect((JSON.parse(command) as string[]).join(' ')).to.equal(scripts.start)
    expect(lines).to.include('USER node')
  })

  it('keeps out of the image what is not needed to build it', () => {
    const ignored = readFileSync(join(folder, 'Dockerfile.dockerignore'), 'utf8').trim().split('\n')
    expect(ignored).to.include.members(['.git', '**/node_modules', '**/dist'])
    for (const needed of ['lib', 'scripts', 'examples', 'package.json', 'package-lock.json']) {
      expect(ignored).to.not.include(needed)
    }
  })
})
