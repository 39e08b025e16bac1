// Converts an OpenAPI document into a Postman collection: `convert.cjs openapi.yaml INTO.json`.

const { mkdirSync, writeFileSync } = require("node:fs");
const { dirname, resolve } = require("node:path");

const packages = resolve(__dirname, "../../../../../target/clients/node_modules");
const { convertV2 } = require(`${packages}/openapi-to-postmanv2`);

const [contract, into] = process.argv.slice(2);
// A tag is a folder, and an option is sent only if one ticks it, as one wants it in Postman.
const options = { folderStrategy: "Tags", enableOptionalParameters: false };
convertV2({ type: "file", data: contract }, options, (error, outcome) => {
  if (error || !outcome.result) throw error ?? new Error(outcome.reason);
  mkdirSync(dirname(into), { recursive: true });
  writeFileSync(into, JSON.stringify(outcome.output[0].data, null, 2));
});
