//! Identifiers of the explanation methods.

/// How a map is computed. [`Method::spec`] gives a method's row of the
/// [table](super::methods::table::METHODS).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Grad-CAM++, arXiv 1710.11063.
    GradCamPlusPlus,
    /// Grad-CAM, arXiv 1610.02391.
    GradCam,
    /// Score-CAM, arXiv 1910.01279.
    ScoreCam,
    /// LayerCAM, IEEE TIP 2021.
    LayerCam,
    /// HiResCAM, arXiv 2011.08891.
    HiResCam,
    /// XGrad-CAM, arXiv 2008.02312.
    XGradCam,
    /// Element-wise Grad-CAM, from pytorch-grad-cam.
    GradCamElementWise,
    /// Eigen-CAM, arXiv 2008.00299.
    EigenCam,
    /// Eigen-Grad-CAM, from pytorch-grad-cam.
    EigenGradCam,
    /// Random channel weights: the baseline that every method must beat.
    Random,
    /// Ablation-CAM, WACV 2020.
    AblationCam,
    /// Recipro-CAM, arXiv 2209.14074.
    ReciproCam,
    /// Smooth Grad-CAM++, arXiv 1908.01224.
    SmoothGradCamPlusPlus,
    /// Group-CAM, arXiv 2103.13859.
    GroupCam,
}

impl Method {
    /// The methods that the Keras article compares, in its order.
    pub const ARTICLE: [Self; 3] = [Self::GradCam, Self::GradCamPlusPlus, Self::ScoreCam];
}
