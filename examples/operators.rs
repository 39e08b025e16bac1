//! Compares camlens's gradients with references for ONNX's own test cases of its operators.
//!
//! `cargo run --release --example operators -- FOLDER` reads the networks that
//! `tools conformance.operators` made, `FOLDER/<operator>/<case>/`, and prints a Markdown
//! table: for each operator, the number of cases with the reference's gradient, and the reasons why
//! others have none. It fails if a gradient is wrong.
#![expect(clippy::print_stdout, reason = "the program prints a table")]

mod shared;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use camlens::engine::{CancellationToken, ModelRegistry, PassRequest, Settings};
use camlens::graph::program_io::GradientOf;
use camlens::model::ModelFolder;
use ndarray::{Array1, Array4, OwnedRepr};
use ndarray_npy::NpzReader;
use shared::{Fallible, folders, name, worst};

/// Largest accepted difference, relative to the largest derivative, or to [`SMALL`] if all are
/// smaller.
const TOLERANCE: f64 = 1e-4;
const SMALL: f64 = 1e-3;

/// Largest relative difference between the runtime's and the reference's scores. If they differ by
/// more, the two compute different functions, and their gradients are not compared.
const SCORE_TOLERANCE: f64 = 1e-4;

/// The result of a case.
enum Outcome {
    /// The difference from the reference's gradient, which may be 0 everywhere.
    Compared(f64),
    /// Why the gradient is unsupported.
    Refused(String),
    /// Why the gradients cannot be compared.
    NotCompared(&'static str),
}

fn main() -> Fallible<ExitCode> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: operators FOLDER")?);
    println!("| operator | cases | agree | largest difference | no gradient | not compared |");
    println!("|---|---|---|---|---|---|");
    let (mut agree, mut refused, mut not_compared, mut wrong) = (0, 0, 0, Vec::new());
    for operator in folders(&folder)? {
        let (mut compared, mut largest) = (0, 0.0_f64);
        let (mut refusals, mut uncompared) = (BTreeMap::new(), BTreeMap::new());
        let cases = folders(&operator)?;
        for case in &cases {
            match one(case).map_err(|error| format!("{}: {error}", case.display()))? {
                Outcome::Compared(difference) if difference <= TOLERANCE => {
                    compared += 1;
                    largest = largest.max(difference);
                }
                Outcome::Compared(difference) => {
                    wrong.push(format!("{} ({difference:.0e})", name(case)))
                }
                Outcome::Refused(why) => *refusals.entry(why).or_insert(0) += 1,
                Outcome::NotCompared(why) => *uncompared.entry(why).or_insert(0) += 1,
            }
        }
        let largest = if compared > 0 { format!("{largest:.0e}") } else { String::new() };
        let (reasons, other_reasons) = (counted(&refusals), counted(&uncompared));
        println!(
            "| {} | {} | {compared} | {largest} | {reasons} | {other_reasons} |",
            name(&operator),
            cases.len()
        );
        agree += compared;
        refused += refusals.values().sum::<usize>();
        not_compared += uncompared.values().sum::<usize>();
    }
    println!(
        "\n{agree} gradients agree, {refused} are unsupported, {not_compared} are not compared, \
         {} are wrong.",
        wrong.len()
    );
    wrong.iter().for_each(|case| println!("- wrong: {case}"));
    Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn one(case: &Path) -> Fallible<Outcome> {
    let mut arrays = NpzReader::new(File::open(case.join("case.npz"))?)?;
    let x: Array4<f32> = arrays.by_name::<OwnedRepr<f32>, _>("x.npy")?;
    let expected: Array1<f64> = arrays.by_name::<OwnedRepr<f64>, _>("gradient.npy")?;
    let scores: Array1<f64> = arrays.by_name::<OwnedRepr<f64>, _>("scores.npy")?;
    let settings = Settings { layer_sessions: 1, cache_bytes: 0, ..Settings::default() };
    let Ok(model) = ModelRegistry::load_one(ModelFolder::read(case)?, &settings) else {
        return Ok(Outcome::NotCompared("the runtime refuses it"));
    };
    let Ok(forward) = model.forward(x.clone(), &CancellationToken::default()) else {
        return Ok(Outcome::NotCompared("the scores are NaN or infinite"));
    };
    let level = scores.fold(SMALL, |level, score| level.max(score.abs()));
    let off = scores.iter().zip(&forward.scores).map(|(a, &b)| (a - f64::from(b)).abs() / level);
    if off.fold(0.0, f64::max) > SCORE_TOLERANCE {
        return Ok(Outcome::NotCompared("the runtime and the reference give other scores"));
    }
    if !expected.iter().any(|value| value.is_finite()) {
        return Ok(Outcome::NotCompared("no element to compare"));
    }
    let layer = model.default_layer();
    let found: Vec<f64> = match model.gradient_unsupported_reason(layer) {
        // Steps and signs: the derivative is 0 wherever it exists.
        Some(why) if why.starts_with("the score does not depend") => vec![0.0; expected.len()],
        Some(why) => return Ok(Outcome::Refused(short(why))),
        // Finite differences of rounding are meaningless.
        None if layer.is_straight_through => {
            return Ok(Outcome::NotCompared("a straight-through estimate"));
        }
        None => {
            let pass = PassRequest {
                targets: vec![0],
                gradient_of: GradientOf::Logit,
                ..PassRequest::new(x)
            };
            let gradients = model.run(layer, pass, &CancellationToken::default())?.gradients;
            gradients[0].iter().map(|&value| f64::from(value)).collect()
        }
    };
    let known = || expected.iter().zip(&found).filter(|(expected, _)| expected.is_finite());
    let largest = known().fold(SMALL, |largest, (expected, _)| largest.max(expected.abs()));
    let difference = worst(known().map(|(expected, found)| (expected - found).abs() / largest));
    Ok(Outcome::Compared(difference))
}

/// The reason, without the name of the node.
fn short(why: &str) -> String {
    let rest = why.split_once("') ").filter(|_| why.starts_with("operator ")).map(|(_, rest)| rest);
    let operator = why.split(' ').nth(1).unwrap_or_default();
    rest.map_or_else(|| why.to_owned(), |rest| format!("{operator} {rest}"))
}

fn counted<Reason: Display>(reasons: &BTreeMap<Reason, usize>) -> String {
    let parts: Vec<String> = reasons.iter().map(|(why, count)| format!("{count}: {why}")).collect();
    parts.join("; ")
}
