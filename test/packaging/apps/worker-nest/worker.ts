// As worker-js-esm, in a NestJS application on Express.
import 'reflect-metadata'
import type { AddressInfo } from 'node:net'
import { Controller, Get, type MiddlewareConsumer, Module, type NestModule, Post } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { createRegistryCache } from 'express-registry-cache'
import { Redis } from 'ioredis'

const { REDIS_URL = '', PREFIX = '' } = process.env
const redis = new Redis(REDIS_URL)
const cache = createRegistryCache({ redis, prefix: PREFIX, maxStaleness: 60 })
const tools = cache.middleware({ type: 'tools', ttl: 20 })
let runs = 0

@Controller('tools')
class ToolsController {
  @Get()
  async list(): Promise<object> {
    runs += 1
    return { names: await redis.lrange(`${PREFIX}names`, 0, -1) }
  }

  @Post()
  async add(): Promise<object> {
    await redis.rpush(`${PREFIX}names`, 'second')
    return {}
  }
}

@Controller('runs')
class RunsController {
  @Get()
  read(): object {
    return { runs }
  }
}

@Module({ controllers: [ToolsController, RunsController] })
class AppModule implements NestModule {
  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(tools, tools.invalidateOn('POST')).forRoutes(ToolsController)
  }
}

await cache.start()
const app = await NestFactory.create(AppModule, { logger: ['error'], abortOnError: false })
await app.listen(0, '127.0.0.1')
process.once('disconnect', async () => {
  await app.close()
  await cache.stop()
  await redis.quit()
})
process.send?.({ port: (app.getHttpServer().address() as AddressInfo).port })
