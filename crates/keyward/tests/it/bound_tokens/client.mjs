// A certified client of OAuth (oauth4webapi) that holds a key or a certificate, and calls an API with a token that is
// bound to it. It says what its key is, is told its token on standard input, and says what came of each call.
import * as https from 'node:https'
import { readFileSync } from 'node:fs'
import * as readline from 'node:readline'
import * as oauth from 'oauth4webapi'

const [mode, url, ...rest] = process.argv.slice(2)
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const say = (value) => console.log(JSON.stringify(value))
const told = async () => (await lines.next()).value

// fetch of Node takes no client certificate, so that the request is made by its older sibling.
const overTls = (identity) => (target, { method, headers, body }) =>
  new Promise((resolve, reject) => {
    const address = new URL(target)
    const options = { ...identity, method, headers: Object.fromEntries(new Headers(headers)), servername: 'api.example' }
    const request = https.request(address, options, (answer) => {
      const parts = []
      answer.on('data', (part) => parts.push(part))
      answer.on('end', () => {
        const fields = new Headers()
        for (let at = 0; at < answer.rawHeaders.length; at += 2) {
          fields.append(answer.rawHeaders[at], answer.rawHeaders[at + 1])
        }
        resolve(new Response(Buffer.concat(parts), { status: answer.statusCode, headers: fields }))
      })
    })
    request.on('error', reject)
    request.end(body ?? undefined)
  })

const client = { client_id: 'app' }
const options = { [oauth.allowInsecureRequests]: true }

if (mode === 'dpop') {
  const pair = await oauth.generateKeyPair(rest[0], { extractable: true })
  options.DPoP = oauth.DPoP(client, pair)
  say({ jkt: await options.DPoP.calculateThumbprint() })
} else {
  const [root, certificate, key] = rest
  const identity = { ca: readFileSync(root), cert: readFileSync(certificate), key: readFileSync(key) }
  options[oauth.customFetch] = overTls(identity)
  say({})
}

for (let token = await told(); token; token = await told()) {
  let nonces = 0
  for (;;) {
    try {
      const answer = await oauth.protectedResourceRequest(token, 'GET', new URL(url), new Headers(), undefined, options)
      say({ status: answer.status, nonces, body: await answer.text() })
      break
    } catch (error) {
      if (oauth.isDPoPNonceError(error) && nonces === 0) {
        nonces += 1
        continue
      }
      if (!(error instanceof oauth.WWWAuthenticateChallengeError)) throw error
      const challenges = error.cause.map(({ scheme, parameters }) => ({ scheme, ...parameters }))
      say({ status: error.status, nonces, challenges })
      break
    }
  }
}
