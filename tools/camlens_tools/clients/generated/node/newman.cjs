// Sends requests of a Postman collection with newman, as a person would who fills in the values:
// `newman.cjs COLLECTION URL MODEL PICTURE REQUESTS`, where REQUESTS has `{key: [name, options]}`.
// Prints the bodies of the responses in base64, by key.

const { readFileSync } = require("node:fs");

const newman = require("newman");

const [file, url, model, picture, wanted] = process.argv.slice(2);
const collection = JSON.parse(readFileSync(file, "utf8"));

const requestsOf = (items) => (
  items.flatMap((one) => (one.item ? requestsOf(one.item) : [one]))
);
const all = requestsOf(collection.item);

/** A request of the collection with some options ticked, and with the picture. */
function filled(key, [name, options]) {
  const found = all.find((one) => one.name === name);
  if (!found) throw new Error(`the collection has no request "${name}"`);
  const item = structuredClone(found);
  const { request } = item;
  for (const [option, value] of Object.entries(options)) {
    const parameter = request.url.query.find((one) => one.key === option);
    if (!parameter) throw new Error(`"${name}" has no option "${option}"`);
    Object.assign(parameter, { value, disabled: false });
  }
  for (const variable of request.url.variable ?? []) variable.value = model;
  for (const field of request.body?.formdata ?? []) {
    if (field.type !== "file") throw new Error(`"${name}" has the field "${field.key}"`);
    field.src = picture;
  }
  return { ...item, name: key };
}

const item = Object.entries(JSON.parse(wanted)).map(([key, request]) => filled(key, request));
const variable = [{ key: "baseUrl", value: url }];
newman.run({ collection: { ...collection, item, variable } }, (error, summary) => {
  if (error) throw error;
  const bodies = summary.run.executions.map(({ item: { name }, response, requestError }) => {
    if (requestError) throw requestError;
    return [name, response.stream.toString("base64")];
  });
  console.log(JSON.stringify(Object.fromEntries(bodies)));
});
