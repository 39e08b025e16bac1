// Runs an exported file with onnxruntime-web: FILE INPUT SIDE OUTPUT…. It writes the outputs as
// float32, one after another.

import { readFileSync } from "node:fs";
import * as ort from "onnxruntime-web";

const [file, input, side, ...names] = process.argv.slice(2);
const session = await ort.InferenceSession.create(readFileSync(file));
const values = new Float32Array(readFileSync(input).buffer.slice(0));
const x = new ort.Tensor("float32", values, [1, 3, Number(side), Number(side)]);
const outputs = await session.run({ input: x });
for (const name of names) process.stdout.write(Buffer.from(outputs[name].data.buffer));
