// What the page knows: the image, the model, the selection, and the scores received so far.

import { mapsOf } from "./lib/response.js";

export class PageState {
  /** The uploaded file. */
  file = null;
  /** The decoded image, or null while only the server can decode the file. */
  image = null;
  defaultModel = "";
  /** The selected model, as `GET /v1/models/{id}` describes it. */
  model = null;
  method = "gradcam++";
  /** Selected class indices; empty for the predicted class. */
  targets = [];
  /** The most probable classes of this image, the most probable first. */
  predictions = [];
  /** Class index → its label, probability and logit for this image. */
  scores = new Map();
  /** The response that the page displays, or null. */
  response = null;

  /** The indices of the classes whose maps are shown. */
  get shownClasses() {
    if (this.targets.length > 0) return this.targets;
    return this.predictions.slice(0, 1).map(({ index }) => index);
  }

  /** Selects classes. The predicted class alone is the same as no selection. */
  setTargets(indices) {
    const isPredicted = indices.length === 1 && indices[0] === this.predictions[0]?.index;
    this.targets = isPredicted ? [] : indices;
  }

  /** Records the scores in a response. */
  addScores(response) {
    const { predictions } = response;
    if (predictions.length > 0) this.predictions = predictions;
    for (const one of [...predictions, ...mapsOf(response).map(({ target }) => target)]) {
      this.scores.set(one.index, one);
    }
  }

  clearScores() {
    this.predictions = [];
    this.scores.clear();
  }

  /** Whether the model supports a method and, if not, why. */
  methodSupport(method) {
    const missing = { available: false, reason: "This server does not have this method." };
    return this.model.methods[method] ?? missing;
  }
}
