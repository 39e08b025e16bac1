// An answer in numbers: terms and what they are, for the list under the picture.

import { className, duration, methodName, passText, percent } from "../lib/text.js";

/** The maps of an answer, which are one or one a class. */
export const mapsOf = (answer) => answer.maps ?? [{ target: answer.target, heatmap: answer.heatmap }];

export const totalMs = (answer) => Object.values(answer.timing_ms).reduce((sum, ms) => sum + ms, 0);

const named = (target) => (target.label == null ? String(target.index) : `${target.label} (${target.index})`);
const largest = ({ heatmap }) => (heatmap.empty ? "0, the map is empty" : heatmap.max.toPrecision(4));

/** What there is to know of an answer; `isCropped` says that the model saw only the picture's centre. */
export function factsOf(answer, isCropped) {
  const { image, passes, timing_ms: timing, contrast } = answer;
  const maps = mapsOf(answer);
  const [{ target, heatmap }] = maps;
  const [rows, columns] = heatmap.shape;
  const parts = Object.entries(timing).filter(([, ms]) => ms >= 0.5).map(([part, ms]) => `${part} ${duration(ms)}`);
  const ofEach = (text) => maps.map((map) => `${className(map.target)} ${text(map)}`).join("; ");
  const classes = maps.length === 1
    ? [["Class", named(target)], ["Probability", percent(target.probability)], ["Logit", target.logit?.toFixed(3)]]
    : [["Classes", maps.map((map) => named(map.target)).join("; ")], ["Probabilities", ofEach((map) => percent(map.target.probability))]];
  const facts = [
    ...classes,
    ["Rather than", contrast && className(contrast)],
    ["Shows", answer.negate && "what speaks against it"],
    ["Method", methodName(answer.method)],
    ["Convention", answer.convention],
    [answer.layer.includes(",") ? "Layers" : "Layer", answer.layer.replaceAll(",", ", ")],
    ["Map", `${columns} × ${rows}${heatmap.signed ? ", from −1 against to 1 for" : ""}`],
    maps.length === 1 ? ["Largest value", largest(maps[0])] : ["Largest values", ofEach(largest)],
    ["Picture", `${image.width} × ${image.height}${isCropped ? ", of which the model saw the centre" : ""}`],
    ["Passes", passText(passes)],
    ["Time", `${duration(totalMs(answer))} (${parts.join(", ")})`],
  ];
  return facts.filter(([, text]) => text);
}
