//! Reading and writing ONNX files: no field is lost, and no bytes cause a panic.

use bytes::Bytes;
use camlens::graph::analysed::{AnalysedModel, AnalysisOptions};
use camlens::graph::explain_graph;
use camlens::graph::prepared::PreparedModel;
use camlens::model::onnx_file::{OnnxFile, decode};
use onnx_gradient::facts::{TensorFacts, constant_shapes, shape_probe};
use proptest::prelude::*;
use prost::Message;

use crate::support::repository;

fn golden_models() -> Vec<std::path::PathBuf> {
    let folder = repository("tests/golden/dialects");
    let entries = std::fs::read_dir(folder)
        .expect("the golden models")
        .map(|entry| entry.expect("an entry").path());
    let models: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "onnx")).collect();
    assert!(models.len() >= 8, "{models:?}");
    models
}

#[test]
fn a_file_survives_the_round_trip_to_the_byte() {
    let fetched =
        ["models/vgg16-mri/model.onnx", "models/efficientnet-lite0/model.onnx"].map(repository);
    for path in golden_models().into_iter().chain(fetched) {
        let bytes = Bytes::from(std::fs::read(&path).expect("a model"));
        let written = decode(bytes.clone()).expect("an ONNX model").encode_to_vec();
        assert!(written == bytes, "{} changed", path.display());
        assert_eq!(
            OnnxFile::open(&path).expect("an ONNX model").unknown_bytes(),
            0,
            "{}",
            path.display()
        );
    }
}

#[test]
fn fields_of_a_later_schema_are_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("later.onnx");
    let mut bytes =
        std::fs::read(repository("tests/golden/dialects/tinymix.onnx")).expect("a model");
    // Field 1000, a string of three bytes.
    bytes.extend([0xC2, 0x3E, 3, b'n', b'e', b'w']);
    std::fs::write(&path, bytes).expect("a file");
    assert_eq!(OnnxFile::open(&path).expect("still an ONNX model").unknown_bytes(), 6);
}

/// A byte of a real file changed, or the file cut short.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let models: Vec<Vec<u8>> = golden_models()
        .iter()
        .map(|path| std::fs::read(path).expect("a model"))
        .filter(|m| m.len() < 120_000)
        .collect();
    let changes = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8);
    (prop::sample::select(models), changes, any::<prop::sample::Index>(), any::<bool>()).prop_map(
        |(mut bytes, changes, end, cut)| {
            for (place, value) in changes {
                let place = place.index(bytes.len());
                bytes[place] = value;
            }
            if cut {
                bytes.truncate(end.index(bytes.len()));
            }
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn arbitrary_bytes_are_decoded_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..400)
    ) {
        let _ = decode(bytes.into());
    }

    #[test]
    fn damaged_models_are_read_or_refused(bytes in damaged()) {
        let Ok(model) = decode(bytes.into()) else { return Ok(()) };
        let Ok(prepared) = PreparedModel::new(&model) else { return Ok(()) };
        let prepared = prepared.upgraded();
        // Nothing is run here, so every tensor gets the shape of a layer, and outputs that of scores.
        let measured = shape_probe(&prepared.model, &prepared.input.name)
            .shapes
            .into_values()
            .map(|tensor| (tensor, vec![2, 3, 4, 5]));
        let outputs =
            prepared.graph().output.iter().map(|output| (output.name().to_owned(), vec![2, 5]));
        let facts: TensorFacts =
            measured.chain(constant_shapes(prepared.graph())).chain(outputs).collect();
        let Ok(analysed) = AnalysedModel::new(prepared, facts, &AnalysisOptions::default()) else {
            return Ok(());
        };
        for layer in &analysed.layers {
            let built = explain_graph::explain(&analysed, &[layer]).map(drop);
            if layer.affects_score_per_position {
                let reason = analysed.gradient_unsupported_reason(layer).map(str::to_owned);
                prop_assert_eq!(built.err(), reason);
            }
        }
    }
}
