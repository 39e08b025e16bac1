//! Identifies the masks that a method generates, for the cache of masked passes.

use super::parameters::{Convention, ScoreKind};
use super::target::ClassTarget;

/// A method's masks: the method, and every parameter on which they depend besides image and layer.
///
/// For one image and layer, equal values must stand for the same masks in the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MaskSet {
    /// Score-CAM's masks, in the order of channels.
    ScoreCam {
        /// The convention.
        convention: Convention,
        /// The largest number of channels; `None` for all.
        max_channels: Option<usize>,
    },
    /// Score-CAM's masks, in the order in which a budget spends its passes.
    ScoreCamEstimate {
        /// The convention.
        convention: Convention,
        /// The largest number of channels; `None` for all.
        max_channels: Option<usize>,
    },
    /// Group-CAM's masks, which follow from the gradient of a target's score.
    GroupCam {
        /// The target.
        target: ClassTarget,
        /// The score that is differentiated.
        score: ScoreKind,
    },
}
