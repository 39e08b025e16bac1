//! The four inner loops of a convolution, compiled for each instruction set.
//!
//! The loops work through raw pointers because several threads write disjoint parts of one buffer.
//! Each takes one of the structs in `jobs`, and its `# Safety` section says what that must satisfy.
//! Only [`super::layer_run`] and [`super::winograd_task`] call the loops.

mod direct;
mod epilogue;
mod input_transform;
mod jobs;
mod output_transform;
mod product;
mod table;

pub(super) use jobs::{
    DirectConv, InputTransform, MAX_DIRECT_CHANNELS, OutputTransform, PositionProduct,
    ScratchStrides, TileEpilogue,
};
pub(super) use table::ConvKernels;
