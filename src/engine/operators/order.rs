//! In which order the numbers of maps lie.

use kernels::Lanes;
use ort::operator::KernelContext;

use crate::graph::fast::blocks::ATTRIBUTE;

/// The order of all maps that a node takes and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Channel by channel.
    Planes,
    /// Sixteen channels side by side; the runtime calls such a tensor `[N, C, H, W]` all the same.
    Blocks,
}

impl Order {
    /// That of a node.
    pub(super) fn of(context: &KernelContext<'_>) -> Self {
        if context.get::<i64>(ATTRIBUTE).is_some_and(|is_set| is_set != 0) {
            Self::Blocks
        } else {
            Self::Planes
        }
    }

    /// The shape in which the numbers of a tensor do lie.
    pub(super) fn true_shape(self, told: Vec<usize>) -> ort::Result<Vec<usize>> {
        match (self, told.as_slice()) {
            (Self::Planes, _) => Ok(told),
            (Self::Blocks, &[images, channels, height, width]) if channels.is_multiple_of(Lanes::COUNT) => {
                Ok(vec![images, channels / Lanes::COUNT, height, width, Lanes::COUNT])
            }
            _ => Err(ort::Error::new(format!("{told:?} are no maps in blocks of {} channels", Lanes::COUNT))),
        }
    }

    /// What the runtime calls it.
    pub(super) fn told(self, shape: &[usize]) -> Vec<usize> {
        match (self, shape) {
            (Self::Blocks, &[images, blocks, height, width, lanes]) => {
                vec![images, blocks * lanes, height, width]
            }
            _ => shape.to_vec(),
        }
    }
}
