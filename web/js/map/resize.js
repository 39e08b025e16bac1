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

/** Whether the model receives less than the whole of an image. */
export function isCropped({ width, height }, input) {
  const visible = visibleRect(width, height, input);
  return visible.width < width - 1 || visible.height < height - 1;
}

/** The two nearest cells of a position, and their weights. */
function linearTaps(position, cells) {
  const at = Math.min(cells - 1, Math.max(0, position));
  const first = Math.floor(at);
  const weight = at - first;
  return [[first, 1 - weight], [Math.min(cells - 1, first + 1), weight]];
}

/** The four nearest cells and their weights: `picture::resize::smooth`, where the reason stands. */
function cubicTaps(position, cells) {
  const before = Math.floor(position);
  const t = position - before;
  const weights = [
    -0.5 * t ** 3 + t ** 2 - 0.5 * t,
    1.5 * t ** 3 - 2.5 * t ** 2 + 1,
    -1.5 * t ** 3 + 2 * t ** 2 + 0.5 * t,
    0.5 * t ** 3 - 0.5 * t ** 2,
  ];
  const cell = (offset) => Math.min(cells - 1, Math.max(0, before + offset));
  return weights.map((weight, tap) => [cell(tap - 1), weight]);
}

/** Interpolation along one axis: for each pixel its taps; null outside the visible part. */
function axisTaps(pixels, cells, { start, length }, taps) {
  return Array.from({ length: pixels }, (_, pixel) => {
    const relative = (pixel + 0.5 - start) / length;
    return relative < 0 || relative > 1 ? null : taps(relative * cells - 0.5, cells);
  });
}

const weigh = (taps, value) => taps.reduce((sum, [at, weight]) => sum + weight * value(at), 0);

/**
 * Resizes a heatmap to `[height, width]` levels with half-pixel centres: bilinear, or cubic if
 * `isSmooth`. `rect` is the image's visible part.
 */
export function resizeMap(heatmap, width, height, rect, isSmooth = false) {
  const { shape: [rows, columns], data, signed = false } = heatmap;
  const [zero, minimum] = signed ? [LEVELS, -1] : [0, 0];
  const out = new Uint16Array(width * height).fill(OUTSIDE);
  const taps = isSmooth ? cubicTaps : linearTaps;
  const across = axisTaps(width, columns, { start: rect.x, length: rect.width }, taps);
  const down = axisTaps(height, rows, { start: rect.y, length: rect.height }, taps);
  const wide = data.map((row) => (
    Float64Array.from(across, (tap) => (tap ? weigh(tap, (at) => row[at]) : 0))
  ));
  down.forEach((tap, y) => {
    if (!tap) return;
    const lines = tap.map(([at, weight]) => [wide[at], weight]);
    for (let x = 0; x < width; x++) {
      if (!across[x]) continue;
      let value = 0;
      for (const [line, weight] of lines) value += weight * line[x];
      out[y * width + x] = zero + Math.round(LEVELS * Math.min(1, Math.max(minimum, value)));
    }
  });
  return out;
}
