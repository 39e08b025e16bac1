//! Whether there is memory for camlens's own kernels.

use onnx_gradient::proto::ModelProto;

/// Winograd's algorithm stores a filter of 3 × 3 as 6 × 6 numbers of 32 bits.
const TRANSFORMED_BYTES: u64 = 36 * 4;

/// Transformed filters may take this part of the memory limit. The rest is for the models
/// themselves, and for requests.
const SHARE: u64 = 4;

/// The memory that the transformed filters of a model take, in bytes, if all of its convolutions of
/// 3 × 3 are replaced.
pub(super) fn transformed_bytes(model: &ModelProto) -> u64 {
    let weights = model.graph.iter().flat_map(|graph| &graph.initializer);
    let filters = weights.filter_map(|weight| match weight.dims[..] {
        [outs, ins, 3, 3] => Some(outs.unsigned_abs().saturating_mul(ins.unsigned_abs())),
        _ => None,
    });
    filters.fold(0, |sum: u64, count| sum.saturating_add(count.saturating_mul(TRANSFORMED_BYTES)))
}

/// Whether a memory limit leaves room for so many bytes of transformed filters. It depends on
/// nothing else, so that a model has the same digits and the same speed at every start.
pub(super) fn fits(transformed_bytes: u64, limit: Option<u64>) -> bool {
    limit.is_none_or(|limit| transformed_bytes <= limit / SHARE)
}

#[cfg(test)]
mod tests {
    use onnx_gradient::proto::{GraphProto, TensorProto};

    use super::*;

    #[test]
    fn filters_of_3_by_3_count_four_times() {
        let weight = |name: &str, dims: &[i64]| {
            let len = dims.iter().product::<i64>();
            TensorProto::float32(name, dims, &vec![0.0; usize::try_from(len).unwrap()])
        };
        let graph = GraphProto {
            initializer: vec![
                weight("conv", &[8, 4, 3, 3]),
                weight("point", &[8, 4, 1, 1]),
                weight("matrix", &[9, 9]),
            ],
            ..GraphProto::default()
        };
        let model = ModelProto { graph: Some(graph), ..ModelProto::default() };
        assert_eq!(transformed_bytes(&model), 4 * (8 * 4 * 3 * 3 * 4));
        assert_eq!(transformed_bytes(&ModelProto::default()), 0);
    }

    #[test]
    fn a_small_container_goes_without_them() {
        const MIB: u64 = 1 << 20;
        // VGG16's, in 512 MiB, 1 GiB, and without a limit.
        assert!(!fits(225 * MIB, Some(512 * MIB)));
        assert!(fits(225 * MIB, Some(1024 * MIB)));
        assert!(fits(225 * MIB, None));
    }
}
