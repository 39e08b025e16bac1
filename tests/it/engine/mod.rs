//! The engine: passes, cancellation, the cache, and camlens's own kernels.

mod cache;
mod cancellation;
mod fast_kernels;
mod nchwc;
mod passes;
mod turns;
