// A client of Keystead that shares no code with it: Node, and the .proto files as they are.
//
//   node client.js WHAT ORGANIZATION PROTO_FOLDER...
//
// Where the service is and who is calling comes from the environment, as `keystead dev env` prints it. What came of it is
// one JSON object on standard output; a key in clear is not in it.
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");
const grpc = require("@grpc/grpc-js");
const protoLoader = require("@grpc/proto-loader");

const [what, organization, ...folders] = process.argv.slice(2);
const parent = `organizations/${organization}`;
const files = ["organization", "main_key", "content_key"].map((noun) => `keystead/v1/${noun}_service.proto`);
const protos = protoLoader.loadSync([...files, "google/rpc/status.proto", "google/rpc/error_details.proto"], {
  includeDirs: folders,
  keepCase: true,
  longs: Number,
  enums: String,
  defaults: true,
});
const { keystead } = grpc.loadPackageDefinition(protos);
const read = (name) => fs.readFileSync(process.env[name]);

function stub(service, credentials) {
  const mine = credentials ?? grpc.credentials.createSsl(read("KEYSTEAD_CA"), read("KEYSTEAD_KEY"), read("KEYSTEAD_CERT"));
  return new keystead.v1[service](process.env.KEYSTEAD_ADDRESS, mine);
}

function call(client, method, request) {
  return new Promise((resolve, reject) => {
    const deadline = Date.now() + 30_000;
    client[method](request, { deadline }, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

// The google.rpc.ErrorInfo in a google.rpc.Status.
function errorInfo(status) {
  const packed = status.details.find((detail) => detail.type_url.endsWith("/google.rpc.ErrorInfo"));
  return protos["google.rpc.ErrorInfo"].deserialize(packed.value);
}

// What a refused call was told: the status travels whole in the trailing metadata.
async function refusal(promise) {
  const error = await promise.then(
    () => { throw new Error("the call was not refused"); },
    (error) => error,
  );
  const [details] = error.metadata.get("grpc-status-details-bin");
  const info = details && errorInfo(protos["google.rpc.Status"].deserialize(details));
  return { code: grpc.status[error.code], reason: info?.reason, domain: info?.domain };
}

// SHA-256 of AES-KW (RFC 3394) of 32 zero bytes under the key.
function fingerprint(key) {
  const wrap = crypto.createCipheriv("id-aes256-wrap", key, Buffer.alloc(8, 0xa6));
  return crypto.createHash("sha256").update(wrap.update(Buffer.alloc(32))).update(wrap.final()).digest();
}

const work = {
  async create() {
    const request = { organization_id: organization, organization: { display_name: "Knoten & Söhne" } };
    return call(stub("OrganizationService"), "CreateOrganization", request);
  },

  async bring() {
    const client = stub("MainKeyService");
    const wrappingKey = await call(client, "GetWrappingKey", { parent });
    const mainKey = crypto.randomBytes(32);
    const padding = { padding: crypto.constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" };
    const request = {
      parent,
      wrapping_key: wrappingKey.name,
      encrypted_key: crypto.publicEncrypt({ key: wrappingKey.public_key_pem, ...padding }, mainKey),
      activation: "NOW",
      expected_fingerprint: fingerprint(mainKey),
    };
    const answer = await call(client, "ImportMainKey", request);
    return {
      main_key: answer.main_key.name,
      state: answer.main_key.state,
      active_main_key: answer.active_main_key,
      is_the_key: answer.main_key.fingerprint.equals(fingerprint(mainKey)),
      again: await refusal(call(client, "ImportMainKey", request)),
    };
  },

  async use() {
    const client = stub("ContentKeyService");
    const kek = await call(client, "CreateKek", { parent });
    const context = { document: "Bericht", кто: "служба" };
    const { content_keys: made } = await call(client, "GenerateContentKeys", { kek: kek.name, count: 3, context });
    const items = made.map(({ wrapped, wrapped_crc32c }) => ({ wrapped, wrapped_crc32c, context }));
    items.push({ wrapped: made[0].wrapped, context: {} });
    items.push({ wrapped: made[0].wrapped, wrapped_crc32c: (made[0].wrapped_crc32c ^ 1) >>> 0, context });
    const { results } = await call(client, "UnwrapContentKeys", { parent, items });
    const damaged = results.pop();
    const refused = results.pop();
    return {
      kek: kek.name,
      main_key: kek.main_key,
      sizes: made.map(({ plaintext }) => plaintext.length),
      all_unwrapped: results.length === 3 && results.every((it, place) => it.plaintext.equals(made[place].plaintext)),
      all_confirmed: results.every((it, place) => it.plaintext_crc32c === made[place].plaintext_crc32c && it.verified_wrapped_crc32c),
      damaged: errorInfo(damaged.status).reason,
      without_context: { reason: errorInfo(refused.status).reason, plaintext: refused.plaintext.length },
    };
  },

  async stranger() {
    const tls = grpc.credentials.createSsl(read("KEYSTEAD_CA"));
    const credentials = { without_certificate: tls, without_tls: grpc.credentials.createInsecure() };
    const answers = Object.entries(credentials).map(async ([how, mine]) => {
      return [how, await refusal(call(stub("OrganizationService", mine), "GetOrganization", { name: parent }))];
    });
    return Object.fromEntries(await Promise.all(answers));
  },
};

work[what]().then((answer) => console.log(JSON.stringify(answer)));
