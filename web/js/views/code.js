// Download of the server's picture, and the code that requests the same.

import { apiKey } from "../state/session.js";
import { postForBlob } from "../lib/api.js";
import { copyFrom, renderSegments, save } from "../lib/dom.js";
import { LANGUAGES } from "../lib/snippets.js";
import { isFinal } from "../state/cells.js";
import { pictureRequest } from "../state/picture-request.js";

export function codeView({ store, ui, explainer }) {
  let language = "curl";
  const render = (state) => {
    const { file, model, cells, run, problem, settings, shown } = state;
    ui.exportCard.hidden = !file || !model || cells.length === 0;
    if (ui.exportCard.hidden) return;
    const request = pictureRequest(state);
    const fileName = file.name || "picture.png";
    ui.code.textContent = LANGUAGES[language].write({
      ...request, origin: location.origin, fileName, output: outputName(fileName, request.name),
      needsKey: apiKey() !== "",
    });
    const isUnfinished = cells.some((cell) => !isFinal(cell) || cell.status === "partial"
      || cell.status === "cancelled");
    // After a failure the maps are those of the settings before.
    const isOlder = Boolean(problem) && shown !== settings;
    ui.download.disabled = isUnfinished || isOlder || Boolean(run);
    // The code gives the picture in any case, so that its note stays.
    const obstacle = isOlder ? "There is no map of these settings; the message at the top says why."
      : isUnfinished && !run ? "The download is the complete map; run it to the end first." : "";
    ui.exportNote.textContent = [obstacle, request.note].filter(Boolean).join(" ");
    renderSegments(ui.languages, "language", Object.entries(LANGUAGES).map(([value, { title }]) => (
      { value, text: title }
    )), language, (value) => {
      language = value;
      render(store.state);
    });
  };
  store.watch([
    "file", "image", "model", "cells", "settings", "display", "run", "predictions",
    "problem", "shown",
  ], render);
  ui.copy.addEventListener("click", () => copyFrom(ui.code, ui.copy));
  ui.download.addEventListener("click", () => {
    const { file } = store.state;
    const { path, options, name } = pictureRequest(store.state);
    explainer.run("Rendering the picture on the server", 0, async (signal) => {
      const output = path === "/v1/compare" ? { output: "figure" } : {};
      const blob = await postForBlob(path, file, { ...options, ...output }, signal);
      const fileName = outputName(file.name || "picture.png", name);
      save(blob, fileName);
      ui.status.textContent = `Saved as ${fileName}.`;
    });
  });
}

const outputName = (fileName, name) => `${fileName.replace(/\.[^.]*$/, "")}-${name}.png`;
