// The part of a picture that the model receives: a thin frame around it, as the server draws it
// (`picture::frame`), and hatching over the rest where the map alone is shown.

import { OUTSIDE } from "./resize.js";

/** Smaller pictures get no frame: it would hide too much of them. */
const LEAST_SIDE_PX = 64;
/** A line is one pixel for every so many pixels of the shorter side. */
const PX_PER_LINE_PX = 400;
/** The level and the opacity of the inner line and of the outer one. */
const LINES = [[0, 0.5], [255, 0.85]];

/** The hatching: the width of a stripe, as a part of the longer side, and two greys. */
const STRIPES_PER_SIDE = 90;
const GREYS = [112, 132];

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

/**
 * Hatches what a map has no value for. In the map view the colour of 0 would claim that the model
 * looked there and found nothing.
 */
export function paintUnseen(out, map, width, height) {
  const stripePx = Math.max(2, Math.round(Math.max(width, height) / STRIPES_PER_SIDE));
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      if (map[at] !== OUTSIDE) continue;
      const grey = GREYS[Math.floor((x + y) / stripePx) % 2];
      out.fill(grey, at * 4, at * 4 + 3);
    }
  }
}
