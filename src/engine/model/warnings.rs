//! The warnings that hold for every result of a model.

use crate::graph::analysed::AnalysedModel;
use crate::graph::head::{Guess, Selection};
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
        selection(analysed),
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

fn selection(analysed: &AnalysedModel) -> Option<Warning> {
    let head = &analysed.head;
    let output = &head.output;
    let detail = match head.selection.as_ref()? {
        Selection::Undone(operator) => format!(
            "output '{output}' holds the result of {operator}, which chooses among the classes; \
             the scores of all {} classes, from before {operator}, are explained",
            head.classes()
        ),
        Selection::Ranks(operator) if head.columns == 1 => format!(
            "output '{output}' is what {operator} makes of the largest score, whose class differs \
             from image to image, so labels are not used. Export the scores of all classes to \
             explain a class"
        ),
        Selection::Ranks(operator) => format!(
            "output '{output}' holds scores in order of size, and {operator} changes them, so a \
             column is a rank and not a class, and labels are not \
             used. Export the scores of all classes to explain a class"
        ),
    };
    Some(Warning::new(WarningCode::OutputGuessed, detail))
}

fn guessed_output(analysed: &AnalysedModel) -> Option<Warning> {
    let head = &analysed.head;
    let (output, range, columns) = (&head.output, head.range, head.columns);
    let as_quantity = "it is taken for a quantity, which has no probability. [output] kind = \
                       \"regression\" in model.toml confirms that";
    let as_logits = "they are taken for the logits of a softmax. [output] kind = \"logits\" in \
                     model.toml confirms that";
    let or_classifier = "kind = \"logits\", or two labels, make it a classifier of two classes";
    let or_quantities = "kind = \"regression\" makes them quantities without probabilities";
    let detail = match head.guess? {
        Guess::Regression => format!(
            "output '{output}' holds one value without bounds for each image, which as a logit \
             would be certain of one class on noise; {as_quantity}; {or_classifier}"
        ),
        Guess::BoundedQuantity if range.is_bounded() => format!(
            "output '{output}' holds one value {range} for each image, and a logit has no bounds; \
             {as_quantity}; {or_classifier}"
        ),
        Guess::BoundedQuantity => format!(
            "output '{output}' holds one whole number for each image; {as_quantity}; {or_classifier}"
        ),
        Guess::ScaledProbability(factor) => format!(
            "output '{output}' holds one value {range} for each image, which is {factor} times a \
             probability or its logarithm; {as_quantity}; kind = \"probabilities\", or two labels, \
             make it the probability of the second of two classes"
        ),
        Guess::UnitVector => format!(
            "output '{output}' holds {columns} values for each image, whose squares sum to 1, as \
             those of normalised features do; they are taken for quantities, which have no \
             probability. [output] kind = \"regression\" in model.toml confirms that; \
             kind = \"logits\" makes them class scores"
        ),
        Guess::BinaryLogit if range.is_bounded() => format!(
            "output '{output}' holds one value {range} for each image; because there are two \
             labels, it is taken for the logit of the second class, which then always has the \
             same side of 50 %. [output] kind = \"logits\" in model.toml confirms that; \
             kind = \"regression\" makes it a quantity, which has no probability"
        ),
        Guess::BinaryLogit => format!(
            "output '{output}' holds one value without bounds for each image; it is taken for the \
             logit of the second of two classes. [output] kind = \"logits\" in model.toml, or two \
             labels, confirm that; kind = \"regression\" makes it a quantity, which has no probability"
        ),
        Guess::Logits => format!(
            "output '{output}' holds {columns} values {range}, and logits usually have no bounds; \
             {as_logits}; {or_quantities}"
        ),
        Guess::LogitsAfterActivation => format!(
            "output '{output}' is computed from the result of a softmax or sigmoid, by operators \
             that don't show how to get back to it; {as_logits}; {or_quantities}. If the \
             probabilities are an output as well, [output] name chooses it"
        ),
        Guess::Probabilities => format!(
            "it was guessed that output '{output}' holds probabilities, because all its values \
             lay between 0 and 1 on test images. [output] kind = \"probabilities\" in model.toml \
             confirms that; kind = \"logits\" is for scores before a softmax, kind = \
             \"regression\" for quantities and features"
        ),
        Guess::Rescaled(factor) => format!(
            "output '{output}' holds {factor} times the probabilities of a softmax or sigmoid, or \
             their logarithms; the probabilities in responses are those without the factor. \
             [output] kind = \"probabilities\" in model.toml confirms that; kind = \"regression\" \
             takes the values as they are"
        ),
        Guess::DeclaredLogits => format!(
            "model.toml says that output '{output}' holds logits, but its values are {range}, so \
             the probabilities in responses, which are computed from them, differ from the \
             model's. [output] kind = \"auto\" keeps the model's probabilities"
        ),
        Guess::OneClassSoftmax => format!(
            "output '{output}' is a softmax over one class, so its probability is 1 for every \
             image, and only the logit says anything. A classifier of two classes needs a sigmoid, \
             or a softmax over two classes"
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
