// A real OpenID provider for one test run: client credentials in, JWT access tokens (RFC 9068) out.
// PORT and KIDS (comma separated; the first one signs) come from the environment; keys are new at each start.
import crypto from 'node:crypto';
import Provider from 'oidc-provider';

const audience = 'https://llm.example'; // RFC 8707: a resource is an absolute URI
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
  }],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => audience,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope, audience, accessTokenTTL: 60, accessTokenFormat: 'jwt', jwt: { sign: { alg } },
      }),
    },
  },
  extraTokenClaims: () => ({ tenant: 'globex', groups: ['ops'] }),
});
provider.listen(Number(process.env.PORT), '127.0.0.1');
