/**
 * /metrics: the cache's figures and those of Node. With several workers a scrape reaches any one of them, and the next one
 * another, so that counters would seem to jump: the worker asks the primary for the sum of all (prom-client's AggregatorRegistry).
 */
import cluster, { type Worker } from 'node:cluster'
import { randomUUID } from 'node:crypto'
import type { RegistryCache } from 'express-registry-cache'
import { registerCacheMetrics } from 'express-registry-cache/prometheus'
import { AggregatorRegistry, collectDefaultMetrics, Registry } from 'prom-client'
import { oneLine } from './errors.ts'

interface Message {
  gateway: 'metrics'
  id: string
  text?: string
  error?: string
}
const isOurs = (message: unknown): message is Message =>
  typeof message === 'object' && message !== null && 'gateway' in message && message.gateway === 'metrics'

/** Of this process, or of all workers where it is one of several. */
export function metricsOf(cache: RegistryCache): () => Promise<string> {
  const register = new Registry()
  collectDefaultMetrics({ register })
  registerCacheMetrics(cache, register)
  if (!cluster.isWorker) return () => register.metrics()

  AggregatorRegistry.setRegistries([register])
  // Making one is what makes this worker answer the primary.
  new AggregatorRegistry()
  const waiting = new Map<string, (answer: Message) => void>()
  process.on('message', (message) => {
    if (isOurs(message)) waiting.get(message.id)?.(message)
  })
  return async () => {
    const id = randomUUID()
    const answer = await new Promise<Message>((resolve) => {
      waiting.set(id, resolve)
      process.send?.({ gateway: 'metrics', id } satisfies Message)
    }).finally(() => waiting.delete(id))
    if (answer.text === undefined) throw new Error(`the primary has no metrics: ${answer.error}`)
    return answer.text
  }
}

/** In the primary: answers workers that were asked for metrics. prom-client gives a worker that is silent five seconds. */
export function answerMetrics(): void {
  const aggregator = new AggregatorRegistry()
  cluster.on('message', (worker: Worker, message: unknown) => {
    if (!isOurs(message)) return
    const { id } = message
    const answer = (text: { text: string } | { error: string }) => {
      if (worker.isConnected()) worker.send({ gateway: 'metrics', id, ...text } satisfies Message)
    }
    aggregator.clusterMetrics().then(
      (text) => answer({ text }),
      (error) => answer({ error: oneLine(error) }),
    )
  })
}
