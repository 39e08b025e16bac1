// A thin frame around the part of a picture that the model receives, as the server draws it
// (`picture::frame`).

import { OUTSIDE } from "./resize.js";

/** Smaller pictures get no frame: it would hide too much of them. */
const LEAST_SIDE_PX = 64;
/** A line is one pixel for every so many pixels of the shorter side. */
const PX_PER_LINE_PX = 400;
/** The level and the opacity of the inner line and of the outer one. */
const LINES = [[0, 0.5], [255, 0.85]];

/** The rectangle of a map's values, `{ left, top, right, bottom }`; the ends are exclusive. */
export function seenRect(map, width) {
  const isInside = (level) => level !== OUTSIDE;
  const first = map.findIndex(isInside);
  const last = map.findLastIndex(isInside);
  return {
    left: first % width, top: Math.floor(first / width),
    right: (last % width) + 1, bottom: Math.floor(last / width) + 1,
  };
}

/** Draws the frame into RGBA bytes, just outside of the rectangle. */
export function paintFrame(out, width, height, { left, top, right, bottom }) {
  const shorter = Math.min(width, height);
  if (shorter < LEAST_SIDE_PX) return;
  if (left === 0 && top === 0 && right === width && bottom === height) return;
  const linePx = Math.max(1, Math.floor(shorter / PX_PER_LINE_PX));
  const reach = linePx * LINES.length;
  const beyond = (at, start, end) => Math.max(start - at, at + 1 - end, 0);
  for (let y = Math.max(0, top - reach); y < Math.min(height, bottom + reach); y++) {
    for (let x = Math.max(0, left - reach); x < Math.min(width, right + reach); x++) {
      const distance = Math.max(beyond(x, left, right), beyond(y, top, bottom));
      const line = LINES[Math.floor((distance - 1) / linePx)];
      if (!line) continue;
      const [level, opacity] = line;
      const at = (y * width + x) * 4;
      for (let c = at; c < at + 3; c++) {
        out[c] = Math.round(out[c] * (1 - opacity) + level * opacity);
      }
    }
  }
}
