// A certified OAuth client (npm openid-client, and the jose and oauth4webapi that it is made of) against the gateway's own
// token service: discovery, both ways of authentication that need no certificate, introspection, revocation, and a
// resource server's check of the token (RFC 9068). Wishes come on standard input as JSON, results leave as JSON.
import * as client from 'openid-client';
import * as jose from 'jose';
import * as oauth from 'oauth4webapi';
import { readFileSync } from 'node:fs';

const { issuer, audience, secret, signed } = JSON.parse(readFileSync(0, 'utf8'));
const told = {};

async function configured(clientId, authentication) {
  const how = { algorithm: 'oauth2' }; // RFC 8414, not OpenID Connect Discovery
  return client.discovery(new URL(issuer), clientId, undefined, authentication, how);
}

const basic = await configured(secret.client_id, client.ClientSecretBasic(secret.client_secret));
const first = await client.clientCredentialsGrant(basic, { scope: 'chat', resource: audience });
told.basic = { expires_in: first.expires_in, scope: first.scope, token_type: first.token_type };

const server = basic.serverMetadata();
const keys = jose.createRemoteJWKSet(new URL(server.jwks_uri));
const verified = await jose.jwtVerify(first.access_token, keys, { issuer, audience, typ: 'at+jwt', algorithms: ['ES256'] });
told.claims = verified.payload;

const shown = new Request('https://resource.example/', { headers: { authorization: `Bearer ${first.access_token}` } });
told.resource_server = (await oauth.validateJwtAccessToken(server, shown, audience)).client_id;

told.before = await client.tokenIntrospection(basic, first.access_token);
await client.tokenRevocation(basic, first.access_token);
told.after = await client.tokenIntrospection(basic, first.access_token);

const key = { key: await jose.importJWK(signed.key, 'ES256'), kid: signed.key.kid };
const signing = await configured(signed.client_id, client.PrivateKeyJwt(key));
const second = await client.clientCredentialsGrant(signing);
told.signed = jose.decodeJwt(second.access_token).client_id;
told.token = second.access_token;

try {
  await client.clientCredentialsGrant(basic, { scope: 'admin' });
} catch (error) {
  told.refused = { status: error.status, error: error.error };
}
try {
  const wrong = await configured(secret.client_id, client.ClientSecretBasic('ocs_wrong'));
  await client.clientCredentialsGrant(wrong);
} catch (error) {
  told.wrong = { status: error.status, challenge: error.cause?.[0]?.scheme };
}
console.log(JSON.stringify(told));
