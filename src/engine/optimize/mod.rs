//! What of a program is computed otherwise than it is written, because the runtime takes longer for
//! it than it must: nearly all of it by camlens itself, convolutions between roundings by the
//! runtime's kernels of integers.
//!
//! [`fuse`] is the last thing that is done to a program: it puts operators of the
//! domain [`DOMAIN`] in the place of those nodes that they compute faster. What
//! does not fit stays as it is, so every model runs.

pub(crate) mod common;
pub(crate) mod conv_chain;
pub(crate) mod conv_fusion;
pub(crate) mod depthwise;
pub(crate) mod elementwise;
pub(crate) mod gemv;
mod memory_layout;
pub(crate) mod nchwc;
pub(crate) mod operators;
mod qlinear;
mod tensors;

pub use common::DOMAIN;
use onnx_gradient::proto::{ModelProto, OperatorSetIdProto};

/// What was replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FusionReport {
    /// The convolutions of each chain, in the graph's order.
    pub chains: Vec<usize>,
    /// Products with matrices so large that reading them is what takes time.
    pub products: usize,
    /// Depthwise convolutions of the backward pass.
    pub depthwise: usize,
    /// Groups of elementwise operators.
    pub groups: usize,
    /// Those of them that a convolution does along the way.
    pub joined: usize,
    /// Convolutions in blocks of channels, which are written so where a backward pass would turn
    /// maps round.
    pub blocks: usize,
    /// Convolutions between roundings, which the runtime computes in integers.
    pub integers: usize,
}

/// What of the machine decides what is worth replacing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetCpu {
    /// How many channels the runtime's convolutions keep together in a block, where they do: one
    /// of [`camlens_kernels::BLOCKS`].
    pub nchwc_block: Option<usize>,
}

/// Replaces what camlens computes faster than the runtime.
pub fn fuse(model: &mut ModelProto, machine: TargetCpu) -> FusionReport {
    let Some(graph) = &mut model.graph else { return FusionReport::default() };
    // The others would take them as convolutions of floats.
    let integers = qlinear::fuse(graph, camlens_kernels::sums_bytes_exactly());
    let mut fused = FusionReport {
        chains: conv_chain::fuse(graph),
        products: gemv::fuse(graph),
        depthwise: depthwise::fuse(graph),
        groups: elementwise::fuse(graph),
        joined: conv_fusion::join(graph),
        blocks: 0,
        integers,
    };
    if let Some(lanes) = machine.nchwc_block {
        fused.blocks = nchwc::lay_out(graph, lanes);
    }
    if fused.blocks > 0 {
        model.opset_import.push(nchwc::opset());
    }
    if fused != FusionReport::default() {
        model
            .opset_import
            .push(OperatorSetIdProto { domain: Some(DOMAIN.into()), version: Some(1) });
    }
    fused
}
