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
