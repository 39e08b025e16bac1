// The maps that the page shows. A cell is one map with its state:
//
// `waiting`, `running`, `done`, `partial` (cancelled, with a map of the passes so far), `cancelled`
// (without one), `unavailable` (it cannot work here) or `failed`.

/** A cell before its response. */
export function waitingCell({ key, title, index }, request) {
  const { options, reason } = request;
  const status = reason ? "unavailable" : "waiting";
  return {
    key, title, index, options, status, note: reason, heatmap: null, target: null,
    response: null, progress: null,
  };
}

/** The cells with one of them changed. */
export function withCell(cells, key, patch) {
  return cells.map((cell) => (cell.key === key ? { ...cell, ...patch } : cell));
}

export const isFinal = ({ status }) => !["waiting", "running"].includes(status);

/** Whether two maps are the same but for rounding. */
function isSameMap(one, other) {
  if (one.signed !== other.signed || String(one.shape) !== String(other.shape)) return false;
  return one.data.every((row, y) => (
    row.every((value, x) => Math.abs(value - other.data[y][x]) < 1e-4)
  ));
}

/** Groups of finished cells, two or more each, whose maps are the same. */
export function sameMaps(cells) {
  const groups = [];
  for (const cell of cells) {
    if (cell.status !== "done" || cell.heatmap.empty) continue;
    const group = groups.find(([first]) => isSameMap(first.heatmap, cell.heatmap));
    if (group) group.push(cell);
    else groups.push([cell]);
  }
  return groups.filter((group) => group.length > 1);
}

/**
 * Groups of methods whose maps must be the same on a layer, as the API declares them in a layer's
 * `same_maps`, a list of lists of methods. Empty where it declares none.
 */
export function declaredSameMaps(layer) {
  return layer?.same_maps ?? [];
}
