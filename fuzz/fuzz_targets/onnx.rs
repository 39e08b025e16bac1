//! Feeds arbitrary bytes to the ONNX reader and everything that transforms the graph.
//!
//! An input that decodes as a model is prepared, searched for layers and differentiated, or refused
//! with an error; none panics.
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
});
