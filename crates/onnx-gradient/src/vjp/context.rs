//! The interface between the reverse walk and one vector–Jacobian product.

use std::collections::HashMap;

use crate::builder::GraphBuilder;
use crate::error::Error;
use crate::facts::TensorFacts;
use crate::index::GraphIndex;
use crate::proto::NodeProto;

/// The gradients of a node's inputs: one entry per input, `None` where the product has none.
pub type InputGradients = Result<Vec<Option<String>>, Error>;

/// A vector–Jacobian product: writes the nodes that compute the gradients of a node's inputs from
/// those of its outputs.
pub type VjpFn = fn(&mut GraphBuilder, &VjpContext<'_>) -> InputGradients;

/// A node of the forward graph, and the gradients of its outputs.
#[derive(Debug)]
pub struct VjpContext<'a> {
    /// The node to differentiate.
    pub node: &'a NodeProto,
    /// The gradient of each output, of the output's shape; `None` where none flows.
    pub grad_outputs: Vec<Option<String>>,
    /// Which inputs need a gradient: those that depend on a differentiated tensor.
    pub needs_grad: Vec<bool>,
    /// The forward graph.
    pub graph: &'a GraphIndex<'a>,
    /// Shapes, element types and constant values of the forward graph's tensors.
    pub facts: &'a TensorFacts,
    /// Tensors of the backward pass that have the shape of a forward tensor, with that tensor.
    pub shape_aliases: HashMap<String, String>,
}

impl VjpContext<'_> {
    /// The gradient of the first output, for an operator whose other outputs have no derivative.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when a gradient reaches another output.
    pub fn grad_output(&self) -> Result<&str, Error> {
        match self.grad_outputs.split_first() {
            Some((Some(gradient), others)) if others.iter().all(Option::is_none) => Ok(gradient),
            _ => Err(self.unsupported("receives a gradient at an output other than its first")),
        }
    }

    /// The name of input `index`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when the node omits it although its operator requires it.
    pub fn input(&self, index: usize) -> Result<&str, Error> {
        self.node.input_name(index).ok_or_else(|| self.unsupported(format!("has no input {index}")))
    }

    /// The name of the first output.
    #[must_use]
    pub fn output(&self) -> &str {
        self.node.output.first().map_or("", String::as_str)
    }

    /// True when input `index` needs a gradient.
    #[must_use]
    pub fn needs_grad(&self, index: usize) -> bool {
        self.needs_grad.get(index).copied().unwrap_or(false)
    }

    /// A gradient for the first input, none for the others.
    #[must_use]
    pub fn first_input(&self, gradient: String) -> Vec<Option<String>> {
        let mut gradients = vec![None; self.node.input.len()];
        gradients[0] = Some(gradient);
        gradients
    }

    /// An error that names this node: "operator Conv (node 'conv1') {reason}".
    #[must_use]
    pub fn unsupported(&self, reason: impl Into<String>) -> Error {
        Error::unsupported(self.node, reason)
    }

    /// The shape of a forward tensor, or of one in [`Self::shape_aliases`].
    ///
    /// The first size may be the batch, which can differ at run time.
    ///
    /// # Errors
    /// [`Error::UnknownShape`] when the facts do not contain it.
    pub fn shape(&self, tensor: &str) -> Result<&[i64], Error> {
        let alias = || self.facts.get(self.shape_aliases.get(tensor)?);
        let shape = self.facts.get(tensor).or_else(alias);
        shape.ok_or_else(|| Error::UnknownShape { tensor: tensor.to_owned() })
    }

    /// The element type of a forward tensor.
    #[must_use]
    pub fn element_type(&self, tensor: &str) -> i32 {
        self.facts.element_type(tensor)
    }

    /// The values of an integer tensor that is the same for every input of the model; `None` when
    /// it is not, or is unknown.
    #[must_use]
    pub fn known_int64s(&self, tensor: &str) -> Option<Vec<i64>> {
        self.facts.known_int64s(self.graph, tensor)
    }

    /// The values of a float initializer, as float32.
    #[must_use]
    pub fn known_float32s(&self, tensor: &str) -> Option<Vec<f32>> {
        self.graph.constant(tensor)?.to_float32s()
    }

    /// An axis of a tensor of this rank as an index. Negative axes count from the end.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when there is no such axis.
    pub fn axis_index(&self, axis: i64, rank: usize) -> Result<usize, Error> {
        index_of(axis, rank).ok_or_else(|| self.unsupported("has an axis out of range"))
    }

    /// Sums `gradient`, of the shape of `output`, over the axes along which `input` was broadcast
    /// to `output`.
    ///
    /// # Errors
    /// [`Error::UnknownShape`] when one of the two shapes is unknown.
    pub fn unbroadcast(
        &self,
        builder: &mut GraphBuilder,
        gradient: &str,
        input: &str,
        output: &str,
    ) -> Result<String, Error> {
        let rank = self.shape(output)?.len();
        self.unbroadcast_axes(builder, gradient, input, output, rank)
    }

    /// [`Self::unbroadcast`] over the first `count` axes of `output` only.
    ///
    /// # Errors
    /// [`Error::UnknownShape`] when one of the two shapes is unknown.
    pub fn unbroadcast_axes(
        &self,
        builder: &mut GraphBuilder,
        gradient: &str,
        input: &str,
        output: &str,
        count: usize,
    ) -> Result<String, Error> {
        let (from, to) = (self.shape(input)?, self.shape(output)?);
        let added = to.len().saturating_sub(from.len());
        let axes: Vec<i64> = (0..count)
            .filter(|&axis| axis < added || (from[axis - added] == 1 && to[axis] != 1))
            .map(|axis| axis as i64)
            .collect();
        if axes.is_empty() {
            return Ok(gradient.to_owned());
        }
        let summed = builder.reduce_sum(gradient, &axes, true);
        Ok(if added > 0 { builder.reshape_like(&summed, input) } else { summed })
    }
}

/// An axis as an index; negative ones count from the end.
fn index_of(axis: i64, rank: usize) -> Option<usize> {
    let size = usize::try_from(axis.unsigned_abs()).ok()?;
    let index = if axis < 0 { rank.checked_sub(size)? } else { size };
    (index < rank).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::index_of;

    #[test]
    fn an_axis_is_an_index_below_the_rank_or_none() {
        assert_eq!([0, 3, -1, -4].map(|axis| index_of(axis, 4)), [0, 3, 3, 0].map(Some));
        assert_eq!([4, -5, i64::MIN, i64::MAX].map(|axis| index_of(axis, 4)), [None; 4]);
        assert_eq!([0, -1].map(|axis| index_of(axis, 0)), [None; 2]);
    }
}
