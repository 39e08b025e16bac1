//! How a layer's tensor holds its maps, and the nodes that rearrange it to `[N, C, h, w]`.

use super::rearrangement::Rearrangement;
use super::tokens::Tokens;
use onnx_gradient::proto::{AttributeProto, NodeProto, TensorProto};

/// How a layer's tensor holds its maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `[N, C, h, w]`, the output of a convolution.
    Maps,
    /// `[N, h, w, C]`.
    ChannelsLast,
    /// `[N, T, C]`: one vector for each position of a grid, row by row.
    Tokens(Tokens),
    /// The same values in other axes: a view of the channels, windows, tokens before channels.
    Rearranged(Rearrangement),
}

impl Layout {
    /// The name in API responses.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Maps => "nchw",
            Self::ChannelsLast => "nhwc",
            Self::Tokens(_) => "tokens",
            Self::Rearranged(_) => "rearranged",
        }
    }

    /// `[C, h, w]` of a tensor with this layout and these sizes; `None` when they don't fit the
    /// layout, or when there is only one position.
    #[must_use]
    pub fn shape(&self, sizes: &[i64]) -> Option<[usize; 3]> {
        let size = |axis: usize| usize::try_from(sizes[axis]).ok().filter(|&size| size > 0);
        if let Self::Rearranged(rearrangement) = self {
            return rearrangement.shape();
        }
        let shape = match (self, sizes.len()) {
            (Self::Maps, 4) => [size(1)?, size(2)?, size(3)?],
            (Self::ChannelsLast, 4) => [size(3)?, size(1)?, size(2)?],
            (Self::Tokens(tokens), 3) if tokens.fits(size(1)?) => {
                [size(2)?, tokens.grid[0], tokens.grid[1]]
            }
            _ => return None,
        };
        (shape[1] * shape[2] > 1).then_some(shape)
    }

    /// Nodes that rearrange the tensor `from` of this layout to `to`, `[N, C, h, w]` with `shape` =
    /// `[C, h, w]`, and the constants that they read.
    #[must_use]
    pub fn to_maps(
        &self,
        shape: [usize; 3],
        from: &str,
        to: &str,
    ) -> (Vec<NodeProto>, Vec<TensorProto>) {
        let order = |perm: &[i64]| AttributeProto::ints("perm", perm);
        let tokens = match self {
            Self::Maps => return (vec![NodeProto::new("Identity", &[from], &[to])], Vec::new()),
            Self::ChannelsLast => {
                let transpose =
                    NodeProto::new("Transpose", &[from], &[to]).with(order(&[0, 3, 1, 2]));
                return (vec![transpose], Vec::new());
            }
            Self::Tokens(tokens) => tokens,
            Self::Rearranged(rearrangement) => {
                let Some(tokens) = rearrangement.tokens() else {
                    return rearrangement.forward(from, to);
                };
                let ordered = format!("{to}/tokens");
                let (mut nodes, mut constants) = rearrangement.forward(from, &ordered);
                let (grid_nodes, grid_constants) =
                    Self::Tokens(tokens).to_maps(shape, &ordered, to);
                nodes.extend(grid_nodes);
                constants.extend(grid_constants);
                return (nodes, constants);
            }
        };
        let named = |what: &str| format!("{to}/{what}");
        let (positions, transposed) = (named("positions"), named("transposed"));
        let (first, end, axis, sizes) =
            (named("first"), named("end"), named("axis"), named("sizes"));
        let [channels, height, width] = shape.map(|size| size as i64);
        let skip = tokens.skip as i64;
        let constants = vec![
            TensorProto::int64(&first, &[1], &[skip]),
            TensorProto::int64(&end, &[1], &[skip + height * width]),
            TensorProto::int64(&axis, &[1], &[1]),
            TensorProto::int64(&sizes, &[4], &[-1, channels, height, width]),
        ];
        let nodes = vec![
            NodeProto::new("Slice", &[from, &first, &end, &axis], &[&positions]),
            NodeProto::new("Transpose", &[&positions], &[&transposed]).with(order(&[0, 2, 1])),
            NodeProto::new("Reshape", &[&transposed, &sizes], &[to]),
        ];
        (nodes, constants)
    }
}

/// The grid of `[N, T, C]` guessed from the token count, for tensors that could not be traced: the
/// image in square patches, after no token, one (class), two (class, distillation) or five (class,
/// four registers).
#[must_use]
pub(super) fn guess_tokens(count: usize, image: [usize; 2]) -> Option<Tokens> {
    const BEFORE: [usize; 4] = [0, 1, 2, 5];
    let [height, width] = image;
    let grids = (2..=height.min(width))
        .filter(|patch| height.is_multiple_of(*patch) && width.is_multiple_of(*patch))
        .map(|patch| [height / patch, width / patch])
        .filter(|[rows, columns]| rows * columns > 1);
    BEFORE.iter().find_map(|&skip| {
        let grid = grids.clone().find(|[rows, columns]| skip + rows * columns == count)?;
        Some(Tokens { skip, grid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guessed_grid_has_the_proportions_of_the_image() {
        let guess =
            |count, image| guess_tokens(count, image).map(|tokens| (tokens.skip, tokens.grid));
        assert_eq!(guess(197, [224, 224]), Some((1, [14, 14])));
        assert_eq!(guess(198, [224, 224]), Some((2, [14, 14])));
        assert_eq!(guess(196, [224, 224]), Some((0, [14, 14])));
        assert_eq!(guess(261, [224, 224]), Some((5, [16, 16])));
        assert_eq!(guess(1 + 12 * 8, [192, 128]), Some((1, [12, 8])));
        assert_eq!(guess(77, [224, 224]), None);
    }

    #[test]
    fn a_tensor_with_a_single_position_is_no_layer() {
        assert_eq!(Layout::Maps.shape(&[2, 8, 1, 1]), None);
        assert_eq!(Layout::ChannelsLast.shape(&[2, 4, 5, 8]), Some([8, 4, 5]));
        let tokens = Layout::Tokens(Tokens { skip: 1, grid: [2, 3] });
        assert_eq!(tokens.shape(&[2, 7, 8]), Some([8, 2, 3]));
        assert_eq!(tokens.shape(&[2, 6, 8]), None);
    }
}
