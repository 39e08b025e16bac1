//! The warnings that hold for every result of a model.

use crate::graph::analysed::AnalysedModel;
use crate::graph::head::Guess;
use crate::model::ModelFolder;
use crate::warning::{Warning, WarningCode};

/// What loading a model has shown that a reader of its results must know.
pub(super) fn warnings(
    folder: &ModelFolder,
    analysed: &AnalysedModel,
    is_reproducible: bool,
) -> Vec<Warning> {
    let found = [
        several_outputs(folder, analysed),
        guessed_output(analysed),
        varying(analysed, is_reproducible),
    ];
    folder.warnings.iter().cloned().chain(found.into_iter().flatten()).collect()
}

fn several_outputs(folder: &ModelFolder, analysed: &AnalysedModel) -> Option<Warning> {
    let head = &analysed.head;
    if folder.manifest.output.name.is_some() || head.others.is_empty() {
        return None;
    }
    let detail = format!(
        "the model has several outputs; '{}' is explained, and [output] name in model.toml chooses \
         another one: {}",
        head.output,
        head.others.join(", ")
    );
    Some(Warning::new(WarningCode::SeveralOutputs, detail))
}

fn guessed_output(analysed: &AnalysedModel) -> Option<Warning> {
    let output = &analysed.head.output;
    let detail = match analysed.head.guess? {
        Guess::Regression => format!(
            "output '{output}' holds one unbounded score for each image, which as a logit would be \
             certain of one class on noise; it is taken for a quantity, which has no probability. \
             [output] kind = \"regression\" in model.toml confirms that; kind = \"logits\", or two \
             labels, make it a classifier of two classes"
        ),
        Guess::BinaryLogit => format!(
            "output '{output}' holds one unbounded score for each image; it is taken for the logit \
             of the second of two classes. [output] kind = \"logits\" in model.toml, or two \
             labels, confirm that; kind = \"regression\" makes it a quantity, which has no probability"
        ),
    };
    Some(Warning::new(WarningCode::OutputGuessed, detail))
}

fn varying(analysed: &AnalysedModel, is_reproducible: bool) -> Option<Warning> {
    let nodes: Vec<&str> =
        (analysed.prepared.varying_nodes.iter()).map(|node| node.description.as_str()).collect();
    let named = nodes.join("; ");
    let detail = match (is_reproducible, nodes.is_empty()) {
        (true, true) => return None,
        (false, true) => {
            "the file gives other outputs when it runs again on the same image".to_owned()
        }
        (false, false) => {
            let has_dropout = nodes.iter().any(|node| node.starts_with("Dropout"));
            let left_out = if has_dropout {
                " Dropout is left out, as ONNX Runtime does when it optimises."
            } else {
                ""
            };
            format!(
                "the file gives other outputs when it runs again on the same image: \
                 {named}.{left_out} Export the model in inference mode"
            )
        }
        (true, false) => {
            format!("the file is not in inference mode: {named}; export it in inference mode")
        }
    };
    Some(Warning::new(WarningCode::NotReproducible, detail))
}
