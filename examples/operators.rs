//! Compares camlens's gradients with a reference, on ONNX's own test cases of its operators.
//!
//! `cargo run --release --example operators -- FOLDER` reads the networks that
//! `scripts/conformance/operators.py` wrote to `FOLDER/<operator>/<case>/`, and prints a Markdown
//! table: for each operator, how many cases agree with the reference, and why the others have no
//! gradient. It fails when a gradient is wrong.
#![expect(clippy::print_stdout, reason = "the table is the program's output")]

mod shared;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use camlens::engine::{CancellationToken, ModelRegistry, PassRequest, Settings};
use camlens::graph::explain_graph::GradientOf;
use camlens::model::ModelFolder;
use ndarray::{Array1, Array4, OwnedRepr};
use ndarray_npy::NpzReader;
use shared::{Fallible, folders, name, worst};

/// Largest difference that counts as agreement, relative to the largest derivative, or to [`SMALL`]
/// where all derivatives are smaller.
const TOLERANCE: f64 = 1e-4;
const SMALL: f64 = 1e-3;

/// Scores that differ by more than this show that the runtime and the reference compute different
/// functions, so their gradients are not compared.
const SAME: f64 = 1e-4;

/// The result of a case.
enum Outcome {
    /// The largest difference from the reference's gradient, which may be 0 everywhere.
    Compared(f64),
    /// Why there is no gradient.
    Refused(String),
    /// Why the case does not allow a comparison.
    NotCompared(&'static str),
}

fn main() -> Fallible<ExitCode> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: operators FOLDER")?);
    println!("| operator | cases | agree | largest difference | no gradient | not compared |");
    println!("|---|---|---|---|---|---|");
    let (mut agree, mut refused, mut not_compared, mut wrong) = (0, 0, 0, Vec::new());
    for operator in folders(&folder)? {
        let (mut compared, mut largest) = (0, 0.0_f64);
        let (mut refusals, mut others) = (BTreeMap::new(), BTreeMap::new());
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
                Outcome::NotCompared(why) => *others.entry(why).or_insert(0) += 1,
            }
        }
        let largest = if compared > 0 { format!("{largest:.0e}") } else { String::new() };
        let (refusals_text, others_text) = (counted(&refusals), counted(&others));
        println!(
            "| {} | {} | {compared} | {largest} | {refusals_text} | {others_text} |",
            name(&operator),
            cases.len()
        );
        agree += compared;
        refused += refusals.values().sum::<usize>();
        not_compared += others.values().sum::<usize>();
    }
    println!(
        "\n{agree} gradients agree, {refused} are refused, {not_compared} are not compared, \
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
    if off.fold(0.0, f64::max) > SAME {
        return Ok(Outcome::NotCompared("the runtime and the reference give other scores"));
    }
    if !expected.iter().any(|value| value.is_finite()) {
        return Ok(Outcome::NotCompared("no place to compare"));
    }
    let layer = model.default_layer();
    let found: Vec<f64> = match model.gradient_unsupported_reason(layer) {
        // Step and sign functions: the derivative is 0 wherever it exists.
        Some(why) if why.starts_with("the score does not depend") => vec![0.0; expected.len()],
        Some(why) => return Ok(Outcome::Refused(short(why))),
        // The derivative of rounding is 0, which a straight-through estimate is not.
        None if layer.is_estimated => {
            return Ok(Outcome::NotCompared("a straight-through estimate"));
        }
        None => {
            let pass = PassRequest {
                targets: vec![0],
                gradient_of: GradientOf::Logit,
                ..PassRequest::of(x)
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

/// A message without the node's name.
fn short(why: &str) -> String {
    let rest = why.split_once("') ").filter(|_| why.starts_with("operator ")).map(|(_, rest)| rest);
    let operator = why.split(' ').nth(1).unwrap_or_default();
    rest.map_or_else(|| why.to_owned(), |rest| format!("{operator} {rest}"))
}

fn counted<Reason: Display>(reasons: &BTreeMap<Reason, usize>) -> String {
    let parts: Vec<String> = reasons.iter().map(|(why, count)| format!("{count}: {why}")).collect();
    parts.join("; ")
}
