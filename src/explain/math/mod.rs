//! Numerical building blocks of the methods. They know no model, class or request.

pub mod channels;
pub mod gaussian_process;
pub mod linear_algebra;
pub mod pca;
pub mod rng;
