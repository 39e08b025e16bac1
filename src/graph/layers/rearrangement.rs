//! Tensors whose axes hold maps in another order or number than `[N, C, h, w]`.
//!
//! A channel shuffle views channels as two axes, an attention cuts rows and columns into windows or
//! moves the images behind the tokens. Each axis is still a list of factors, so a reshape to the
//! factors, a transposition and a second reshape give `[N, C, h, w]` or `[N, T, C]`.

use onnx_gradient::proto::{AttributeProto, NodeProto, TensorProto};

use super::tokens::Tokens;

/// More factors than any exporter writes.
const MAX_FACTORS: usize = 10;

/// A short list of sizes. −1 stands for the images of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sizes {
    values: [i32; MAX_FACTORS],
    count: u8,
}

impl Sizes {
    fn new(sizes: &[i64]) -> Option<Self> {
        let mut values = [0; MAX_FACTORS];
        for (value, &size) in values.get_mut(..sizes.len())?.iter_mut().zip(sizes) {
            *value = i32::try_from(size).ok()?;
        }
        Some(Self { values, count: u8::try_from(sizes.len()).ok()? })
    }

    fn to_vec(self) -> Vec<i64> {
        self.values[..usize::from(self.count)].iter().map(|&size| size.into()).collect()
    }
}

/// How a tensor becomes `[N, C, h, w]`, or `[N, T, C]` with a grid among the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rearrangement {
    /// The tensor's own sizes.
    tensor: Sizes,
    /// The sizes of the factors of its axes.
    factors: Sizes,
    /// The factors' order in the maps, as `Transpose` takes it.
    order: Sizes,
    /// The number of channels.
    channels: usize,
    /// The grid of positions: all of them, or those among the tokens.
    grid: Tokens,
    /// The number of tokens, where not every one is a position.
    token_count: Option<usize>,
}

impl Rearrangement {
    /// `factors` are the sizes of the factors of all axes, with −1 for the images, and `order`
    /// their order in the result: images, channels, rows, columns, or images, tokens, channels.
    /// `None` when there are too many of them.
    pub(super) fn new(
        tensor: &[i64],
        factors: &[i64],
        order: &[usize],
        channels: i64,
        (grid, token_count): (Tokens, Option<i64>),
    ) -> Option<Self> {
        let order: Vec<i64> = order.iter().map(|&index| index as i64).collect();
        let token_count = match token_count {
            Some(count) => Some(usize::try_from(count).ok()?),
            None => None,
        };
        Some(Self {
            tensor: Sizes::new(tensor)?,
            factors: Sizes::new(factors)?,
            order: Sizes::new(&order)?,
            channels: usize::try_from(channels).ok()?,
            grid,
            token_count,
        })
    }

    /// `[C, h, w]`; `None` where there is only one position.
    pub(super) fn shape(&self) -> Option<[usize; 3]> {
        let [height, width] = self.grid.grid;
        (height * width > 1 && self.channels > 0).then_some([self.channels, height, width])
    }

    /// The grid among the tokens, if the rearranged tensor is `[N, T, C]` instead of maps.
    #[must_use]
    pub fn tokens(&self) -> Option<Tokens> {
        self.token_count.map(|_| self.grid)
    }

    /// The sizes of the rearranged tensor.
    fn target(&self) -> Vec<i64> {
        let [height, width] = self.grid.grid.map(|size| size as i64);
        let channels = self.channels as i64;
        match self.token_count {
            Some(count) => vec![-1, count as i64, channels],
            None => vec![-1, channels, height, width],
        }
    }

    /// Nodes that compute `to` from the tensor `from`, and the constants that they read.
    pub(super) fn forward(&self, from: &str, to: &str) -> (Vec<NodeProto>, Vec<TensorProto>) {
        nodes(from, to, &self.factors.to_vec(), &self.order.to_vec(), &self.target())
    }

    /// Nodes that compute the tensor `to` from `from`, which is arranged as maps or tokens.
    #[must_use]
    pub fn backward(&self, from: &str, to: &str) -> (Vec<NodeProto>, Vec<TensorProto>) {
        let (factors, order) = (self.factors.to_vec(), self.order.to_vec());
        let position = |&index: &i64| usize::try_from(index).unwrap_or(0);
        let ordered: Vec<i64> = order.iter().map(|index| factors[position(index)]).collect();
        let mut inverse = vec![0; order.len()];
        for (to, from) in order.iter().enumerate() {
            inverse[position(from)] = to as i64;
        }
        nodes(from, to, &ordered, &inverse, &self.tensor.to_vec())
    }
}

/// Nodes that split the axes of `from`, order the factors and join them to `to`.
fn nodes(
    from: &str,
    to: &str,
    split: &[i64],
    order: &[i64],
    joined: &[i64],
) -> (Vec<NodeProto>, Vec<TensorProto>) {
    let named = |what: &str| format!("{to}/{what}");
    let (factors, transposed) = (named("factors"), named("ordered"));
    let (factor_sizes, sizes) = (named("factor_sizes"), named("ordered_sizes"));
    let constants = vec![
        TensorProto::int64(&factor_sizes, &[split.len() as i64], split),
        TensorProto::int64(&sizes, &[joined.len() as i64], joined),
    ];
    let nodes = vec![
        NodeProto::new("Reshape", &[from, &factor_sizes], &[&factors]),
        NodeProto::new("Transpose", &[&factors], &[&transposed])
            .with(AttributeProto::ints("perm", order.to_vec())),
        NodeProto::new("Reshape", &[&transposed, &sizes], &[to]),
    ];
    (nodes, constants)
}
