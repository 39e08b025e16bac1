//! An ONNX file.

use bytes::Bytes;
use camlens::graph::analysed::{AnalysedModel, AnalysisOptions};
use camlens::graph::explain_graph;
use camlens::graph::prepared::PreparedModel;
use camlens::model::onnx_file;
use onnx_gradient::facts::{TensorFacts, constant_shapes, shape_probe};
use onnx_gradient::index::find_name;

/// An input that decodes as a model is prepared, searched for layers and differentiated, or refused
/// with an error. A model with names of camlens's own is refused.
pub fn run(bytes: &[u8]) {
    let Ok(model) = onnx_file::decode(Bytes::copy_from_slice(bytes)) else { return };
    let Ok(prepared) = PreparedModel::new(&model) else { return };
    let is_own = |name: &str| name.starts_with("camlens/");
    assert_eq!(model.graph.as_ref().and_then(|graph| find_name(graph, &is_own)), None);
    let prepared = prepared.upgraded();
    // The model is never run, so shapes are made up: [N, C, H, W] for tensors, [N, classes] for
    // outputs.
    let measured = shape_probe(&prepared.model, &prepared.input.name)
        .shapes
        .into_values()
        .map(|tensor| (tensor, vec![2, 3, 4, 5]));
    let outputs =
        prepared.graph().output.iter().map(|output| (output.name().to_owned(), vec![2, 5]));
    let facts: TensorFacts =
        measured.chain(constant_shapes(prepared.graph())).chain(outputs).collect();
    let Ok(analysed) = AnalysedModel::new(prepared, facts, &AnalysisOptions::default()) else {
        return;
    };
    for layer in &analysed.layers {
        let _ = explain_graph::explain(&analysed, &[layer]);
    }
}
