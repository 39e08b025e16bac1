//! In which order the numbers of maps lie.

use ort::operator::KernelContext;

use crate::engine::optimize::nchwc::ATTRIBUTE;

/// The order of all maps that a node takes and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemoryLayout {
    /// Channel by channel.
    Planes,
    /// So many channels side by side; the runtime calls such a tensor `[N, C, H, W]` all the same.
    Blocks(usize),
}

impl MemoryLayout {
    /// That of a node.
    pub(crate) fn of(context: &KernelContext<'_>) -> Self {
        let lanes = context.get::<i64>(ATTRIBUTE).and_then(|lanes| usize::try_from(lanes).ok());
        lanes.filter(|&lanes| lanes > 0).map_or(Self::Planes, Self::Blocks)
    }

    /// The shape in which the numbers of a tensor do lie.
    pub(crate) fn true_shape(self, told: Vec<usize>) -> ort::Result<Vec<usize>> {
        match (self, told.as_slice()) {
            (Self::Planes, _) => Ok(told),
            (Self::Blocks(lanes), &[images, channels, height, width])
                if channels.is_multiple_of(lanes) =>
            {
                Ok(vec![images, channels / lanes, height, width, lanes])
            }
            (Self::Blocks(lanes), _) => {
                Err(ort::Error::new(format!("{told:?} are no maps in blocks of {lanes} channels")))
            }
        }
    }

    /// What the runtime calls it.
    pub(crate) fn told(self, shape: &[usize]) -> Vec<usize> {
        match (self, shape) {
            (Self::Blocks(_), &[images, blocks, height, width, lanes]) => {
                vec![images, blocks * lanes, height, width]
            }
            _ => shape.to_vec(),
        }
    }
}
