/* For `node --import`: so much garbage that V8 collects all of it, as applications with more code than these servers do when they start. */
const garbage = Array.from({ length: 300 }, (_, i) => new Array(20_000).fill(i))
setTimeout(() => {
  garbage.length = 0
}, 300)
