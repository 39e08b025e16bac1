//! Sparsity planning: which tiles of each layer the non-zero part of an image can influence.
//!
//! A tile whose receptive field contains only zeros computes what it computes for an all-zero
//! image: the chain's zero response. Such tiles are copied rather than computed, and only those
//! that the next layer reads are copied. The plan depends on the image's zeros alone and is made
//! before anything is computed.

mod mask;
mod plan;

pub(super) use mask::PositionMask;
pub(super) use plan::{LayerTraits, TilePlan, plan};
