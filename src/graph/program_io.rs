//! What a program and its callers agree on: the names of inputs and outputs, and the values that
//! choose a score.

/// Names of a program's inputs and outputs.
pub mod io_names {
    /// Input, int64 `[K, N]`: the class to explain for each gradient, −1 for the predicted one.
    pub const TARGET: &str = "camlens/target";
    /// Input, int64 `[K, N]`: the class whose score is subtracted for each gradient, −1 for none.
    pub const CONTRAST: &str = "camlens/contrast";
    /// Input, int64 `[1]`: which score is differentiated, a [`super::GradientOf`].
    pub const GRADIENT_OF: &str = "camlens/gradient_of";
    /// Inside the loop of the backward pass, int64: its iteration, the index of the gradient.
    pub(in crate::graph) const ITERATION: &str = "camlens/iteration";
    /// Output, float `[N, classes]`: the scores, which are logits unless the model hides them.
    pub const SCORES: &str = "camlens/scores";
    /// Output, float `[N, classes]`: the probabilities.
    pub const PROBABILITIES: &str = "camlens/probabilities";

    /// Output, float `[K, N, C, h, w]`: ∂score/∂activation for the program's layer with this index;
    /// empty where K is 0.
    #[must_use]
    pub fn gradient(index: usize) -> String {
        format!("camlens/gradients/{index}")
    }
}

/// The score that a run differentiates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GradientOf {
    /// None: a plain forward pass.
    None = 0,
    /// The class's logit.
    Logit = 1,
    /// The class's probability.
    Probability = 2,
}
