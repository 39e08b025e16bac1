//! Feeds arbitrary bytes to the ONNX reader and everything that transforms the graph.
//!
//! An input that decodes as a model is prepared, searched for layers and differentiated, or refused
//! with an error; none panics.
#![no_main]

use bytes::Bytes;
use camlens::graph::layers::{Finder, Hints, Layout};
use camlens::graph::prepare::Prepared;
use camlens::graph::probe::{Shapes, constant_shapes, shape_probe};
use camlens::graph::score::{self, OutputKind};
use camlens::graph::{file, program};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(model) = file::decode(Bytes::copy_from_slice(bytes)) else { return };
    let Ok(prepared) = Prepared::new(&model) else { return };
    let prepared = prepared.upgraded();
    // The model is never run, so shapes are made up: [N, C, H, W] for tensors, [N, classes] for
    // outputs.
    let tensors = shape_probe(&prepared).shapes.into_values();
    let tensors = tensors.map(|tensor| (tensor, vec![2, 3, 4, 5]));
    let outputs = prepared.graph().output.iter();
    let outputs = outputs.map(|output| (output.name().to_owned(), vec![2, 5]));
    let shapes: Shapes = tensors.chain(constant_shapes(&prepared)).chain(outputs).collect();
    let Ok(score) = score::find(prepared.graph(), &shapes, None, OutputKind::Auto, 0) else {
        return;
    };
    let hints = Hints { image: Layout::Maps, tokens: None };
    for layer in Finder::new(prepared.graph(), &shapes, &score.tensor, hints).find() {
        let _ = program::explain(&prepared, &shapes, &score, &[&layer]);
    }
});
