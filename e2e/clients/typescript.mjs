// An AI agent on the official TypeScript SDK, known by its client id metadata
// document: typescript.mjs <MCP endpoint> <client id> <era>. It prints the
// address to sign in at to stderr and waits for the browser on a loopback port
// (RFC 8252 §7.3); then it lists the tools, calls one, and prints what it got.
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client'

const [endpoint, clientMetadataUrl, era] = process.argv.slice(2)

const listener = createServer().listen(0, '127.0.0.1')
await once(listener, 'listening')

// The SDK's memory of one user at one server. A program that signs in more
// than once keeps this on disk.
const provider = {
  clientMetadataUrl,
  redirectUrl: `http://127.0.0.1:${listener.address().port}/callback`,
  get clientMetadata() {
    return { client_name: 'not used with a document', redirect_uris: [this.redirectUrl] }
  },
  secret: randomUUID(),
  state() { return this.secret },
  clientInformation() { return this.client },
  saveClientInformation(client) { this.client = client },
  tokens() { return this.saved },
  saveTokens(tokens) { this.saved = tokens },
  saveCodeVerifier(verifier) { this.verifier = verifier },
  codeVerifier() { return this.verifier },
  saveDiscoveryState(found) { this.found = found },
  discoveryState() { return this.found },
  redirectToAuthorization(url) { console.error(url.href) },
}

const connect = async () => {
  const client = new Client({ name: 'typescript-agent', version: '1.0.0' }, {
    versionNegotiation: { mode: era === 'legacy' ? 'legacy' : { pin: era } },
  })
  const transport = new StreamableHTTPClientTransport(new URL(endpoint), { authProvider: provider })
  try {
    await client.connect(transport)
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error
    const [request, response] = await once(listener, 'request')
    const answer = new URL(request.url, provider.redirectUrl).searchParams
    response.end('Signed in. You can close this page.')
    if (answer.get('state') !== provider.secret) throw new Error('the response is not for this request')
    await transport.finishAuth(answer) // compares iss with the issuer it asked (RFC 9207)
    return connect()
  }
  return client
}

const client = await connect()
const { tools } = await client.listTools()
const result = await client.callTool({ name: 'fetch-stock-prices', arguments: {} })
console.log(JSON.stringify({ version: client.getNegotiatedProtocolVersion(), tools, result }))
await client.close()
listener.close()
listener.closeAllConnections()
