// Reads responses of `POST /v1/explain`.

/** The maps of a response: one, or one per class. */
export function mapsOf(response) {
  return response.maps ?? [{ target: response.target, heatmap: response.heatmap }];
}

/** How long the server worked, in milliseconds. */
export function totalMs({ timing_ms: timing }) {
  return Object.values(timing).reduce((sum, ms) => sum + ms, 0);
}
