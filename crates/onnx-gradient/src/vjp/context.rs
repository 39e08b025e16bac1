//! What a vector–Jacobian product is computed from.

use crate::proto::NodeProto;

/// One step of the walk: a node of the forward graph, and the gradients that have arrived at its
/// outputs.
#[derive(Debug)]
pub struct VjpContext<'a> {
    /// The node to be differentiated.
    pub node: &'a NodeProto,
    /// The gradient of each output; `None` where none flows.
    pub grad_outputs: Vec<Option<String>>,
    /// Which inputs depend on the target; only they need a gradient.
    pub needs_grad: Vec<bool>,
}

impl VjpContext<'_> {
    /// The gradient of the first output, for a rule that knows no other. The walk only calls rules
    /// when one has arrived somewhere.
    ///
    /// # Errors
    /// When one has arrived at another output: the score depends on that, too.
    pub fn gradient(&self) -> Result<&str, String> {
        match self.grad_outputs.split_first() {
            Some((Some(gradient), others)) if others.iter().all(Option::is_none) => Ok(gradient),
            _ => Err(self.refuse("is used by another output than its first")),
        }
    }

    /// The name of input `index`.
    ///
    /// # Errors
    /// When the node leaves it out although its operator needs it.
    pub fn input(&self, index: usize) -> Result<&str, String> {
        self.node.input_name(index).ok_or_else(|| self.refuse(&format!("has no input {index}")))
    }

    /// The name of the first output.
    #[must_use]
    pub fn output(&self) -> &str {
        self.node.output.first().map_or("", String::as_str)
    }

    /// True when input `index` depends on the target.
    #[must_use]
    pub fn wants(&self, index: usize) -> bool {
        self.needs_grad.get(index).copied().unwrap_or(false)
    }

    /// A gradient for the first input alone.
    #[must_use]
    pub fn only_first(&self, gradient: String) -> Vec<Option<String>> {
        let mut gradients = vec![None; self.node.input.len()];
        gradients[0] = Some(gradient);
        gradients
    }

    /// Why this node can't be differentiated, with the operator and the node named.
    #[must_use]
    pub fn refuse(&self, why: &str) -> String {
        let domain = if self.node.is_standard() {
            String::new()
        } else {
            format!("{}.", self.node.domain())
        };
        format!("operator {domain}{} (node '{}') {why}", self.node.op(), self.node.label())
    }
}
