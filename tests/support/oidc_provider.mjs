// A real OpenID provider for one test run: client credentials in, access tokens out. One resource server reads JWTs
// (RFC 9068), the other one asks about opaque ones (RFC 7662), which can also be revoked (RFC 7009).
// PORT and KIDS (comma separated; the first one signs) come from the environment; keys are new at each start.
import crypto from 'node:crypto';
import Provider from 'oidc-provider';

const audience = 'https://llm.example'; // RFC 8707: a resource is an absolute URI
const opaque = 'https://opaque.example';
const scope = 'chat embed';
const alg = process.env.ALG;
const make = {
  RS256: () => crypto.generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: () => crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' }),
};
const keys = process.env.KIDS.split(',').map((kid) => ({
  ...make[alg]().privateKey.export({ format: 'jwk' }), kid, alg, use: 'sig',
}));

const provider = new Provider(`http://127.0.0.1:${process.env.PORT}`, {
  jwks: { keys },
  scopes: scope.split(' '),
  clients: [{
    client_id: 'batch',
    client_secret: process.env.CLIENT_SECRET,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    id_token_signed_response_alg: alg,
    scope,
  }, {
    client_id: 'gateway', // asks about tokens and gets none
    client_secret: process.env.GATEWAY_SECRET,
    grant_types: [],
    redirect_uris: [],
    response_types: [],
    id_token_signed_response_alg: alg,
  }],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => audience,
      useGrantedResource: () => true,
      getResourceServerInfo: (_, resource) => (resource === opaque
        ? { scope, audience: opaque, accessTokenTTL: 60, accessTokenFormat: 'opaque' }
        : { scope, audience, accessTokenTTL: 60, accessTokenFormat: 'jwt', jwt: { sign: { alg } } }),
    },
  },
  extraTokenClaims: () => ({ tenant: 'globex', groups: ['ops'] }),
});
provider.listen(Number(process.env.PORT), '127.0.0.1');
