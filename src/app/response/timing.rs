//! The time that each stage of a request took.

use serde::Serialize;

/// Milliseconds per stage.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct TimingMs {
    /// From the file to the model's input.
    pub decode: f64,
    /// The passes of the image itself.
    pub forward: f64,
    /// The methods: maths and masked passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explain: Option<f64>,
    /// From maps to a picture or an array.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub render: Option<f64>,
}

impl TimingMs {
    /// Rounded to the microsecond: more digits would be noise.
    #[must_use]
    pub fn rounded(self) -> Self {
        let round = |ms: f64| (ms * 1000.0).round() / 1000.0;
        let Self { decode, forward, explain, render } = self;
        Self {
            decode: round(decode),
            forward: round(forward),
            explain: explain.map(round),
            render: render.map(round),
        }
    }

    /// The stages that there were, by name.
    pub fn stages(self) -> impl Iterator<Item = (&'static str, f64)> {
        let Self { decode, forward, explain, render } = self;
        let stages = [
            ("decode", Some(decode)),
            ("forward", Some(forward)),
            ("explain", explain),
            ("render", render),
        ];
        stages.into_iter().filter_map(|(name, ms)| Some((name, ms?)))
    }
}
