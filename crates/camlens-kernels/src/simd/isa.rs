//! Run-time detection of the processor's vector instructions.

/// A vector instruction set that the kernels are compiled for.
#[cfg_attr(miri, expect(dead_code, reason = "Miri runs the loops in plain Rust"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isa {
    /// Plain Rust: runs on every processor, and under Miri.
    Portable,
    /// AVX2 with fused multiply-add (FMA).
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512F.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// NEON, which every 64-bit ARM processor has.
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Isa {
    /// Every instruction set that this processor supports, the fastest last.
    pub(crate) fn available() -> Vec<Self> {
        #[cfg_attr(miri, expect(unused_mut))]
        let mut available = vec![Self::Portable];
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                available.push(Self::Avx2);
            }
            if is_x86_feature_detected!("avx512f") {
                available.push(Self::Avx512);
            }
        }
        #[cfg(all(target_arch = "aarch64", not(miri)))]
        available.push(Self::Neon);
        available
    }

    /// The fastest instruction set that this processor supports.
    pub(crate) fn detect() -> Self {
        Self::available().pop().unwrap_or(Self::Portable)
    }
}

/// Whether this processor's 8-bit dot products are exact, without saturation in between.
///
/// x86 processors without VNNI multiply bytes with `vpmaddubsw`, which adds each pair of products
/// in 16 bits and saturates; ONNX Runtime's integer kernels do not prevent this. A caller can then
/// choose weights small enough that no sum saturates.
#[must_use]
pub fn has_exact_int8_dot() -> bool {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    return is_x86_feature_detected!("avx512vnni") || is_x86_feature_detected!("avxvnni");
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    true
}
