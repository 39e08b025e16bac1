//! Graph optimisation passes: replace subgraphs with faster operators.
//!
//! [`optimize`] runs last, when a program is otherwise finished. Most passes insert a custom
//! operator of the domain [`DOMAIN`], whose kernel lives next to the pass, in the same folder.
//! `qlinear` inserts ONNX Runtime's own integer convolution, and `nchwc` its blocked convolutions.
//! A node that fits no pattern stays as it is, so every model runs.

mod common;
mod conv_chain;
mod conv_fusion;
mod depthwise;
mod elementwise;
mod gemv;
mod guard;
mod memory_layout;
pub(in crate::engine) mod nchwc;
pub(in crate::engine) mod operators;
mod qlinear;
mod tensors;
#[cfg(test)]
mod tests;

pub use common::DOMAIN;
use onnx_gradient::proto::{ModelProto, OperatorSetIdProto};

/// What the passes replaced in one program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FusionReport {
    /// Convolutions in each chain of 3×3 convolutions, in graph order.
    pub conv_chains: Vec<usize>,
    /// Matrix products whose time is spent reading the matrix.
    pub gemv: usize,
    /// Depthwise convolutions of the backward pass.
    pub depthwise: usize,
    /// Groups of elementwise operators, one custom operator each.
    pub elementwise: usize,
    /// Those groups that became the prologue or epilogue of a convolution.
    pub conv_fused: usize,
    /// Convolutions in the NCHWc layout.
    pub nchwc: usize,
    /// Convolutions between a dequantisation and a quantisation, which run in integers.
    pub qlinear: usize,
}

/// Properties of the CPU that decide which passes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetCpu {
    /// Channels per block of ONNX Runtime's NCHWc convolutions, one of
    /// [`camlens_kernels::NCHWC_BLOCKS`], or `None` where the `nchwc` pass cannot run.
    pub nchwc_block: Option<usize>,
}

/// Runs every pass on a model's graph.
pub fn optimize(model: &mut ModelProto, cpu: TargetCpu) -> FusionReport {
    let Some(graph) = &mut model.graph else { return FusionReport::default() };
    // First, because the other passes would take these as floating-point convolutions.
    let qlinear = qlinear::fuse(graph, camlens_kernels::has_exact_int8_dot());
    let mut report = FusionReport {
        conv_chains: conv_chain::fuse(graph),
        gemv: gemv::fuse(graph),
        depthwise: depthwise::fuse(graph),
        elementwise: elementwise::fuse(graph),
        conv_fused: conv_fusion::fuse(graph),
        nchwc: 0,
        qlinear,
    };
    if let Some(block) = cpu.nchwc_block {
        report.nchwc = nchwc::fuse(graph, block);
    }
    if report.nchwc > 0 {
        model.opset_import.push(nchwc::opset());
    }
    if report != FusionReport::default() {
        model
            .opset_import
            .push(OperatorSetIdProto { domain: Some(DOMAIN.into()), version: Some(1) });
    }
    report
}
