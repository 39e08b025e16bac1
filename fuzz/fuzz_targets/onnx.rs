//! Any bytes are an ONNX model or none; what is one can be prepared, searched for layers and differentiated,
//! or is refused with a sentence, never with a panic.
#![no_main]

use bytes::Bytes;
use camlens::graph::analysed::{AnalysedModel, AnalysisOptions};
use camlens::graph::explain_graph;
use camlens::graph::prepared::PreparedModel;
use camlens::model::onnx_file;
use libfuzzer_sys::fuzz_target;
use onnx_gradient::facts::{TensorFacts, constant_shapes, shape_probe};

fuzz_target!(|bytes: &[u8]| {
    let Ok(model) = onnx_file::decode(Bytes::copy_from_slice(bytes)) else { return };
    let Ok(prepared) = PreparedModel::new(&model) else { return };
    let prepared = prepared.upgraded();
    // Nothing is run here, so every tensor gets a shape that layers have, and outputs one that scores have.
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
});
