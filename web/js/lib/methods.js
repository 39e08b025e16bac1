// The methods: display names, and which ones a comparison has.

/** Display names by the API's names, in the order in which the page lists them. */
export const METHODS = {
  "gradcam": "Grad-CAM",
  "gradcam++": "Grad-CAM++",
  "scorecam": "Score-CAM",
  "layercam": "LayerCAM",
  "hirescam": "HiResCAM",
  "xgradcam": "XGrad-CAM",
  "gradcam-elementwise": "Element-wise Grad-CAM",
  "eigencam": "Eigen-CAM",
  "eigengradcam": "Eigen-Grad-CAM",
  "ablationcam": "Ablation-CAM",
  "reciprocam": "Recipro-CAM",
  "smoothgradcam++": "Smooth Grad-CAM++",
  "groupcam": "Group-CAM",
  "random": "Random weights",
};

/** The default methods of `POST /v1/compare`, the quickest first. */
export const COMPARED_METHODS = ["gradcam", "gradcam++", "scorecam"];

export const methodName = (method) => METHODS[method] ?? method;
