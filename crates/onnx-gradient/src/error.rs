//! Why a model cannot be differentiated.

use std::fmt;

use crate::proto::NodeProto;

/// Why no gradient graph can be written.
///
/// Variants that concern a node give its operator type, the operator's domain (empty for the ONNX
/// standard) and the node's name, or its first output where the node has no name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// An operator between the differentiated tensors and the output has no vector–Jacobian
    /// product in [`crate::vjp`].
    NoVjp {
        /// Operator type, such as `"GridSample"`.
        op: String,
        /// Domain of the operator; empty for the ONNX standard.
        domain: String,
        /// Name of the node.
        node: String,
    },
    /// The operator has a vector–Jacobian product, but none for this input, through which the
    /// gradient would have to flow. Leaving it out would give a wrong gradient silently.
    NoVjpForInput {
        /// Operator type.
        op: String,
        /// Domain of the operator; empty for the ONNX standard.
        domain: String,
        /// Name of the node.
        node: String,
        /// Position of the input.
        index: usize,
        /// Name of the input tensor.
        input: String,
    },
    /// The operator is known, but not in the form that this node has.
    Unsupported {
        /// Operator type.
        op: String,
        /// Domain of the operator; empty for the ONNX standard.
        domain: String,
        /// Name of the node.
        node: String,
        /// Completes the sentence "operator … (node …)": "is in training mode".
        reason: String,
    },
    /// The output does not depend on the tensor, or only through operators without a derivative,
    /// such as `Shape` or `ArgMax`.
    Unreachable {
        /// Name of the differentiated output.
        output: String,
        /// Name of the tensor.
        tensor: String,
    },
    /// The output depends on the tensor, but no vector–Jacobian product on the path passes a
    /// gradient on to it.
    NoGradient {
        /// Name of the differentiated output.
        output: String,
        /// Name of the tensor.
        tensor: String,
    },
    /// A vector–Jacobian product needs the shape of a tensor that is not in the
    /// [`TensorFacts`](crate::TensorFacts).
    UnknownShape {
        /// Name of the tensor.
        tensor: String,
    },
    /// The graph contains no tensor of this name.
    UnknownTensor {
        /// The requested name.
        tensor: String,
    },
    /// The graph has a node or a tensor of a name that is to be added, or that begins as the names
    /// of added tensors do.
    NameTaken {
        /// The name.
        name: String,
    },
    /// The last axis of the differentiated tensor has no such index.
    NoComponent {
        /// Name of the tensor.
        tensor: String,
        /// The requested index.
        index: usize,
        /// Size of the last axis.
        size: i64,
    },
    /// The opset of the model is too old: for [`prepare`](crate::prepare), or for
    /// [`differentiate`](crate::differentiate), which takes prepared models.
    OpsetTooOld {
        /// The model's opset version.
        opset: i64,
        /// The oldest opset that is supported.
        required: i64,
    },
}

impl Error {
    pub(crate) fn no_vjp(node: &NodeProto) -> Self {
        let (op, domain, node) = identity(node);
        Self::NoVjp { op, domain, node }
    }

    pub(crate) fn no_vjp_for_input(node: &NodeProto, index: usize) -> Self {
        let input = node.input.get(index).cloned().unwrap_or_default();
        let (op, domain, node) = identity(node);
        Self::NoVjpForInput { op, domain, node, index, input }
    }

    pub(crate) fn unsupported(node: &NodeProto, reason: impl Into<String>) -> Self {
        let (op, domain, node) = identity(node);
        Self::Unsupported { op, domain, node, reason: reason.into() }
    }
}

fn identity(node: &NodeProto) -> (String, String, String) {
    let domain = if node.is_standard() { "" } else { node.domain() };
    (node.op().to_owned(), domain.to_owned(), node.label().to_owned())
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoVjp { op, domain, node } => {
                write!(f, "{} has no vjp", Operator { op, domain, node })
            }
            Self::NoVjpForInput { op, domain, node, index, input } => {
                let operator = Operator { op, domain, node };
                write!(f, "{operator} has no vjp for its input {index}, '{input}'")
            }
            Self::Unsupported { op, domain, node, reason } => {
                write!(f, "{} {reason}", Operator { op, domain, node })
            }
            Self::Unreachable { output, tensor } => {
                write!(f, "the output '{output}' does not depend on '{tensor}'")
            }
            Self::NoGradient { output, tensor } => {
                write!(f, "no gradient flows from the output '{output}' to '{tensor}'")
            }
            Self::UnknownShape { tensor } => {
                write!(f, "the shape of tensor '{tensor}' is unknown")
            }
            Self::UnknownTensor { tensor } => write!(f, "the graph has no tensor '{tensor}'"),
            Self::NameTaken { name } => {
                write!(f, "the graph has '{name}' already, a name of what would be added")
            }
            Self::NoComponent { tensor, index, size } => {
                write!(f, "the last axis of '{tensor}' has {size} elements, so none at {index}")
            }
            Self::OpsetTooOld { opset, required } => {
                write!(f, "the model uses opset {opset}; gradients need opset {required} or later")
            }
        }
    }
}

impl std::error::Error for Error {}

/// An operator and its node, as every message names them.
struct Operator<'a> {
    op: &'a str,
    domain: &'a str,
    node: &'a str,
}

impl fmt::Display for Operator<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { op, domain, node } = self;
        let dot = if domain.is_empty() { "" } else { "." };
        write!(f, "operator {domain}{dot}{op} (node '{node}')")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_operator_with_its_domain_and_the_node() {
        let node = NodeProto::new("GridSample", &["x", "grid"], &["y"]);
        let error = Error::no_vjp(&node);
        assert_eq!(error.to_string(), "operator GridSample (node 'y') has no vjp");
        let node = NodeProto { domain: Some("com.example".into()), ..node };
        assert_eq!(
            Error::unsupported(&node, "is in training mode").to_string(),
            "operator com.example.GridSample (node 'y') is in training mode"
        );
        assert_eq!(
            Error::no_vjp_for_input(&node, 1).to_string(),
            "operator com.example.GridSample (node 'y') has no vjp for its input 1, \
             'grid'"
        );
    }
}
