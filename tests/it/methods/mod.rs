//! The explanation methods, compared with the code of their authors and of the usual libraries.

mod gaussian_process;
mod gradient;
mod tail_passes;
