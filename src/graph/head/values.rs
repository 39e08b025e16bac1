//! How the values of an output relate to probabilities.
//!
//! A file may multiply probabilities, add a small constant that keeps a logarithm finite, take the
//! logarithm, and negate it. [`Values`] follows such steps one by one, so that the way back to the
//! probabilities is known.

/// The largest constant added to a probability that counts as a guard against `ln 0`.
const LARGEST_EPSILON: f32 = 1e-3;

/// `factor · x + offset`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) factor: f32,
    pub(super) offset: f32,
}

impl Line {
    const IDENTITY: Self = Self { factor: 1.0, offset: 0.0 };
}

/// The values `inner(p)`, or `outer · ln(inner(p))`, of probabilities p.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Values {
    pub(super) inner: Line,
    /// The factor of the logarithm, if there is one.
    pub(super) of_log: Option<f32>,
}

impl Values {
    /// `p`.
    pub(super) const PROBABILITY: Self = Self { inner: Line::IDENTITY, of_log: None };
    /// `ln p`.
    pub(super) const LOG: Self = Self { inner: Line::IDENTITY, of_log: Some(1.0) };

    /// These values times a constant.
    pub(super) fn scaled(self, by: f32) -> Option<Self> {
        let Line { factor, offset } = self.inner;
        let scaled = match self.of_log {
            Some(log) => Self { of_log: Some(log * by), ..self },
            None => Self { inner: Line { factor: factor * by, offset: offset * by }, ..self },
        };
        (by != 0.0 && by.is_finite()).then_some(scaled)
    }

    /// These values and a small positive constant.
    pub(super) fn guarded(self, by: f32) -> Option<Self> {
        let Line { factor, offset } = self.inner;
        let is_small = by > 0.0 && by <= LARGEST_EPSILON * factor;
        let inner = Line { factor, offset: offset + by };
        (is_small && self.of_log.is_none()).then_some(Self { inner, ..self })
    }

    pub(super) fn log(self) -> Option<Self> {
        let is_positive = self.inner.factor > 0.0 && self.of_log.is_none();
        is_positive.then_some(Self { of_log: Some(1.0), ..self })
    }

    pub(super) fn exp(self) -> Option<Self> {
        (self.of_log == Some(1.0)).then_some(Self { of_log: None, ..self })
    }

    /// The factor that the values have besides a probability or its logarithm; 1 if none.
    pub(super) fn factor(self) -> f32 {
        self.of_log.unwrap_or(1.0) * self.inner.factor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_on_probabilities_are_followed() {
        let p = Values::PROBABILITY;
        assert_eq!(p.scaled(100.0).unwrap().scaled(0.01).unwrap(), p);
        assert_eq!(p.log().unwrap(), Values::LOG);
        assert_eq!(Values::LOG.exp().unwrap(), p);
        assert_eq!(Values::LOG.scaled(-1.0).unwrap().factor(), -1.0);
        assert_eq!(p.guarded(1e-6).unwrap().log().unwrap().inner.offset, 1e-6);
    }

    #[test]
    fn steps_that_lose_the_probabilities_end_the_way() {
        let p = Values::PROBABILITY;
        assert_eq!(p.scaled(0.0), None);
        assert_eq!(p.guarded(0.5), None);
        // Beside halved probabilities a constant counts twice.
        assert!(p.guarded(0.75 * LARGEST_EPSILON).is_some());
        assert_eq!(p.scaled(0.5).unwrap().guarded(0.75 * LARGEST_EPSILON), None);
        assert_eq!(Values::LOG.guarded(1e-6), None);
        assert_eq!(Values::LOG.log(), None);
        assert_eq!(p.scaled(-1.0).unwrap().log(), None);
        assert_eq!(p.exp(), None);
    }
}
