// Paints a map over an image. The formulas and their rounding are the server's
// (`picture::overlay`), so the page shows what a download contains.

import { colorTable } from "./colors.js";
import { LEVELS, OUTSIDE, levelValue } from "./resize.js";

/** The entry of a diverging table that stands for 0, and how many entries lie on each side. */
const MIDDLE = 128;
const REACH = 127;

// In single precision, as on the server: there the sigmoid of the largest value rounds to 1.
const sigmoid = (value) => Math.fround(1 / (1 + Math.exp(-50 * (value - 0.5))));

/** The entry of the colour table for each level, after the sigmoid where `emphasize` is set. */
function tableIndices(emphasize, signed) {
  return Uint8Array.from({ length: (signed ? 2 : 1) * LEVELS + 1 }, (_, level) => {
    const value = levelValue(level, signed);
    const shown = emphasize ? Math.sign(value || 1) * sigmoid(Math.abs(value)) : value;
    return Math.trunc(signed ? MIDDLE + REACH * shown : 255 * shown);
  });
}

const INDICES = {
  unsigned: { plain: tableIndices(false, false), emphasized: tableIndices(true, false) },
  signed: { plain: tableIndices(false, true), emphasized: tableIndices(true, true) },
};

/**
 * For each entry of the colour table: its colour times its weight, and the weight of the image.
 * Where a signed map is 0 the image stays as it is.
 */
function blendWeights({ view, colormap, blend, weight }, signed) {
  const table = colorTable(colormap);
  const heat = new Float64Array(768);
  const image = new Float64Array(256);
  for (let entry = 0; entry < 256; entry++) {
    const strength = signed ? Math.min(1, Math.abs(entry - MIDDLE) / REACH) : 1;
    const share = view === "map" ? 1 : weight * strength;
    image[entry] = view === "map" ? 0 : blend === "mix" ? 1 - share : 1;
    for (let c = entry * 3; c < entry * 3 + 3; c++) heat[c] = share * table[c];
  }
  return { heat, image };
}

/**
 * Paints a map over an image. `out` and `image` are RGBA bytes, clamped on assignment; `map` holds
 * levels of `resizeMap`, or is null to paint the image alone.
 */
export function paintOverlay(out, image, map, style, signed = false) {
  if (!map || style.view === "original") {
    out.set(image);
    return;
  }
  const indices = INDICES[signed ? "signed" : "unsigned"][style.emphasize ? "emphasized" : "plain"];
  const weights = blendWeights(style, signed);
  // As on the server: `add` rounds down, `mix` to the nearest.
  const half = style.view !== "map" && style.blend === "mix" ? 0.5 : 0;
  for (let i = 0, p = 0; i < map.length; i++, p += 4) {
    // A tint there would claim that the model looked and found nothing.
    if (map[i] === OUTSIDE) {
      for (let c = 0; c < 3; c++) out[p + c] = image[p + c];
    } else {
      const entry = indices[map[i]];
      for (let c = 0; c < 3; c++) {
        const color = weights.heat[entry * 3 + c] + weights.image[entry] * image[p + c];
        out[p + c] = Math.floor(color + half);
      }
    }
    out[p + 3] = 255;
  }
}
