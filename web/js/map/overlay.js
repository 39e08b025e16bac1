// The maths of a picture: colours, enlarging a map, laying it over the image.
// It follows the server's, so that what is seen here is what a download shows.

// Each table at every fifth of its 256 places, as RGB in hex; what lies between is interpolated.
const SAMPLES = {
  turbo:
    "30123b36215f3b2f803f3e9c424bb54559cb4666dd4773eb4680f6458cfd4099ff38a5fb2fb2f4" +
    "27bee91fc9dd1ad4d018ddc21ae4b622ebaa2ff19b3ff68a52fa7a65fd6979fe598bff4b9cfe40" +
    "a9fb39b7f735c3f134d0ea34dbe236e5d938eecf3af5c53afaba39fdae35fea130fe932afc8423" +
    "f9751df46617ef5811e84b0ce14109d83706ce2d04c32503b71d02a916019b0f018b09027a0403",
  viridis:
    "44015446085c471063481769481d6f482475472a7a46307e453781433d844142873f48893d4e8a" +
    "3a538b38598c355e8d33638d31688e2e6d8e2c718e2a768e297b8e27808e25848e23898e218e8d" +
    "20928c1f978b1e9c891fa18821a58524aa8328ae802eb37c35b7793dbc7446c06f50c46a5ac864" +
    "65cb5e70cf577cd25089d54895d840a2da37b0dd2fbddf26cae11fd8e219e5e419f1e51dfde725",
  inferno:
    "00000402020c0504170a072210092d160b391e0c45260c512f0a5b380962400a67490b6a510e6c" +
    "59106e61136e69166e71196e781c6d801f6c88226a902568982766a02a63a82e5fb0315bb73557" +
    "bf3952c63d4dcc4248d34743d94d3ddf5337e45a31e9612bed6925f1711ff47918f78212f98b0b" +
    "fa9407fb9d07fca60cfcb014fbba1ffac42af8cd37f6d746f4e156f2ea69f2f27df5f992fcffa4",
  magma:
    "00000402020b0504160907200e0b2b140e361a104221114e29115a311165390f6e420f754a1079" +
    "52137c5a167e6219806a1c81721f81792282812581892881912b81992d80a1307eaa337db2357b" +
    "ba3878c23b75ca3e72d2426fd9466be04c67e75263ec5860f1605df4695cf7725cf97b5dfb8560" +
    "fc8e64fd9869fea16efeaa74feb47bfebd82fec68afecf92fed89afde2a3fdebacfcf4b6fcfdbf",
  plasma:
    "0d08871b068d2605912f059638049a41049d4903a05102a35901a56100a76900a87100a87801a8" +
    "8004a88707a68e0ca49511a19c179ea21d9aa82296ae2892b42e8dba3388bf3984c43e7fc9447a" +
    "cd4a76d24f71d6556dda5b69de6164e26660e66c5ce97257ed7953f07f4ff3854bf58c46f79342" +
    "f99a3efba139fca835fdaf31feb72dfebe2afdc627fcce25fbd724f8df25f6e826f3f027f0f921",
  cividis:
    "00224e002656002a5f002d68003070083370163770203a6f273e6e2e416d34456c3a486c3f4c6c" +
    "444f6c49536c4e566c535a6d575d6d5c616e60646f656870696b716d6f727272747676767a7a78" +
    "7e7d788381798885788d8878928c789690779b9476a09875a59c74aaa073afa471b5a86fbaac6d" +
    "bfb06bc4b468c9b965cfbd62d4c15fdac65bdfca57e5cf52ead34cf0d846f6dd3ffce236fee838",
  coolwarm:
    "3a4cc04054c7465dcf4c66d6526edc5876e25f7ee76586ec6c8ef17395f47a9df880a4fa87aafc" +
    "8eb1fd95b7fe9cbcfea3c1feaac6fdb0cbfbb7cff9bdd2f6c3d5f2c9d7eecfd9ead5dbe5dadcdf" +
    "dfdbd9e4d8d1e8d5caecd1c3efcdbbf2c8b3f4c3abf6bda4f6b79cf7b194f6aa8cf6a384f49b7c" +
    "f29375f08b6dec8266e9795ee57057e06650db5c4ad65243cf463dc93b37c22d31bb1a2bb30326",
  rdbu:
    "0530610a3a6f0f457e154f8d1a5a9b2064aa276db02d76b4347fb93b88bd4191c24f9ac75ea4cc" +
    "6eaed17db8d78dc2dc9ac9e0a7cfe4b3d5e7bfdcebcce2eed5e7f0dceaf2e4eef3ebf1f4f3f5f6" +
    "f7f4f2f8eee8f9e9dffbe3d6fcdeccfcd6c1faccb4f8c1a6f7b799f5ac8bf2a07eec9374e6856a" +
    "e0785fda6a55d45d4bcd4f45c6403ebf3237b82431b0172aa11228930e2684092375042167001f",
};

/** For maps from 0 to 1, and for maps from −1 to 1, whose 0 is the pale middle. */
export const COLORMAPS = {
  sequential: ["jet", "turbo", "viridis", "inferno", "magma", "plasma", "cividis", "gray"],
  diverging: ["coolwarm", "rdbu"],
};

function jet(i) {
  // OpenCV's table: halves go to the even neighbour, and one entry breaks the rule.
  const level = (value) => {
    const inside = Math.min(255, Math.max(0, value));
    const down = Math.floor(inside);
    return inside - down === 0.5 ? down + (down % 2) : Math.round(inside);
  };
  return [
    level(Math.min(4 * i - 382.5, 1147.5 - 4 * i)),
    level(Math.min(4 * i - 127.5, 892.5 - 4 * i)),
    i === 159 ? 1 : level(Math.min(4 * i + 127.5, 637.5 - 4 * i)),
  ];
}

function sampled(hex, i) {
  const at = Math.min(50, Math.floor(i / 5));
  const part = (i - at * 5) / 5;
  return [0, 2, 4].map((channel) => {
    const from = parseInt(hex.slice(at * 6 + channel, at * 6 + channel + 2), 16);
    const to = parseInt(hex.slice(at * 6 + 6 + channel, at * 6 + 8 + channel), 16);
    return Math.round(from + (to - from) * part);
  });
}

const tables = new Map();

/** A colormap's 256 colours as one array of bytes, RGB after RGB. */
export function colors(name) {
  if (!tables.has(name)) {
    const color = name === "gray" ? (i) => [i, i, i] : name === "jet" ? jet : (i) => sampled(SAMPLES[name], i);
    tables.set(name, Uint8Array.from({ length: 768 }, (_, k) => color(Math.floor(k / 3))[k % 3]));
  }
  return tables.get(name);
}

// A map is kept as whole steps, fine enough that quantising it never shows. A signed map goes
// from 0 (all against) over STEPS (neither) to twice STEPS (all for).
const STEPS = 4095;
export const UNSEEN = 0xffff;
const MIDDLE = 128;
const REACH = 127;

export const valueOf = (step, signed = false) => (signed ? step - STEPS : step) / STEPS;
// In single precision, as the server's: there the largest value comes out as 1.
const sigmoid = (value) => Math.fround(1 / (1 + Math.exp(-50 * (value - 0.5))));

/** What one step shows: the colour's place in its table, after the sigmoid if it is wanted. */
function places(emphasize, signed) {
  return Uint8Array.from({ length: (signed ? 2 : 1) * STEPS + 1 }, (_, step) => {
    const value = valueOf(step, signed);
    const raised = emphasize ? Math.sign(value || 1) * sigmoid(Math.abs(value)) : value;
    return Math.trunc(signed ? MIDDLE + REACH * raised : 255 * raised);
  });
}
const PLACES = { unit: [places(false, false), places(true, false)], signed: [places(false, true), places(true, true)] };

/**
 * The part of a picture that the model gets to see, in the picture's pixels:
 * all of it, or the centre when the model's input is cropped.
 */
export function seenRegion(width, height, input) {
  if (input?.fit !== "crop") return { x: 0, y: 0, width, height };
  const [rows, columns] = input.size;
  const scale = Math.max(rows / height, columns / width) / (input.crop_ratio ?? 1);
  const seen = { width: Math.min(width, columns / scale), height: Math.min(height, rows / scale) };
  return { x: (width - seen.width) / 2, y: (height - seen.height) / 2, ...seen };
}

/** For one axis: the two cells around each pixel, and how far it is from the first to the second. */
function axis(pixels, cells, start, length) {
  const taps = [];
  for (let pixel = 0; pixel < pixels; pixel++) {
    const inside = (pixel + 0.5 - start) / length;
    if (inside < 0 || inside > 1) {
      taps.push(null);
      continue;
    }
    const at = Math.min(cells - 1, Math.max(0, inside * cells - 0.5));
    const first = Math.floor(at);
    taps.push({ first, second: Math.min(cells - 1, first + 1), part: at - first });
  }
  return taps;
}

/** A small map enlarged to `width` × `height`, bilinear with half-pixel centres, as steps. */
export function enlarge({ shape: [rows, columns], data, signed = false }, width, height, region) {
  const [zero, least] = signed ? [STEPS, -1] : [0, 0];
  const out = new Uint16Array(width * height).fill(UNSEEN);
  const across = axis(width, columns, region.x, region.width);
  axis(height, rows, region.y, region.height).forEach((down, y) => {
    if (!down) return;
    const upper = data[down.first];
    const lower = data[down.second];
    across.forEach((tap, x) => {
      if (!tap) return;
      const top = upper[tap.first] + (upper[tap.second] - upper[tap.first]) * tap.part;
      const bottom = lower[tap.first] + (lower[tap.second] - lower[tap.first]) * tap.part;
      const value = top + (bottom - top) * down.part;
      out[y * width + x] = zero + Math.round(STEPS * Math.min(1, Math.max(least, value)));
    });
  });
  return out;
}

/**
 * For each place of the table its colour times its share, and what is kept of the image.
 * Of a signed map 0 says nothing, so there the image stays as it is.
 */
function shares({ view, colormap, blend, weight }, signed) {
  const table = colors(colormap);
  const heat = new Float64Array(768);
  const keep = new Float64Array(256);
  for (let place = 0; place < 256; place++) {
    const strength = signed ? Math.min(1, Math.abs(place - MIDDLE) / REACH) : 1;
    const share = view === "map" ? 1 : weight * strength;
    keep[place] = view === "map" ? 0 : blend === "mix" ? 1 - share : 1;
    for (let c = place * 3; c < place * 3 + 3; c++) heat[c] = share * table[c];
  }
  return { heat, keep };
}

/** Lays the map over the image; all arrays are RGBA bytes but `map`. */
export function lay(out, image, map, looks, signed = false) {
  if (!map || looks.view === "original") {
    out.set(image);
    return;
  }
  const place = PLACES[signed ? "signed" : "unit"][looks.emphasize ? 1 : 0];
  const { heat, keep } = shares(looks, signed);
  // As on the server: a sum is rounded down, a mean to the nearest.
  const half = looks.view === "overlay" && looks.blend === "mix" ? 0.5 : 0;
  for (let i = 0, p = 0; i < map.length; i++, p += 4) {
    if (map[i] === UNSEEN) {
      for (let c = 0; c < 3; c++) out[p + c] = image[p + c] * 0.35 + 60;
    } else {
      const at = place[map[i]];
      // The sum may pass 255: the array clamps it.
      for (let c = 0; c < 3; c++) out[p + c] = Math.floor(heat[at * 3 + c] + keep[at] * image[p + c] + half);
    }
    out[p + 3] = 255;
  }
}
