//! Operations, steps and tensors: what an expression is made of.

/// Elements that are processed at once. With the handful of buffers that an expression needs, they
/// fit the first-level cache.
pub(super) const CHUNK: usize = 1024;

/// What one step does with its operands `a`, `b` and `c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `a`.
    Identity,
    /// `a + b`.
    Add,
    /// `a − b`.
    Sub,
    /// `a · b`.
    Mul,
    /// `a / b`.
    Div,
    /// `−a`.
    Neg,
    /// `|a|`.
    Abs,
    /// `√a`.
    Sqrt,
    /// `1 / a`.
    Reciprocal,
    /// `eᵃ`, within two units in the last place.
    Exp,
    /// `1 / (1 + e⁻ᵃ)`, within two units in the last place.
    Sigmoid,
    /// 1 where `a > b`, else 0.
    Greater,
    /// 1 where `a ≥ b`, else 0.
    GreaterOrEqual,
    /// 1 where `a = b`, else 0.
    Equal,
    /// 1 where both conditions hold, else 0.
    And,
    /// 1 where either condition holds, else 0.
    Or,
    /// 1 where condition `a` does not hold, else 0.
    Not,
    /// `b` where condition `a` holds, else `c`.
    Select,
    /// `a · min(max(a/6 + 1/2, 0), 1)` (Howard et al. 2019, arXiv 1905.02244).
    HardSwish,
}

impl Op {
    /// All operations; each one's index is `op as usize`, so an operation can be stored as a
    /// number.
    pub const ALL: [Self; 19] = [
        Self::Identity,
        Self::Add,
        Self::Sub,
        Self::Mul,
        Self::Div,
        Self::Neg,
        Self::Abs,
        Self::Sqrt,
        Self::Reciprocal,
        Self::Exp,
        Self::Sigmoid,
        Self::Greater,
        Self::GreaterOrEqual,
        Self::Equal,
        Self::And,
        Self::Or,
        Self::Not,
        Self::Select,
        Self::HardSwish,
    ];

    /// Number of operands.
    #[must_use]
    pub const fn operands(self) -> usize {
        match self {
            Self::Identity
            | Self::Neg
            | Self::Abs
            | Self::Sqrt
            | Self::Reciprocal
            | Self::Exp
            | Self::Sigmoid
            | Self::Not
            | Self::HardSwish => 1,
            Self::Select => 3,
            _ => 2,
        }
    }
}

/// One step of an expression.
///
/// Operands are indices of values, which are numbered in this order: the expression's inputs, its
/// constants, the results of its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What the step does.
    pub op: Op,
    /// Its operands. Those past [`Op::operands`] are ignored.
    pub operands: [usize; 3],
}

impl Step {
    /// The operands that the step reads.
    pub(super) fn reads(&self) -> impl Iterator<Item = usize> {
        self.operands.into_iter().take(self.op.operands())
    }
}

/// A borrowed tensor of 32-bit floats.
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a> {
    /// The values, row-major; as many as the product of `shape`.
    pub data: &'a [f32],
    /// The dimensions, outermost first.
    pub shape: &'a [usize],
}
