// What the store holds, and its first values.

/** The colours of one kind of map, as the server's defaults are. */
export const DEFAULT_COLORS = {
  unsigned: { colormap: "jet", blend: "mix", weight: 0.5 },
  signed: { colormap: "coolwarm", blend: "mix", weight: 0.8 },
};

/** The options of a request, and which requests to make. Empty values are the defaults. */
export const DEFAULT_SETTINGS = {
  /** `none`, `methods` or `layers`; several targets are a comparison of classes. */
  compare: "none",
  method: "gradcam++",
  /** The methods of a comparison of methods. */
  methods: [],
  /** The layers of a map, fused if there are several; empty for the model's default. */
  layers: [],
  /** The layers of a comparison of layers. */
  comparedLayers: [],
  /** Class indices; empty for the predicted class. */
  targets: [],
  convention: "paper",
  score: "",
  /** The index of a class, as text; empty for none. */
  contrast: "",
  negate: false,
  signed: false,
  maxChannels: "",
  /** Score-CAM's passes, for an estimate; null for all of them. */
  budget: null,
};

/** How maps look. A change repaints them and needs no request. */
export const DEFAULT_DISPLAY = {
  /** `overlay`, `wipe`, `side`, `map` or `original`. */
  view: "overlay",
  /** Where the wipe changes from the picture to the overlay, 0..1. */
  split: 0.5,
  emphasize: false,
  unsigned: DEFAULT_COLORS.unsigned,
  signed: DEFAULT_COLORS.signed,
};

export const INITIAL_STATE = {
  /** The response of `GET /v1/models`, or null before it. */
  models: null,
  /** Says why there is no model yet, or what is wrong with the address. */
  modelNote: "",
  /** The selected model, as `GET /v1/models/{id}` describes it. */
  model: null,
  samples: [],
  /** Whether the service asks for an API key, and whether it refused the last one. */
  key: { needed: false, refused: false },
  /** The picture: its file, and its pixels once the browser or the server has decoded it. */
  file: null,
  image: null,
  /** The sample that the picture is, or null. */
  sample: null,
  /** How many pictures were chosen in this tab; one that a reload brings back does not count. */
  arrivals: 0,
  settings: DEFAULT_SETTINGS,
  display: DEFAULT_DISPLAY,
  /** The most probable classes of this picture, the most probable first. */
  predictions: [],
  /** Class index → its label, probability and logit for this picture. */
  scores: new Map(),
  /** The maps to show (`state/cells.js`). */
  cells: [],
  /** The settings that the cells belong to, or null. */
  shown: null,
  /** What is running, or null: label, startedAt, expectedMs, progress. */
  run: null,
  /** A `Problem` to show, or null. */
  problem: null,
};
