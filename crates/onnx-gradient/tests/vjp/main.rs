//! Every vjp against finite differences, one test a case: `cargo nextest run -p onnx-gradient`.
//!
//! See [`cases`] for what a case is, and [`runtime`] for where ONNX Runtime is looked for.

/// Declares a table of cases, and a test for each row.
macro_rules! cases {
    ($(($name:ident, $op:literal, $low:expr, $high:expr, $build:expr)),* $(,)?) => {
        pub(crate) const CASES: &[super::Case] = &[$(
            super::Case {
                name: stringify!($name),
                op: $op,
                range: ($low, $high),
                build: $build,
            }
        ),*];
        $(
            #[test]
            fn $name() {
                let case = CASES.iter().find(|case| case.name == stringify!($name));
                crate::finite_differences::check(case.expect("a row of the table"));
            }
        )*
    };
}

mod cases;
mod errors;
mod finite_differences;
mod network;
mod qoperator;
mod requests;
mod runtime;
mod straight_through;
mod ties;

use finite_differences::gradient_of;
use onnx_gradient::vjp;

#[test]
fn every_operator_of_the_table_has_a_case() {
    let missing: Vec<_> = (vjp::TABLE.iter())
        .map(|(op, _)| *op)
        .filter(|op| !cases::standard().any(|case| case.op == *op))
        .filter(|op| !straight_through::OPERATORS.contains(op))
        .collect();
    assert!(missing.is_empty(), "operators without a case: {missing:?}");
}

#[test]
fn no_two_cases_have_the_same_name() {
    let mut names: Vec<_> = cases::all().map(|case| case.name).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}
