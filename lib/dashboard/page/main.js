/*
 * START HERE: the stream fills the model, and what changed is drawn once a frame. A browser gives a tab in the background no
 * frames, so there nothing is drawn, and what comes in meanwhile only replaces what is known: no work piles up.
 */
import { useToken } from './api.js'
import { Charts } from './charts.js'
import { byId, show } from './dom.js'
import { Entries } from './entries.js'
import { Explain } from './explain.js'
import { Feed } from './feed.js'
import { Workers } from './fleet.js'
import { Invalidate } from './invalidate.js'
import { Live } from './live.js'
import { Model } from './model.js'
import { renderOverview } from './overview.js'
import { renderRedis } from './redis.js'
import { Types } from './types.js'
import { renderWhy } from './why.js'

const model = new Model()
const charts = new Charts(model)
const feed = new Feed(model)
const workers = new Workers(model)
const explain = new Explain()
const invalidate = new Invalidate(model)
const types = new Types(model, (type) => invalidate.open(type))
const entries = new Entries(model, (url) => explain.askAbout(url))

let isDrawing = false

function draw() {
  if (isDrawing) return
  isDrawing = true
  requestAnimationFrame(() => {
    isDrawing = false
    renderOverview(model)
    charts.render()
    types.render()
    feed.render()
    renderRedis(model)
    workers.render()
    entries.render()
    explain.render(model)
    renderWhy(model)
    const mayAct = model.snapshot?.may.invalidate === true
    show(byId('invalidate-open', HTMLButtonElement), mayAct)
    show(byId('read-only', HTMLElement), model.snapshot !== undefined && !mayAct)
  })
}

new Live({
  onSnapshot(snapshot) {
    useToken(snapshot.token)
    model.takeSnapshot(snapshot)
    entries.outdated()
    draw()
  },
  onTick(tick) {
    model.takeTick(tick)
    draw()
  },
  onInvalidation(invalidation) {
    model.takeInvalidation(invalidation)
    entries.outdated()
    draw()
  },
  onState(state, reason = '') {
    model.state = state
    model.reason = reason
    draw()
  },
}).open()
