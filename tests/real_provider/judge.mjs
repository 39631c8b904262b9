// A second opinion: npm oauth4webapi, which reads access tokens by RFC 9068 as we do. JSON lines:
// first the issuer and the authority of its certificate, then one verdict for each token.
import * as https from 'node:https';
import * as readline from 'node:readline';
import * as oauth from 'oauth4webapi';

const input = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

const { issuer, ca, leeway } = JSON.parse((await input.next()).value);

function fetchJson(url) {
  return new Promise((resolve, reject) => {
    const request = https.get(url, { ca }, async (answer) => {
      const body = Buffer.concat(await answer.toArray());
      const headers = { 'content-type': answer.headers['content-type'] };
      resolve(new Response(body, { status: answer.statusCode, headers }));
    });
    request.on('error', reject);
  });
}

const options = { [oauth.customFetch]: fetchJson, [oauth.clockTolerance]: leeway };
const url = new URL(issuer);
const server = await oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, options));

say({ ready: true });
for await (const line of input) {
  const { token, audience } = JSON.parse(line);
  const headers = { authorization: `Bearer ${token}` };
  const request = new Request('https://orders.example.com/', { headers });
  try {
    await oauth.validateJwtAccessToken(server, request, audience, options);
    say({ accepted: true });
  } catch (error) {
    say({ accepted: false, reason: String(error.cause?.message ?? error.message) });
  }
}
process.exit();
