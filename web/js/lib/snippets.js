// The request that the page shows, as code to copy: curl, Python, JavaScript.

import { curlFile, pathWithQuery, shellWord } from "./curl.js";

/** The environment variable that holds the key where the service asks for one. */
const KEY_VARIABLE = "CAMLENS_API_KEY";

const quoted = (value) => JSON.stringify(value);

/** Options as the entries of a Python dictionary or a JavaScript object. */
function entries(options, indent) {
  return Object.entries(options)
    .map(([name, value]) => `${indent}${quoted(name)}: ${quoted(String(value))},\n`)
    .join("");
}

function curl({ origin, path, options, fileName, output, needsKey }) {
  const parts = [`curl -fsS '${origin}${pathWithQuery(path, options)}'`];
  if (needsKey) parts.push(`-H "authorization: Bearer $${KEY_VARIABLE}"`);
  parts.push(`-F ${curlFile(fileName)}`, `-o ${shellWord(output)}`);
  return parts.join(" \\\n  ");
}

function python({ origin, path, options, fileName, output, needsKey }) {
  const headers = needsKey
    ? `        headers={"authorization": f"Bearer {os.environ['${KEY_VARIABLE}']}"},\n`
    : "";
  const hasOptions = Object.keys(options).length > 0;
  const data = hasOptions ? `        data={\n${entries(options, "            ")}        },\n` : "";
  return `${needsKey ? "import os\n\n" : ""}import requests

with open(${quoted(fileName)}, "rb") as image:
    response = requests.post(
        ${quoted(origin + path)},
${headers}        files={"image": image},
${data}    )
response.raise_for_status()
with open(${quoted(output)}, "wb") as picture:
    picture.write(response.content)
`;
}

function javascript({ origin, path, options, fileName, output, needsKey }) {
  const headers = needsKey
    ? `  headers: { authorization: \`Bearer \${process.env.${KEY_VARIABLE}}\` },\n`
    : "";
  const hasOptions = Object.keys(options).length > 0;
  const loop = hasOptions
    ? `const options = {\n${entries(options, "  ")}};\n`
      + "for (const [name, value] of Object.entries(options)) form.append(name, value);\n"
    : "";
  return `import { openAsBlob } from "node:fs";
import { writeFile } from "node:fs/promises";

const form = new FormData();
form.append("image", await openAsBlob(${quoted(fileName)}), ${quoted(fileName)});
${loop}const response = await fetch(${quoted(origin + path)}, {
  method: "POST",
${headers}  body: form,
});
if (!response.ok) throw new Error(await response.text());
await writeFile(${quoted(output)}, new Uint8Array(await response.arrayBuffer()));
`;
}

/** Language → its title and the function that writes a request in it. */
export const LANGUAGES = {
  curl: { title: "curl", write: curl },
  python: { title: "Python", write: python },
  javascript: { title: "JavaScript", write: javascript },
};
