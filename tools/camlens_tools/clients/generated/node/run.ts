// What a program does with the client: prints what each call returns, as one JSON object. The
// members have the types of the client, so that `tsc` checks the names that are used here.

import { readFileSync } from "node:fs";

import {
  Configuration, ExplainApi, ModelsApi, ResponseError,
  CompareOutput, Method, Output,
  ComparisonToJSON, ExplanationToJSON, ExplanationsToJSON, ModelListToJSON, ModelToJSON,
  PredictResponseToJSON, ProblemFromJSON, ProblemToJSON,
  instanceOfExplanation, instanceOfExplanations,
  type Explanation, type Explanations, type Problem,
} from "./client";

const [url, model, picture, methodName, target, methods, wrongClass] = process.argv.slice(2);

const configuration = new Configuration({ basePath: url });
const explainApi = new ExplainApi(configuration);
const modelsApi = new ModelsApi(configuration);
const image = new Blob([readFileSync(picture)], { type: "image/png" });
const method = Object.values(Method).find((name) => name === methodName);
const options = { image, model, method, target };

async function explanation(): Promise<Explanation> {
  const found = await explainApi.explain({ ...options, output: Output.Json });
  if (!instanceOfExplanation(found)) throw new Error("not an Explanation");
  return found;
}

async function explanations(): Promise<Explanations> {
  const found = await explainApi.explain({ image, target: "281,285", output: Output.Json });
  if (!instanceOfExplanations(found)) throw new Error("not Explanations");
  return found;
}

async function overlay(): Promise<string> {
  const { raw } = await explainApi.explainRaw({ ...options, output: Output.Overlay });
  if (raw.headers.get("camlens-target") !== target) throw new Error("another target");
  return Buffer.from(await raw.arrayBuffer()).toString("base64");
}

async function problem(): Promise<Problem> {
  try {
    await explainApi.explain({ image, target: wrongClass, output: Output.Json });
  } catch (error) {
    if (!(error instanceof ResponseError)) throw error;
    const found = ProblemFromJSON(await error.response.json());
    if (found.option !== "target") throw new Error(`the option is ${found.option}`);
    return found;
  }
  throw new Error("a wrong class was explained");
}

async function main() {
  const compared = await explainApi.compare({ image, methods, output: CompareOutput.Json });
  return {
    models: ModelListToJSON(await modelsApi.listModels()),
    model: ModelToJSON(await modelsApi.getModel({ id: model })),
    prediction: PredictResponseToJSON(await explainApi.predict({ image, topK: 3 })),
    explanation: ExplanationToJSON(await explanation()),
    explanations: ExplanationsToJSON(await explanations()),
    overlay: await overlay(),
    comparison: ComparisonToJSON(compared),
    problem: ProblemToJSON(await problem()),
  };
}

main().then((found) => console.log(JSON.stringify(found)));
