//! Memory layouts of feature maps.

use ort::operator::KernelContext;

use crate::engine::optimize::nchwc::BLOCK_ATTRIBUTE;

/// The layout of every feature map that a node reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemoryLayout {
    /// `[N, C, H, W]`, one channel after another.
    Nchw,
    /// `[N, C/b, H, W, b]` with blocks of `b` channels. The runtime still declares such a tensor as
    /// `[N, C, H, W]`.
    Nchwc(usize),
}

impl MemoryLayout {
    /// The layout that a node's attribute declares.
    pub(crate) fn from_attributes(context: &KernelContext<'_>) -> Self {
        let block =
            context.get::<i64>(BLOCK_ATTRIBUTE).and_then(|block| usize::try_from(block).ok());
        block.filter(|&block| block > 0).map_or(Self::Nchw, Self::Nchwc)
    }

    /// The shape in which the elements lie, for the shape that the runtime declares.
    pub(crate) fn blocked_shape(self, declared: Vec<usize>) -> ort::Result<Vec<usize>> {
        match (self, declared.as_slice()) {
            (Self::Nchw, _) => Ok(declared),
            (Self::Nchwc(block), &[images, channels, height, width])
                if channels.is_multiple_of(block) =>
            {
                Ok(vec![images, channels / block, height, width, block])
            }
            (Self::Nchwc(block), _) => {
                Err(ort::Error::new(format!("{declared:?} has no blocks of {block} channels")))
            }
        }
    }

    /// The shape that the runtime declares, for the shape in which the elements lie.
    pub(crate) fn declared_shape(self, shape: &[usize]) -> Vec<usize> {
        match (self, shape) {
            (Self::Nchwc(_), &[images, blocks, height, width, block]) => {
                vec![images, blocks * block, height, width]
            }
            _ => shape.to_vec(),
        }
    }
}
