//! Quantities: scores without probabilities.

use camlens::app::ExplainOptions;
use camlens::error::Kind;
use camlens::explain::{Convention, Method, ScoreKind};
use camlens::graph::head::OutputActivation;
use camlens::warning::WarningCode;

use super::{forward, image, model, model_of, network};
use crate::net::Net;
use crate::support::{load, settings, try_explain, write};

/// A number of years, `[N, 1]`.
pub(super) fn age(net: &mut Net, z: &str) -> String {
    let (scale, shift) = (net.float(3.0), net.float(35.0));
    let years = net.op("Mul", &[z, &scale]);
    net.op("Add", &[&years, &shift])
}

#[test]
fn a_single_score_that_is_certain_of_noise_is_a_quantity() {
    let model = model_of(1, age, "");
    assert_eq!((model.classes(), model.output_activation()), (1, OutputActivation::Identity));
    let codes: Vec<_> = model.warnings().iter().map(|warning| warning.code).collect();
    assert_eq!(codes, [WarningCode::OutputGuessed]);
    let found = try_explain(&model, &image(), &ExplainOptions::default()).unwrap();
    assert_eq!((found.target.probability, found.target.logit), (None, None));
    assert_eq!(found.target.value, Some(forward(&model).scores[[0, 0]]));
    assert!(!found.empty);
}

#[test]
fn a_manifest_or_two_labels_decide_what_a_single_score_is() {
    let activation = |manifest: &str| model_of(1, age, manifest).output_activation();
    assert_eq!(activation("[output]\nkind = \"logits\"\n"), OutputActivation::Sigmoid);
    assert_eq!(activation("[output]\nkind = \"sigmoid\"\n"), OutputActivation::Sigmoid);
    let regression = model_of(1, age, "[output]\nkind = \"regression\"\n");
    assert_eq!(regression.output_activation(), OutputActivation::Identity);
    assert!(regression.warnings().is_empty());
    let logit = model_of(1, |_, z| z.to_owned(), "");
    assert_eq!(logit.output_activation(), OutputActivation::Sigmoid);
    assert_eq!(logit.warnings()[0].code, WarningCode::OutputGuessed);

    let folder = tempfile::tempdir().unwrap().keep();
    write(&folder, &network(1, age), "");
    std::fs::write(folder.join("labels.txt"), "young\nold\n").unwrap();
    let labelled = load(&folder, &settings()).unwrap();
    assert_eq!(labelled.output_activation(), OutputActivation::Sigmoid);
    assert!(labelled.warnings().is_empty());
}

#[test]
fn quantities_have_no_probability_to_explain() {
    let model = model(|_, z| z.to_owned(), "[output]\nkind = \"regression\"\n");
    assert_eq!(model.classes(), 5);
    let explain = |options: &ExplainOptions| try_explain(&model, &image(), options);
    let first = explain(&ExplainOptions::default()).unwrap();
    assert_eq!(first.target.index, 0);
    let order: Vec<_> = first.predictions.iter().map(|one| one.index).collect();
    assert_eq!(order, [0, 1, 2, 3, 4]);
    let logit = ExplainOptions { score: Some(ScoreKind::Logit), ..ExplainOptions::default() };
    assert_eq!(explain(&logit).unwrap().map, first.map);
    let article = ExplainOptions { convention: Convention::Article, ..ExplainOptions::default() };
    assert!(explain(&article).is_ok());
    let probability =
        ExplainOptions { score: Some(ScoreKind::Probability), ..ExplainOptions::default() };
    assert_eq!(explain(&probability).unwrap_err().kind(), Kind::Impossible);
    let score_cam = ExplainOptions { method: Method::ScoreCam, ..article };
    assert_eq!(explain(&score_cam).unwrap_err().option(), Some("convention"));
    let score_cam = ExplainOptions { convention: Convention::Paper, ..score_cam };
    assert!(explain(&score_cam).is_ok());
}
