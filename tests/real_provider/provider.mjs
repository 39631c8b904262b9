// A real OpenID Provider (npm oidc-provider) over TLS on a free port. It speaks JSON lines:
// one settings line in, one line with its issuer out, then one answer for each command.
// It stops when its standard input ends, so it never outlives the test that started it.
import * as https from 'node:https';
import { randomBytes, randomUUID } from 'node:crypto';
import * as readline from 'node:readline';
import * as jose from 'jose';
import Provider, { errors } from 'oidc-provider';
import { handler as clientCredentials } from 'oidc-provider/lib/actions/grants/client_credentials.js';
import * as grantHelpers from 'oidc-provider/lib/helpers/grants.js';

const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'ES512', 'EdDSA'];
const SCOPES = 'orders:read orders:write';
const REDIRECT_URI = 'https://web.example.com/callback';
const LIFETIME = 3600;
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';

const clients = ({ clientKeys }) => [
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
  // These exchange tokens, each with a proof of its own of who it is.
  ...[
    {
      client_id: 'orders-jwt',
      token_endpoint_auth_method: 'private_key_jwt',
      jwks: clientKeys,
    },
    {
      client_id: 'orders-dpop',
      token_endpoint_auth_method: 'private_key_jwt',
      jwks: clientKeys,
      dpop_bound_access_tokens: true,
    },
    {
      client_id: 'orders-mtls',
      token_endpoint_auth_method: 'tls_client_auth',
      tls_client_auth_san_uri: 'spiffe://example.org/shop/worker',
      tls_client_certificate_bound_access_tokens: true,
    },
  ].map((client) => ({ ...client, grant_types: [EXCHANGE], redirect_uris: [], response_types: [] })),
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
  const made = new Provider(issuer, {
    jwks: { keys },
    clients: clients(settings),
    scopes: ['openid', ...SCOPES.split(' ')],
    enabledJWA: { idTokenSigningAlgValues: ALGORITHMS },
    clientAuthMethods: ['client_secret_basic', 'private_key_jwt', 'tls_client_auth'],
    extraTokenClaims: (ctx) => ctx.exchanged && { act: ctx.exchanged.act },
    formats: {
      customizers: {
        jwt(ctx, _, { payload }) {
          if (ctx?.exchanged) payload.sub = ctx.exchanged.sub;
        },
      },
    },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      dPoP: {
        enabled: true,
        nonceSecret: randomBytes(32),
        requireNonce: ({ oidc }) => oidc.client?.clientId === 'orders-dpop',
      },
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
  allowExchange(made, issuer, keys);
  return made;
}

// The provider has no grant for RFC 8693, so the meaning of this one is ours. Who the client is, what
// the token is bound to, what it is for and how it is signed: all that is the provider's own.
function allowExchange(made, issuer, keys) {
  const bound = ([name, helper]) => [name, helper.bind(undefined, made)];
  const helpers = Object.fromEntries(Object.entries(grantHelpers).map(bound));
  const publicKeys = keys.map(({ kty, crv, x, y, n, e, kid, alg }) => ({ kty, crv, x, y, n, e, kid, alg }));
  const local = jose.createLocalJWKSet({ keys: publicKeys });
  const exchange = async (ctx) => {
    const { subject_token: token, subject_token_type: type } = ctx.oidc.params;
    if (!token || type !== ACCESS_TOKEN) throw new errors.InvalidRequest('no access token to exchange');
    let subject;
    try {
      subject = (await jose.jwtVerify(token, local, { issuer, typ: 'at+jwt' })).payload;
    } catch {
      throw new errors.InvalidRequest('not a token of this provider');
    }
    const act = { sub: ctx.oidc.client.clientId, ...(subject.act && { act: subject.act }) };
    ctx.exchanged = { sub: subject.sub, act };
    await clientCredentials(made, helpers, ctx);
    ctx.body.issued_token_type = ACCESS_TOKEN;
  };
  const parameters = ['subject_token', 'subject_token_type', 'requested_token_type', 'resource', 'scope'];
  made.registerGrantType(EXCHANGE, exchange, parameters);
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

const settings = JSON.parse((await input.next()).value);
let current;
const asked = { ...settings.tls, requestCert: true, rejectUnauthorized: false };
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
