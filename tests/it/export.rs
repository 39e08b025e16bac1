//! Exported files: plain ONNX Runtime computes the service's maps from them.

use std::path::Path;

use camlens::app::ExplainOptions;
use camlens::engine::{Model, PlainSession};
use camlens::explain::spec::Needs;
use camlens::explain::{Choice, Convention, Method, Normalization, ScoreKind};
use camlens::export::{ExportRequest, METHODS, Weights, export, output_name, write};
use camlens::graph::export_graph::ExportTarget;
use camlens::model::onnx_file::OnnxFile;
use image::{Rgb, RgbImage};
use ndarray::{Array3, Array4, ArrayD, Axis};
use onnx_gradient::proto::{ModelProto, ValueInfoProto, data_type};

use crate::support::{Golden, explain, golden_model, image_size, settings};

/// Largest difference of a map in 0..1.
const TOLERANCE: f32 = 1e-5;

/// The same for 16-bit floats, which have 11 bits: ONNX Runtime's optimisations move the casts.
const SHORT: f32 = 2e-3;

/// Passes change the scores of these networks, which have random weights, in the fourth digit and
/// behind it. A map's range is that change, so it shows the rounding of the scores a thousand times
/// as large. (EfficientNet-Lite0's maps agree to [`TOLERANCE`].)
const OF_PASSES: f32 = 2e-4;

fn tolerance(name: &str, method: Method) -> f32 {
    let has_passes = matches!(method.spec().needs, Needs::Masked | Needs::Tail);
    match (name.ends_with("-half"), has_passes) {
        (false, false) => TOLERANCE,
        (false, true) => OF_PASSES,
        (true, false) => SHORT,
        // One step of a score.
        (true, true) => 5e-3,
    }
}

/// The outputs of these names, `[N, h, w]`.
fn run(
    path: &Path,
    is_optimised: bool,
    x: &Array4<f32>,
    target: Option<&[i64]>,
    names: &[String],
) -> Vec<Array3<f32>> {
    let mut session = PlainSession::open(path, &settings(), is_optimised).unwrap();
    let target: Vec<_> = target.map(|target| ("target", target)).into_iter().collect();
    let maps = session.run(x, &target, names).unwrap();
    maps.into_iter().map(|map| map.into_dimensionality().unwrap()).collect()
}

/// Enough for every method.
const LOGITS: [ScoreKind; METHODS.len()] = [ScoreKind::Logit; METHODS.len()];
const PROBABILITIES: [ScoreKind; METHODS.len()] = [ScoreKind::Probability; METHODS.len()];

fn request<'a>(model: &'a Model, methods: &'a [Method]) -> ExportRequest<'a> {
    ExportRequest {
        methods,
        layer: model.default_layer(),
        convention: Convention::Paper,
        scores: &LOGITS,
        normalization: None,
        target: ExportTarget::Input,
        at_input_size: false,
        with_preprocessing: false,
    }
}

fn exported(model: &Model, request: &ExportRequest<'_>, folder: &Path) -> std::path::PathBuf {
    let path = folder.join("cam.onnx");
    let file: ModelProto = export(model, request).unwrap();
    write(&path, file, model.file(), Weights::Auto).unwrap();
    path
}

/// Whether ONNX Runtime optimises: with and without, unless that alone changes the scores of the
/// model's own file. It does so for 8-bit models on x86-64 processors without VNNI, where sums of two
/// products saturate at 16 bits.
fn levels(model: &Path, x: &Array4<f32>) -> Vec<bool> {
    let one = x.slice_axis(Axis(0), (0..1).into()).to_owned();
    let [plain, optimised] = [false, true].map(|is_optimised| {
        let mut session = PlainSession::open(model, &settings(), is_optimised).unwrap();
        let output = session.first_output();
        session.run(&one, &[], &[output]).unwrap().remove(0)
    });
    let largest = |scores: &ArrayD<f32>| scores.fold(0.0_f32, |most, v| most.max(v.abs()));
    match largest(&(&optimised - &plain)) <= 1e-2 * largest(&plain) {
        true => vec![false, true],
        false => vec![false],
    }
}

/// Compares every method's map of every image with the service's.
fn agrees(name: &str, model: &Model, x: &Array4<f32>, change: impl Fn(&mut ExportRequest<'_>)) {
    let folder = tempfile::tempdir().unwrap();
    let mut request = request(model, &METHODS);
    change(&mut request);
    let path = exported(model, &request, folder.path());
    let targets: Vec<i64> =
        (0..x.len_of(Axis(0))).map(|image| [1, -1, 0, 2, -1][image % 5]).collect();
    let names: Vec<String> = METHODS.iter().map(|&method| output_name(method, false)).collect();
    for is_optimised in levels(&model.folder().onnx_path(), x) {
        let found = run(&path, is_optimised, x, Some(&targets), &names);
        for (maps, &method) in found.iter().zip(&METHODS) {
            for (image, (map, &target)) in maps.outer_iter().zip(&targets).enumerate() {
                let options = ExplainOptions {
                    method,
                    convention: request.convention,
                    score: Some(request.scores[0]),
                    normalize: request.normalization,
                    target: (target >= 0).then(|| target.to_string()),
                    layer: Some(request.layer.name.clone()),
                    ..ExplainOptions::default()
                };
                let image_of = x.slice_axis(Axis(0), (image..=image).into()).to_owned();
                let right = explain(model, &image_of, &options);
                let right = match request.at_input_size {
                    true => right.resized(right.input_size[0], right.input_size[1]),
                    false => right.map,
                };
                assert_eq!(map.shape(), right.shape());
                let difference = (&map - &right).fold(0.0_f32, |most, d| most.max(d.abs()));
                let tolerance = tolerance(name, method);
                assert!(
                    difference <= tolerance,
                    "{name}, {}, image {image}: {difference}",
                    method.name()
                );
            }
        }
    }
}

fn images(name: &str) -> Array4<f32> {
    let x: Array4<f32> = Golden::open(&format!("{name}.npz")).get("x");
    // Five images of two, so that a batch has more images than the model was measured with.
    let first = x.index_axis(Axis(0), 0).insert_axis(Axis(0)).to_owned();
    let scaled: Vec<Array4<f32>> =
        [1.0, -0.7, 0.4, 1.3, 0.9].iter().map(|factor| &first * *factor).collect();
    let views: Vec<_> = scaled.iter().map(|image| image.view()).collect();
    ndarray::concatenate(Axis(0), &views).unwrap()
}

#[test]
fn architectures_explain_themselves() {
    for name in [
        "zoo/attention-dynamo",
        "zoo/convnext-torchscript",
        "zoo/deit-dynamo",
        "zoo/densenet-torchscript",
        "zoo/maxvit-dynamo",
        "zoo/registers-torchscript",
        "zoo/shufflenet-dynamo",
        "zoo/swin-torchscript",
        "zoo/vit-dynamo",
        "zoo/patchwork-dynamo",
    ] {
        let x = images(name);
        let model = golden_model(name, image_size(&x), "", &settings());
        agrees(name, &model, &x, |_| {});
    }
}

#[test]
fn conventions_scores_and_sizes_are_the_service_s() {
    let name = "zoo/convnext-dynamo";
    let x = images(name);
    let model = golden_model(name, image_size(&x), "", &settings());
    agrees(name, &model, &x, |request| request.scores = &PROBABILITIES);
    agrees(name, &model, &x, |request| request.normalization = Some(Normalization::MinMax));
    agrees(name, &model, &x, |request| request.at_input_size = true);
    agrees(name, &model, &x, |request| {
        request.convention = Convention::PytorchGradCam;
        request.at_input_size = true;
    });
}

#[test]
fn quantised_and_short_models_are_exported_too() {
    for name in ["zoo/quantised-torchscript", "zoo/convnext-torchscript-half", "zoo/convnext-qdq"] {
        let golden = name.trim_end_matches("-half").replace("-qdq", "-torchscript");
        let x = images(&golden);
        let model = golden_model(name, image_size(&x), "", &settings());
        agrees(name, &model, &x, |_| {});
    }
}

/// A model of 16-bit floats takes and gives what it did, and ONNX Runtime accepts the file.
#[test]
fn inputs_and_outputs_keep_their_types() {
    let name = "zoo/vit-dynamo-half";
    let x = images("zoo/vit-dynamo");
    let model = golden_model(name, image_size(&x), "", &settings());
    let folder = tempfile::tempdir().unwrap();
    let path = exported(&model, &request(&model, &METHODS[..8]), folder.path());
    // ONNX Runtime 1.32 crashes when it optimises this model, as its exporter wrote it, too.
    PlainSession::open(&path, &settings(), false).unwrap();
    let written = OnnxFile::open(&path).unwrap().model.graph.unwrap();
    let original = model.file().model.graph.as_ref().unwrap();
    let types = |values: &[ValueInfoProto]| -> Vec<(String, i32)> {
        let of = |value: &ValueInfoProto| (value.name().to_owned(), value.tensor().unwrap().0);
        values.iter().map(of).collect()
    };
    assert_eq!(types(&written.input)[0], types(&original.input)[0]);
    assert_eq!(types(&written.output)[0], types(&original.output)[0]);
    assert_eq!(types(&original.output)[0].1, data_type::FLOAT16);
}

/// The file fits pixels to the input as the service does.
#[test]
fn a_file_can_take_pixels_of_any_size() {
    let name = "zoo/convnext-dynamo";
    let x = images(name);
    let grey = "color = \"bgr\"\nresize = \"nearest\"\nfit = \"stretch\"\n";
    for (manifest, [width, height]) in [
        ("resize = \"bilinear\"\nfit = \"crop\"\n", [75, 50]),
        ("resize = \"bicubic\"\nfit = \"crop\"\ncrop_ratio = 0.9\n", [61, 130]),
        ("resize = \"bilinear\"\nfit = \"stretch\"\n", [20, 97]),
        (grey, [70, 41]),
    ] {
        let model = golden_model(name, image_size(&x), manifest, &settings());
        let folder = tempfile::tempdir().unwrap();
        let request = ExportRequest {
            target: ExportTarget::Predicted,
            with_preprocessing: true,
            ..request(&model, &[Method::GradCam])
        };
        let mut file = export(&model, &request).unwrap();
        // The input that the file computes, as one more output.
        let input = model.analysed().prepared.input.name.clone();
        let computed = ValueInfoProto::typed(&input, data_type::FLOAT, None);
        file.graph.as_mut().unwrap().output.push(computed);
        let path = folder.path().join("cam.onnx");
        write(&path, file, model.file(), Weights::Auto).unwrap();
        let value = |x: u32, y: u32, c: u32| ((x * 7 + y * 13 + c * 50 + x * y / 9) % 256) as u8;
        let picture =
            RgbImage::from_fn(width, height, |x, y| Rgb([0, 1, 2].map(|c| value(x, y, c))));
        let right = model.preprocess().tensor(&picture);
        let (height, width) = (height as usize, width as usize);
        let pixels = Array4::from_shape_vec((1, height, width, 3), picture.into_raw()).unwrap();
        let mut session = PlainSession::open(&path, &settings(), true).unwrap();
        let found = session.run(&pixels, &[], &[input]).unwrap();
        assert_eq!(found[0].shape(), right.shape());
        // A value that lies between two bytes may become either: 32-bit floats do not round as
        // Pillow's whole numbers do.
        let differences: Vec<f32> =
            found[0].iter().zip(&right).map(|(found, right)| (found - right).abs()).collect();
        let other = differences.iter().filter(|difference| **difference > 0.0).count();
        assert!(differences.iter().all(|difference| *difference <= 1.0), "{manifest}");
        assert!(other * 100 <= differences.len(), "{manifest}: {other} bytes differ");
    }
}
