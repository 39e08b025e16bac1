//! `camlens explain`, `camlens compare` and `camlens predict`.

use clap::Args;

use super::Done;
use super::images::Images;
use super::option_flags::Flags;
use crate::app::Operation;
use crate::error::Result;

/// The options of `explain`: with `--compare`, those of a comparison, too.
#[derive(Clone, Debug)]
pub(super) struct ExplainFlags;

impl Flags for ExplainFlags {
    const OPERATIONS: &'static [Operation] = &[Operation::Explain, Operation::Compare];
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  camlens explain cat.jpg -o heatmap.png\n  \
                        camlens explain cat.jpg --method scorecam --target 'Egyptian cat' -o map.npy\n  \
                        camlens explain photos/ --model model.onnx -o 'maps/{stem}-{method}.png'")]
pub(super) struct Explain {
    /// Compare several methods, as `camlens compare` does; --methods does so, too
    #[arg(long)]
    compare: bool,
    #[command(flatten)]
    images: Images<ExplainFlags>,
}

impl Explain {
    pub(super) fn run(&self) -> Result<Done> {
        let is_compared = self.compare || self.images.has("methods");
        self.images.run(if is_compared { Operation::Compare } else { Operation::Explain })
    }
}

/// The options of `compare`.
#[derive(Clone, Debug)]
pub(super) struct CompareFlags;

impl Flags for CompareFlags {
    const OPERATIONS: &'static [Operation] = &[Operation::Compare];
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  camlens compare cat.jpg -o figure.png\n  \
                        camlens compare cat.jpg --methods gradcam,layercam --layer blocks.10 -o maps.json")]
pub(super) struct Compare {
    #[command(flatten)]
    images: Images<CompareFlags>,
}

impl Compare {
    pub(super) fn run(&self) -> Result<Done> {
        self.images.run(Operation::Compare)
    }
}

/// The options of `predict`.
#[derive(Clone, Debug)]
pub(super) struct PredictFlags;

impl Flags for PredictFlags {
    const OPERATIONS: &'static [Operation] = &[Operation::Predict];
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  camlens predict cat.jpg\n  \
                        camlens predict photos/*.jpg --top-k 1 | jq -r .predictions[0].label")]
pub(super) struct Predict {
    #[command(flatten)]
    images: Images<PredictFlags>,
}

impl Predict {
    pub(super) fn run(&self) -> Result<Done> {
        self.images.run(Operation::Predict)
    }
}
