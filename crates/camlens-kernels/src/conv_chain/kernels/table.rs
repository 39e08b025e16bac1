//! The inner loops as function pointers, one set per instruction set.

use super::direct::convolve_direct;
use super::input_transform::transform_inputs;
use super::jobs::{DirectConv, InputTransform, OutputTransform, PositionProduct};
use super::output_transform::transform_outputs;
use super::product::multiply;
use crate::simd::{Isa, Portable};

/// The inner loops for one instruction set.
#[derive(Clone, Copy)]
pub(crate) struct ConvKernels {
    pub(crate) name: &'static str,
    pub(crate) transform_inputs: unsafe fn(&InputTransform<'_>),
    pub(crate) multiply: unsafe fn(&PositionProduct),
    pub(crate) transform_outputs: unsafe fn(&OutputTransform<'_>),
    pub(crate) convolve_direct: unsafe fn(&DirectConv<'_>),
}

impl ConvKernels {
    /// The loops for this instruction set.
    pub(crate) const fn for_isa(isa: Isa) -> Self {
        match isa {
            Isa::Portable => portable::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => avx512::KERNELS,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => neon::KERNELS,
        }
    }

    /// The fastest loops that this processor supports.
    pub(crate) fn detect() -> Self {
        Self::for_isa(Isa::detect())
    }

    /// All loops that this processor supports, for tests that compare them.
    #[cfg(test)]
    pub(crate) fn available() -> Vec<Self> {
        Isa::available().into_iter().map(Self::for_isa).collect()
    }
}

/// Instantiates the loops for one implementation of [`crate::simd::Simd`].
///
/// `$out_blocks` and the longest of `$tiles` are how many out blocks and tiles the product sums up
/// at once: as many as the register file holds.
macro_rules! kernels {
    (
        $module:ident, $simd:ty, $name:literal, $out_blocks:literal, [$($tiles:literal),+],
        $(#[$features:meta])?
    ) => {
        mod $module {
            use super::*;

            pub(super) const KERNELS: ConvKernels = ConvKernels {
                name: $name,
                transform_inputs,
                multiply,
                transform_outputs,
                convolve_direct,
            };

            $(#[$features])?
            unsafe fn transform_inputs(job: &InputTransform<'_>) {
                // SAFETY: guaranteed by the caller, as is the processor's support of the features.
                unsafe { super::transform_inputs::<$simd>(job) }
            }

            $(#[$features])?
            unsafe fn transform_outputs(job: &OutputTransform<'_>) {
                // SAFETY: as above.
                unsafe { super::transform_outputs::<$simd>(job) }
            }

            $(#[$features])?
            unsafe fn convolve_direct(job: &DirectConv<'_>) {
                // SAFETY: as above.
                unsafe { super::convolve_direct::<$simd>(job) }
            }

            $(#[$features])?
            unsafe fn multiply(job: &PositionProduct) {
                const MOST: usize = [$($tiles),+].len();
                // Groups of similar size: 16 tiles are 8 and 8, not 12 and 4.
                let groups = job.tiles.div_ceil(MOST).max(1);
                let mut block = 0;
                while block < job.out_blocks {
                    let blocks = $out_blocks.min(job.out_blocks - block);
                    let mut done = 0;
                    for group in 0..groups {
                        let count = (job.tiles * (group + 1)) / groups - done;
                        // SAFETY: as above; `block` and `done` stay inside the job.
                        unsafe {
                            match (blocks, count) {
                                $(($out_blocks, $tiles) => {
                                    super::multiply::<$simd, $out_blocks, $tiles>(job, block, done)
                                }
                                (_, $tiles) => {
                                    super::multiply::<$simd, 1, $tiles>(job, block, done)
                                })+
                                _ => {}
                            }
                        }
                        done += count;
                    }
                    block += blocks;
                }
            }
        }
    };
}

kernels!(portable, Portable, "portable", 2, [1, 2, 3, 4],);
#[cfg(target_arch = "x86_64")]
kernels!(
    avx2, crate::simd::x86::Avx2, "avx2", 1, [1, 2, 3, 4, 5, 6],
    #[target_feature(enable = "avx2,fma")]
);
#[cfg(target_arch = "x86_64")]
kernels!(
    avx512, crate::simd::x86::Avx512, "avx512", 2, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    #[target_feature(enable = "avx512f")]
);
#[cfg(target_arch = "aarch64")]
kernels!(neon, crate::simd::aarch64::Neon, "neon", 1, [1, 2, 3, 4, 5, 6],);
