// A real OpenID Provider (npm oidc-provider) over TLS on a free port. It speaks JSON lines:
// one settings line in, one line with its issuer out, then one answer for each command.
// It stops when its standard input ends, so it never outlives the test that started it.
import * as https from 'node:https';
import { randomUUID } from 'node:crypto';
import * as readline from 'node:readline';
import * as jose from 'jose';
import Provider, { errors } from 'oidc-provider';

const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'ES512', 'EdDSA'];
const SCOPES = 'orders:read orders:write';
const REDIRECT_URI = 'https://web.example.com/callback';
const LIFETIME = 3600;

const clients = [
  {
    client_id: 'worker',
    client_secret: 'worker-secret',
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
  },
  {
    client_id: 'wallet',
    client_secret: 'wallet-secret',
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    dpop_bound_access_tokens: true,
  },
  // Says who it is by its certificate, to which its tokens are then bound (RFC 8705).
  {
    client_id: 'mtls-worker',
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    token_endpoint_auth_method: 'tls_client_auth',
    tls_client_auth_san_uri: 'spiffe://example.org/shop/worker',
    tls_client_certificate_bound_access_tokens: true,
  },
  {
    client_id: 'web',
    client_secret: 'web-secret',
    grant_types: ['authorization_code'],
    redirect_uris: [REDIRECT_URI],
    response_types: ['code'],
  },
];

// `https://orders.example.com/ES256` is the API `https://orders.example.com`, whose tokens are
// then signed with ES256; `/opaque` is the same API with tokens that are no JWT.
function resourceServer(resource) {
  const { origin, pathname } = new URL(resource);
  const format = pathname.slice(1);
  if (format !== 'opaque' && !ALGORITHMS.includes(format)) throw new errors.InvalidTarget();
  return {
    scope: SCOPES,
    audience: origin,
    accessTokenTTL: LIFETIME,
    ...(format === 'opaque'
      ? { accessTokenFormat: 'opaque' }
      : { accessTokenFormat: 'jwt', jwt: { sign: { alg: format } } }),
  };
}

function provider(issuer, keys) {
  return new Provider(issuer, {
    jwks: { keys },
    clients,
    scopes: ['openid', ...SCOPES.split(' ')],
    enabledJWA: { idTokenSigningAlgValues: ALGORITHMS },
    clientAuthMethods: ['client_secret_basic', 'tls_client_auth'],
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      dPoP: { enabled: true },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        tlsClientAuth: true,
        getCertificate: ({ socket }) => socket.getPeerX509Certificate(),
        certificateAuthorized: ({ socket }) => socket.authorized,
        certificateSubjectMatches: ({ socket }, property, expected) =>
          property === 'tls_client_auth_san_uri' &&
          socket.getPeerX509Certificate().subjectAltName?.split(', ').includes(`URI:${expected}`),
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        getResourceServerInfo: (_, resource) => resourceServer(resource),
      },
    },
    ttl: {
      AccessToken: LIFETIME,
      AuthorizationCode: 60,
      ClientCredentials: LIFETIME,
      Grant: LIFETIME,
      IdToken: LIFETIME,
    },
  });
}

async function generation(number) {
  return Promise.all(
    ALGORITHMS.map(async (alg) => {
      const { privateKey } = await jose.generateKeyPair(alg, { extractable: true });
      return { ...(await jose.exportJWK(privateKey)), kid: `${alg}-${number}`, alg, use: 'sig' };
    }),
  );
}

const input = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

const tls = JSON.parse((await input.next()).value);
let current;
const asked = { ...tls, requestCert: true, rejectUnauthorized: false };
const server = https.createServer(asked, (request, response) => current.callback()(request, response));
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const issuer = `https://localhost:${server.address().port}`;

let generations = 1;
let keys = await generation(generations);
current = provider(issuer, keys);

const commands = {
  // New keys sign; the old ones stay published.
  async rotate() {
    generations += 1;
    keys = [...(await generation(generations)), ...keys];
    current = provider(issuer, keys);
  },

  // Only the keys that sign are published.
  withdraw() {
    keys = keys.filter(({ kid }) => kid.endsWith(`-${generations}`));
    current = provider(issuer, keys);
  },

  // What the user's browser would bring back after log-in and consent.
  async authorize({ subject, resource }) {
    const grant = new current.Grant({ accountId: subject, clientId: 'web' });
    grant.addOIDCScope('openid');
    grant.addResourceScope(resource, SCOPES);
    const code = new current.AuthorizationCode({
      accountId: subject,
      client: await current.Client.find('web'),
      grantId: await grant.save(),
      redirectUri: REDIRECT_URI,
      resource,
      scope: `openid ${SCOPES}`,
      nonce: randomUUID(),
      authTime: Math.floor(Date.now() / 1000),
    });
    return { code: await code.save(), redirect_uri: REDIRECT_URI };
  },

  // Any payload under any header, signed with the provider's own key: what its API never issues.
  async sign({ key, header, payload }) {
    const jwk = keys.find(({ kid }) => kid === key);
    const jws = new jose.CompactSign(new TextEncoder().encode(payload)).setProtectedHeader(header);
    const crit = Object.fromEntries((header.crit ?? []).map((name) => [name, true]));
    return { token: await jws.sign(await jose.importJWK(jwk), { crit }) };
  },
};

say({ issuer });
for await (const line of input) {
  const { command, ...settings } = JSON.parse(line);
  try {
    say((await commands[command](settings)) ?? {});
  } catch (error) {
    say({ error: String(error.stack) });
  }
}
process.exit();
