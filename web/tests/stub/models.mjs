// The stub's models and the scores that they give to every image.

const LABELS = Array.from({ length: 1000 }, (_, index) => `thing number ${index}`);
Object.assign(LABELS, {
  281: "tabby", 282: "tiger cat", 283: "Persian cat", 285: "Egyptian cat", 287: "lynx",
  904: "window screen",
});

/** Class index, probability and logit, the most probable first. */
const SCORES = [
  [285, 0.712, 15.2], [281, 0.161, 13.71], [282, 0.094, 13.17], [287, 0.011, 11.02],
  [904, 0.0006, 8.1], [283, 0.0004, 7.7],
];

/** Every method of the server; on these layers the first three have the same map. */
export const METHODS = [
  "gradcam", "hirescam", "xgradcam", "gradcam++", "scorecam", "layercam", "gradcam-elementwise",
  "eigencam", "eigengradcam", "random", "ablationcam", "reciprocam", "smoothgradcam++", "groupcam",
];

const LAYERS = [["block3_conv3", 256, 56], ["block4_conv3", 512, 28], ["block5_conv3", 512, 14]];

const layers = LAYERS.map(([alias, channels, side]) => ({
  name: `functional_1/${alias}_1/Relu`, alias, tensor: `functional_1/${alias}_1/Relu:0`,
  shape: [channels, side, side], layout: "nchw", gradients: true, gradient: "exact",
  methods: METHODS, same_maps: [METHODS.slice(0, 3)],
}));
const available = { available: true };
const noGradient = {
  available: false, reason: "the operator LRN after block5_conv3 has no gradient here",
};

const vgg16 = {
  id: "vgg16", title: "VGG16", description: "A classic of 2014.", domain: "Everyday objects",
  status: "ready", file: "model.onnx", warnings: [],
  input: {
    name: "input_1", shape: [null, 3, 224, 224], size: [224, 224], layout: "nchw", color: "bgr",
    resize: "nearest", fit: "stretch", scale: 1, mean: [103.939, 116.779, 123.68], std: [1, 1, 1],
  },
  output: { name: "predictions", others: [], kind: "logits", classes: 1000 },
  labels: LABELS, layers, default_layer: "block5_conv3",
  methods: Object.fromEntries(METHODS.map((method) => [method, available])),
};
const WITHOUT_GRADIENT = ["scorecam", "eigencam", "random", "ablationcam", "reciprocam"];
const cropped = {
  ...vgg16, id: "cropped", title: null, description: null, domain: null, labels: [],
  input: { ...vgg16.input, fit: "crop", crop_ratio: 0.875 },
  layers: layers.map((layer) => ({
    ...layer, gradients: false, reason: noGradient.reason, methods: WITHOUT_GRADIENT,
    same_maps: [],
  })),
  methods: Object.fromEntries(METHODS.map((method) => (
    [method, WITHOUT_GRADIENT.includes(method) ? available : noGradient]
  ))),
};

export const MODELS = { vgg16, cropped };

export const SUMMARIES = [
  {
    id: "vgg16", title: "VGG16", description: "A classic of 2014.", domain: "Everyday objects",
    notice: "it knows nothing but everyday objects", ready: true, status: "ready",
  },
  {
    id: "cropped", title: null, description: null, domain: null, notice: null, ready: true,
    status: "ready",
  },
  {
    id: "broken", title: null, description: null, domain: null, notice: null, ready: false,
    status: "failed",
    error: "the file does not have the sha256 that model.toml names",
  },
];

/** The scores of the most probable classes. */
export function predictions(model) {
  return SCORES.map((scores) => labelled(model, scores));
}

/** The scores of one class. */
export function scoresOf(model, index) {
  const known = SCORES.find(([one]) => one === index);
  return labelled(model, known ?? [index, 0.00002, 1.5]);
}

function labelled(model, [index, probability, logit]) {
  return { index, label: model.labels[index] ?? null, probability, logit };
}
