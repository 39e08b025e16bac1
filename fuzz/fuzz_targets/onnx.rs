//! Any bytes are an ONNX model or none; what is one can be prepared, searched for layers and differentiated,
//! or is refused with a sentence, never with a panic.
#![no_main]

use bytes::Bytes;
use camlens::graph::prepare::Prepared;
use camlens::graph::probe::{Shapes, constant_shapes, shape_probe};
use camlens::graph::score::{self, OutputKind};
use camlens::graph::{file, layers, program};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(model) = file::decode(Bytes::copy_from_slice(bytes)) else { return };
    let Ok(prepared) = Prepared::new(&model) else { return };
    let prepared = prepared.upgraded();
    // Nothing is run here, so every tensor gets a shape that layers have.
    let measured = shape_probe(&prepared).shapes.into_values().map(|tensor| (tensor, vec![2, 3, 4, 5]));
    let shapes: Shapes = measured.chain(constant_shapes(&prepared)).collect();
    let Ok(score) = score::find(prepared.graph(), None, OutputKind::Auto) else { return };
    for layer in layers::find(prepared.graph(), &shapes, &score.tensor) {
        let _ = program::explain(&prepared, &shapes, &score, &layer.tensor);
    }
});
