//! Products with a matrix so large that reading it takes all the time.
//!
//! These are the fully connected layers of AlexNet and VGG, forwards and backwards. An element that
//! is multiplied by zero need not be read, and a closed ReLU makes many zeros. The first such layer
//! of the full VGG16 has 411 MB.

mod operator;
pub(super) mod pass;

pub(super) use operator::Gemv;
pub(super) use pass::fuse;
