// Generated from the server's table of methods by a test; do not edit. To update:
// UPDATE_EXPECT=1 cargo test method_table

/** What the server's code says about each method, by its name. */
export const SPECS = {
  "gradcam++": {
    title: "Grad-CAM++", needs: "gradient", score: "logit",
    conventions: ["paper", "article", "pytorch-grad-cam"],
    classDiscriminative: true, weightsAreScores: false, signed: false,
    parameters: [],
  },
  "gradcam": {
    title: "Grad-CAM", needs: "gradient", score: "logit",
    conventions: ["paper", "article", "pytorch-grad-cam"],
    classDiscriminative: true, weightsAreScores: false, signed: true,
    parameters: [],
  },
  "scorecam": {
    title: "Score-CAM", needs: "masked", score: "probability",
    conventions: ["paper", "article", "pytorch-grad-cam"],
    classDiscriminative: true, weightsAreScores: true, signed: true,
    parameters: ["max_channels", "budget", "tolerance"],
  },
  "layercam": {
    title: "LayerCAM", needs: "gradient", score: "logit",
    conventions: ["paper", "pytorch-grad-cam"],
    classDiscriminative: true, weightsAreScores: false, signed: false,
    parameters: [],
  },
  "hirescam": {
    title: "HiResCAM", needs: "gradient", score: "logit",
    conventions: ["paper", "pytorch-grad-cam"],
    classDiscriminative: true, weightsAreScores: false, signed: true,
    parameters: [],
  },
  "xgradcam": {
    title: "XGrad-CAM", needs: "gradient", score: "logit",
    conventions: ["paper", "pytorch-grad-cam"],
    classDiscriminative: true, weightsAreScores: false, signed: true,
    parameters: [],
  },
  "gradcam-elementwise": {
    title: "Element-wise Grad-CAM", needs: "gradient", score: "logit",
    conventions: ["paper", "pytorch-grad-cam"],
    classDiscriminative: true, weightsAreScores: false, signed: false,
    parameters: [],
  },
  "eigencam": {
    title: "Eigen-CAM", needs: "activation", score: "logit",
    conventions: ["paper", "pytorch-grad-cam"],
    classDiscriminative: false, weightsAreScores: false, signed: false,
    parameters: [],
  },
  "eigengradcam": {
    title: "Eigen-Grad-CAM", needs: "gradient", score: "logit",
    conventions: ["paper", "pytorch-grad-cam"],
    classDiscriminative: true, weightsAreScores: false, signed: false,
    parameters: [],
  },
  "random": {
    title: "Random weights", needs: "activation", score: "logit",
    conventions: ["paper", "pytorch-grad-cam"],
    classDiscriminative: false, weightsAreScores: false, signed: false,
    parameters: ["seed"],
  },
  "ablationcam": {
    title: "Ablation-CAM", needs: "tail", score: "logit",
    conventions: ["paper", "pytorch-grad-cam"],
    classDiscriminative: true, weightsAreScores: false, signed: true,
    parameters: [],
  },
  "reciprocam": {
    title: "Recipro-CAM", needs: "tail", score: "probability",
    conventions: ["paper", "openvino-xai"],
    classDiscriminative: true, weightsAreScores: true, signed: false,
    parameters: [],
  },
  "smoothgradcam++": {
    title: "Smooth Grad-CAM++", needs: "gradient", score: "logit",
    conventions: ["paper", "torch-cam"],
    classDiscriminative: true, weightsAreScores: false, signed: false,
    parameters: ["seed", "samples", "noise"],
  },
  "groupcam": {
    title: "Group-CAM", needs: "gradient", score: "logit",
    conventions: ["paper"],
    classDiscriminative: true, weightsAreScores: false, signed: false,
    parameters: [],
  },
};
