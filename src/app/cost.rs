//! What a request will cost, estimated before its image is decoded.
//!
//! The number of passes decides whether a request is a short or a long job. The bytes are what it
//! holds at most, from the size that the image's header states to the response. Both are estimates
//! that serve to share cores and memory; a request whose estimate is wrong still gets its response.

use super::operation::Operation;
use super::options::{Output, Rendering, Size};
use super::render::figure::{FigureKind, most_px};
use super::request::{ExplainRequest, RequestOptions};
use super::validate::{self, ExplainPlan};
use crate::engine::{JobClass, Model};
use crate::explain::Needs;
use crate::graph::layers::Layer;
use crate::picture::decode::{DeclaredSize, Limits};

/// A request of so few passes is short, however long a pass takes.
const SHORT_PASSES: f64 = 4.0;
/// A request that takes less is short, however many passes it runs.
const SHORT_MS: f64 = 250.0;
/// What every request takes: options, headers, the response's metadata, small buffers.
const BASE_BYTES: u64 = 1 << 20;
/// A map as JSON: at most 13 characters a value, in a buffer that doubles as it grows, and the
/// value itself.
const JSON_BYTES: u64 = 30;

/// The estimated cost of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Whether it is a short or a long job.
    pub class: JobClass,
    /// The most bytes that it holds at once.
    pub bytes: u64,
}

impl Cost {
    /// The cost of a request to a model.
    #[must_use]
    pub fn estimate(model: &Model, request: &ExplainRequest, limits: Limits) -> Self {
        let ExplainRequest { operation, image, options } = request;
        Self::of_images(model, *operation, options, std::iter::once(image.as_ref()), limits)
    }

    /// The cost of several image files that run one after another: their passes add up, and so do
    /// their responses. An empty file stands for a tensor.
    #[must_use]
    pub fn of_images<'a>(
        model: &Model,
        operation: Operation,
        options: &RequestOptions,
        images: impl ExactSizeIterator<Item = &'a [u8]>,
        limits: Limits,
    ) -> Self {
        // A request that is not valid is refused before its first pass.
        let plan = match operation {
            Operation::Predict => None,
            _ => validate::explanation(model, &options.methods, &options.explain).ok(),
        };
        let passes = images.len() as f64 * plan.as_ref().map_or(1.0, passes);
        let pass_ms = model.pass_time().as_secs_f64() * 1e3;
        let is_long = passes > SHORT_PASSES && passes * pass_ms > SHORT_MS;
        let class = if is_long { JobClass::Long } else { JobClass::Short };
        let (mut files, mut responses, mut peak) = (0, 0, 0);
        for image in images {
            let image = bytes(model, options, image, plan.as_ref(), limits);
            files += image.file;
            // Beside an image that is worked on stand the responses to those before it.
            peak = peak.max(responses + image.working);
            responses += image.response;
        }
        Self { class, bytes: BASE_BYTES + files + peak }
    }
}

/// The number of passes at most, in passes of the whole model.
fn passes(plan: &ExplainPlan<'_>) -> f64 {
    let parameters = plan.options.parameters();
    let targets = plan.targets.len().max(1);
    let of_layer = |layer: &&Layer| -> f64 {
        let of_method = |method: &crate::explain::Method| {
            let spec = method.spec();
            let passes = (spec.passes)(&parameters, layer.shape, targets) as f64;
            if spec.needs == Needs::Tail { passes * tail_share(plan.model, layer) } else { passes }
        };
        plan.methods.iter().map(of_method).sum()
    };
    1.0 + plan.layers.iter().map(of_layer).sum::<f64>()
}

/// The part of a pass that runs behind a layer, by the layers that come after it.
fn tail_share(model: &Model, layer: &Layer) -> f64 {
    const LEAST: f64 = 1.0 / 8.0;
    let layers = model.layers();
    let position = layers.iter().position(|other| other == layer);
    position.map_or(1.0, |index| 1.0 - (index + 1) as f64 / layers.len() as f64).max(LEAST)
}

/// What an image takes.
struct Bytes {
    /// Its file, which stands beside the body that it came in.
    file: u64,
    /// Its pixels, tensors, maps and response, while it is worked on.
    working: u64,
    /// The maps and the response.
    response: u64,
}

fn bytes(
    model: &Model,
    options: &RequestOptions,
    file: &[u8],
    plan: Option<&ExplainPlan<'_>>,
    limits: Limits,
) -> Bytes {
    const FLOAT: u64 = 4;
    // A larger image is refused before it is decoded.
    let image = DeclaredSize::read(file);
    let image = image.filter(|size| size.pixels() <= limits.max_pixels);
    let pixels = image.map_or(0, DeclaredSize::pixels);
    let decoding = image.map_or(0, |size| size.bytes_per_pixel * pixels);
    let rgb = 3 * pixels;

    let [a, b, c] = model.preprocess().shape();
    let input = (a * b * c) as u64 * FLOAT;
    // The input, its copies for a pass and for the cache.
    let mut tensors = 3 * input;
    let mut rendering = 0;
    if let Some(plan) = plan {
        let targets = plan.targets.len().max(1) as u64;
        let values = |layer: &&Layer| layer.shape.iter().product::<usize>() as u64;
        let layers: u64 = plan.layers.iter().map(values).sum();
        // Activation and gradients, in the runtime's memory and in ours.
        tensors += 2 * (1 + targets) * layers * FLOAT;
        rendering = rendered(model, options, pixels, targets);
    }
    Bytes {
        file: file.len() as u64,
        working: decoding.max(rgb + tensors + rendering),
        response: rendering,
    }
}

/// The maps at the size of the response, and the response.
fn rendered(model: &Model, options: &RequestOptions, pixels: u64, targets: u64) -> u64 {
    let rendering = &options.rendering;
    let preprocess = model.preprocess();
    let maps = targets * options.methods.len().max(1) as u64;
    let values = match rendering.size {
        Size::Image => pixels,
        // A layer's map is smaller than the input's.
        Size::Input | Size::Layer => u64::from(preprocess.width) * u64::from(preprocess.height),
    };
    match rendering.output {
        Output::Json => maps * values * JSON_BYTES,
        // The floats of the maps, stacked, and as a file.
        Output::Npy => maps * values * 12,
        Output::Figure => figure_bytes(FigureKind::of_methods(&options.explain), maps, rendering),
        _ if targets > 1 => figure_bytes(FigureKind::Classes, maps, rendering),
        // The map, the picture and its file.
        Output::Overlay => pixels * 12,
        Output::Heatmap | Output::Gray => values * 12,
    }
}

/// The figure, its file in a buffer that doubles as it grows, and one panel with its map.
fn figure_bytes(kind: FigureKind, maps: u64, rendering: &Rendering) -> u64 {
    let area = |(width, height): (u32, u32)| u64::from(width) * u64::from(height);
    let panel = most_px(FigureKind::Classes, 0, rendering);
    12 * area(most_px(kind, maps as usize, rendering)) + 24 * area(panel)
}
