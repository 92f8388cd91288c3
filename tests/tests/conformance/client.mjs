// Runs the suite's tests against the cache at BASE and writes to FILE, as JSON, what each is and what came of it: its `suite`,
// `id`, `kind`, `depends_on`, and the suite's own `result` (true, or the kind of failure and its message).
//
//   node client.mjs PACKAGE BASE FILE          all of them
//   node client.mjs PACKAGE BASE FILE ID…      these only, and every message that they exchange on standard output
import fs from 'node:fs'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const [root, base, file, ...only] = process.argv.slice(2)
const load = (path) => import(pathToFileURL(`${root}/${path}`))
const fetch = createRequire(`${root}/package.json`)('node-fetch')

// The suite starts many tests at a time. A cache may let a write touch more than its target, and many do: so that no
// test's outcome depends on its neighbours, a write has the cache for itself. Others go side by side, as in a browser.
const safe = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE'])
let reading = []
let writing = Promise.resolve()

async function alone (send) {
  const before = [writing, ...reading]
  reading = []
  const sent = Promise.allSettled(before).then(send)
  writing = sent.catch(() => {})
  return sent
}

async function together (send) {
  const sent = writing.then(send)
  const one = sent.catch(() => {}).finally(() => { reading = reading.filter((other) => other !== one) })
  reading.push(one)
  return sent
}

async function ask (url, init = {}) {
  const whole = async () => {
    const response = await fetch(url, init)
    const text = await response.text()
    response.text = async () => text
    return response
  }
  return safe.has(init.method ?? 'GET') ? together(whole) : alone(whole)
}

const { runTests, getResults } = await load('client/runner.mjs')
const suites = [...(await load('tests/index.mjs')).default, (await load('tests/surrogate-control.mjs')).default]
if (only.length > 0) {
  for (const suite of suites) {
    suite.tests = suite.tests.filter((test) => only.includes(test.id))
    suite.tests.forEach((test) => { test.dump = true })
  }
}
// Half as many at a time as the suite's own command line: answers that are fresh for two seconds must be asked for again
// within them, on a busy machine too.
await runTests(suites, ask, false, base, 50)
const results = getResults()
const told = suites.flatMap((suite) => suite.tests.map(({ id, kind = 'required', depends_on: dependsOn = [] }) =>
  ({ suite: suite.id, id, kind, depends_on: dependsOn, result: results[id] })))
fs.writeFileSync(file, JSON.stringify(told.filter((test) => test.result !== undefined)))
