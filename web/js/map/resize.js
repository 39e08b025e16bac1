// Enlarges a map to the size of the displayed image, as the server does for its pictures.
//
// The result holds quantised levels instead of floats, so that repainting is one table look-up a
// pixel. 4095 levels are fine enough for the quantisation never to show.

/** The level of 1. A signed map uses 0 for −1, `LEVELS` for 0 and twice `LEVELS` for 1. */
export const LEVELS = 4095;
/** Marks a pixel outside the part of the image that the model receives. */
export const OUTSIDE = 0xffff;

export const levelValue = (level, signed = false) => (signed ? level - LEVELS : level) / LEVELS;

/**
 * The part of an image that the model receives, in pixels of the image: all of it, or the centre
 * where preprocessing crops.
 */
export function visibleRect(width, height, input) {
  if (input?.fit !== "crop") return { x: 0, y: 0, width, height };
  const [rows, columns] = input.size;
  const scale = Math.max(rows / height, columns / width) / (input.crop_ratio ?? 1);
  const visible = {
    width: Math.min(width, columns / scale),
    height: Math.min(height, rows / scale),
  };
  return { x: (width - visible.width) / 2, y: (height - visible.height) / 2, ...visible };
}

/**
 * Interpolation along one axis: for each pixel the two nearest cells and the weight of the second;
 * null outside the visible part.
 */
function axisTaps(pixels, cells, start, length) {
  const taps = [];
  for (let pixel = 0; pixel < pixels; pixel++) {
    const relative = (pixel + 0.5 - start) / length;
    if (relative < 0 || relative > 1) {
      taps.push(null);
      continue;
    }
    const at = Math.min(cells - 1, Math.max(0, relative * cells - 0.5));
    const first = Math.floor(at);
    taps.push({ first, second: Math.min(cells - 1, first + 1), weight: at - first });
  }
  return taps;
}

const mix = (first, second, weight) => first + (second - first) * weight;

/**
 * Resizes a heatmap to `[height, width]` levels: bilinear interpolation with half-pixel centres.
 * `rect` is the image's visible part.
 */
export function resizeMap({ shape: [rows, columns], data, signed = false }, width, height, rect) {
  const [zero, minimum] = signed ? [LEVELS, -1] : [0, 0];
  const out = new Uint16Array(width * height).fill(OUTSIDE);
  const across = axisTaps(width, columns, rect.x, rect.width);
  axisTaps(height, rows, rect.y, rect.height).forEach((down, y) => {
    if (!down) return;
    const upper = data[down.first];
    const lower = data[down.second];
    across.forEach((tap, x) => {
      if (!tap) return;
      const top = mix(upper[tap.first], upper[tap.second], tap.weight);
      const bottom = mix(lower[tap.first], lower[tap.second], tap.weight);
      const value = mix(top, bottom, down.weight);
      out[y * width + x] = zero + Math.round(LEVELS * Math.min(1, Math.max(minimum, value)));
    });
  });
  return out;
}
