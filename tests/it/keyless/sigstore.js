// A local Fulcio and Rekor: the handlers of the npm package @sigstore/mock behind a plain server.
// usage: node sigstore.js FOLDER [CERTIFICATES-FROM]
// Writes FOLDER/trusted_root.json and FOLDER/trust_config.json (the Python client's form), then
// one line of JSON with the address.
//
// The real log brings what it is sent into one form before it writes it down; the mock does not,
// so that is done here.
const { createHash, generateKeyPairSync } = require('crypto');
const { writeFileSync } = require('fs');
const http = require('http');
const path = require('path');
const { fulcioHandler, initializeCA, initializeCTLog, initializeTLog, rekorHandler } = require(
  require.resolve('@sigstore/mock', { paths: [path.resolve(process.env.NODE_TOOLS)] }));

const [folder, certificatesFrom] = process.argv.slice(2);
const key = (namedCurve) => generateKeyPairSync('ec', { namedCurve });
const start = '2020-01-01T00:00:00.000Z';
const clock = certificatesFrom && new Date(certificatesFrom);

// A certificate's or key's PEM with the line ends and widths that the log writes.
function canonicalPem(text) {
  const [, label, body] = /-----BEGIN ([A-Z ]+)-----([\s\S]+)-----END/.exec(text);
  const lines = body.replace(/\s/g, '').match(/.{1,64}/g);
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}

function canonicalEntry(entry) {
  if (entry.kind !== 'hashedrekord') throw new Error(`no entry of kind ${entry.kind} is taken`);
  const { hash } = entry.spec.data;
  const { content, publicKey } = entry.spec.signature;
  const pem = canonicalPem(Buffer.from(publicKey.content, 'base64').toString());
  return {
    apiVersion: entry.apiVersion,
    kind: entry.kind,
    spec: {
      data: { hash: { algorithm: hash.algorithm, value: hash.value } },
      signature: { content, publicKey: { content: Buffer.from(pem).toString('base64') } },
    },
  };
}

function log(baseUrl, der) {
  return {
    baseUrl,
    hashAlgorithm: 'SHA2_256',
    publicKey: {
      rawBytes: der.toString('base64'),
      keyDetails: 'PKIX_ECDSA_P256_SHA_256',
      validFor: { start },
    },
    logId: { keyId: createHash('sha256').update(der).digest('base64') },
  };
}

async function main() {
  const server = http.createServer();
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  const url = `http://127.0.0.1:${server.address().port}`;
  const ctlog = await initializeCTLog(key('prime256v1'), clock);
  const ca = await initializeCA(key('secp384r1'), ctlog, clock);
  const tlog = await initializeTLog(url, key('prime256v1'));
  const handlers = new Map([fulcioHandler(ca), rekorHandler(tlog)].map((h) => [h.path, h.fn]));
  server.on('request', (request, response) => {
    let body = '';
    request.on('data', (part) => { body += part; });
    request.on('end', async () => {
      const handler = request.method === 'POST' && handlers.get(request.url);
      if (!handler) return response.writeHead(404).end();
      try {
        if (request.url.endsWith('/log/entries')) body = JSON.stringify(canonicalEntry(JSON.parse(body)));
        const answer = await handler(body);
        response.writeHead(answer.statusCode, { 'content-type': answer.contentType || 'text/plain' });
        response.end(answer.response);
      } catch (error) {
        response.writeHead(400).end(error.message);
      }
    });
  });
  const trustedRoot = {
    mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
    tlogs: [log(url, tlog.publicKey)],
    certificateAuthorities: [{
      subject: { organization: 'sigstore.mock', commonName: 'sigstore' },
      uri: url,
      certChain: { certificates: [{ rawBytes: ca.rootCertificate.toString('base64') }] },
      validFor: { start },
    }],
    ctlogs: [log(url, ctlog.publicKey)],
    timestampAuthorities: [],
  };
  const service = { url, majorApiVersion: 1, validFor: { start }, operator: 'here' };
  const trustConfig = {
    mediaType: 'application/vnd.dev.sigstore.clienttrustconfig.v0.1+json',
    trustedRoot,
    signingConfig: {
      mediaType: 'application/vnd.dev.sigstore.signingconfig.v0.2+json',
      caUrls: [service],
      oidcUrls: [],
      rekorTlogUrls: [service],
      rekorTlogConfig: { selector: 'ANY' },
      tsaUrls: [],
      tsaConfig: { selector: 'ANY' },
    },
  };
  writeFileSync(path.join(folder, 'trusted_root.json'), JSON.stringify(trustedRoot, null, 2));
  writeFileSync(path.join(folder, 'trust_config.json'), JSON.stringify(trustConfig, null, 2));
  console.log(JSON.stringify({ url }));
}

main();
