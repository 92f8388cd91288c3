// The suite's origin server, on a loopback port that the system chooses; says on its first line where.
//
//   node origin.mjs PACKAGE
//
// The package's own `server/server.mjs` serves every interface and writes a file: its handlers are used without it.
import http from 'node:http'
import { pathToFileURL } from 'node:url'

const [root] = process.argv.slice(2)
const handler = async (name) => (await import(pathToFileURL(`${root}/server/handle-${name}.mjs`))).default
const handlers = { config: await handler('config'), state: await handler('state'), test: await handler('test') }

const server = http.createServer((request, response) => {
  const [what, ...rest] = request.url.split('?')[0].split('/').slice(1)
  const handle = handlers[what]
  if (handle) return handle(rest, request, response)
  response.writeHead(404).end()
})
// A connection closed while a request is on its way would be a failure that no test has asked for.
server.keepAliveTimeout = 0
server.listen(0, '127.0.0.1', () => console.log(`listening on ${server.address().address}:${server.address().port}`))
