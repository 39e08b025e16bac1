//! Maps of `models/vgg16-mri` compared with 64-bit arithmetic, on pictures with flat areas, where
//! rounding breaks ties in pooling windows. ONNX Runtime's own convolutions, measured in the same
//! run, are the bound for camlens's kernels. The arrays were made by `tools golden.exact_maps`.

use std::fmt;

use camlens::app::ExplainOptions;
use camlens::engine::{Model, Settings};
use camlens::explain::{Method, Normalization};
use image::RgbImage;
use ndarray::{Array1, Array2, s};

use super::TOLERANCE;
use crate::support::{Golden, difference, explain_photo, fetched_with, settings};

const PICTURES: [&str; 2] = ["retina", "bordered"];
const METHODS: [Method; 4] =
    [Method::GradCam, Method::GradCamPlusPlus, Method::LayerCam, Method::HiResCam];
const LAYERS: [&str; 4] = ["block1_conv2", "block3_conv1", "block4_conv2", "block5_conv3"];
/// Maps of more rows are stored at every `stride`-th row and column.
const LARGE: usize = 100;

/// A map's largest difference from 64-bit arithmetic, with camlens's kernels and without.
struct Row {
    map: String,
    kernels: f32,
    plain: f32,
}

impl fmt::Debug for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\n{}: {:.1e}, plain {:.1e}", self.map, self.kernels, self.plain)
    }
}

fn differences() -> Vec<Row> {
    let [kernels, plain] = [true, false]
        .map(|fast_kernels| fetched_with("vgg16-mri", &Settings { fast_kernels, ..settings() }));
    assert!(!kernels.fusion_report().conv_chains.is_empty());
    assert!(plain.fusion_report().conv_chains.is_empty());
    let mut golden = Golden::open("vgg16-mri/exact.npz");
    let stride: Array1<i64> = golden.get("stride");
    let stride = usize::try_from(stride[0]).expect("a stride");
    let mut rows = Vec::new();
    for picture in PICTURES {
        let image = golden.image(&format!("{picture}|input_u8"));
        let target = golden.class(&format!("{picture}|target"));
        for method in METHODS {
            for layer in LAYERS {
                let map = format!("{picture}|{method}|{layer}");
                let expected: Array2<f32> = golden.get(&map);
                let options = ExplainOptions {
                    method,
                    layer: Some(layer.into()),
                    target: target.clone(),
                    normalize: Some(Normalization::Max),
                    ..ExplainOptions::default()
                };
                let off =
                    |model| difference(&stored_part(model, &image, &options, stride), &expected);
                let (kernels, plain) = (off(&kernels), off(&plain));
                rows.push(Row { map, kernels, plain });
            }
        }
    }
    rows
}

/// The positions of a model's map that the golden file stores.
fn stored_part(
    model: &Model,
    image: &RgbImage,
    options: &ExplainOptions,
    stride: usize,
) -> Array2<f32> {
    let map = explain_photo(model, image, options).unwrap().map;
    let step = if map.nrows() > LARGE { stride } else { 1 };
    map.slice(s![..;step, ..;step]).to_owned()
}

#[test]
fn the_kernels_are_as_exact_as_onnx_runtime_s_convolutions() {
    let rows = differences();
    assert_eq!(rows.len(), PICTURES.len() * METHODS.len() * LAYERS.len());
    let off =
        |difference: fn(&Row) -> f32| rows.iter().filter(|row| difference(row) > TOLERANCE).count();
    let (kernels, plain) = (off(|row| row.kernels), off(|row| row.plain));
    assert!(
        kernels <= plain,
        "{kernels} maps differ by more than {TOLERANCE} with the kernels, {plain} without: \
         {rows:?}"
    );
    // Below the tolerance a ratio of two differences says nothing.
    let worse: Vec<_> =
        rows.iter().filter(|row| row.kernels > TOLERANCE.max(2.0 * row.plain)).collect();
    assert!(worse.is_empty(), "more than twice as far off as without the kernels: {worse:?}");
}
