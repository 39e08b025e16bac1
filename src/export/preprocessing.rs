//! From pixels to the model's input as ONNX operators: what
//! [`Preprocess`] does to an image, for a batch of images of one size.
//!
//! A resize runs along rows and then along columns, each rounded to bytes, as Pillow's does.

use onnx_gradient::builder::GraphBuilder;
use onnx_gradient::proto::{
    AttributeProto, Dimension, DimensionValue, GraphProto, TensorShapeProto, ValueInfoProto,
    data_type,
};

use crate::model::manifest::{Color, Fit, Layout};
use crate::model::preprocess::Preprocess;
use crate::picture::resize::Filter;

/// The name of the input, uint8 `[N, height, width, 3]`: RGB pixels of any size.
pub const PIXELS_INPUT: &str = "pixels";

/// Replaces the model's input by [`PIXELS_INPUT`], and computes it.
///
/// # Errors
/// A sentence: the filter has no operator, or the model has a tensor of that name.
pub(super) fn prepend(
    graph: &mut GraphProto,
    input: &str,
    preprocess: &Preprocess,
) -> Result<(), String> {
    if onnx_gradient::index::find_name(graph, &|name: &str| name == PIXELS_INPUT).is_some() {
        return Err(format!("the model itself has a tensor or node '{PIXELS_INPUT}'"));
    }
    let mut builder = GraphBuilder::sharing_constants("camlens/preprocessing/");
    let planes = builder.transpose(PIXELS_INPUT, [0, 3, 1, 2]);
    let pixels = super::maps::cast(&mut builder, &planes, data_type::FLOAT);
    let fitted = fit(&mut builder, &pixels, preprocess)?;
    let colors = match preprocess.color {
        Color::Rgb => fitted,
        Color::Bgr => {
            let order = builder.int64s(&[2, 1, 0]);
            builder.op_with("Gather", &[&fitted, &order], [AttributeProto::int("axis", 1)])
        }
        Color::Gray => luma(&mut builder, &fitted),
    };
    let channels = preprocess.color.channels() as i64;
    let scaled = builder.scale(&colors, preprocess.scale);
    let mean = builder.float32s(&[1, channels, 1, 1], &preprocess.mean);
    let std = builder.float32s(&[1, channels, 1, 1], &preprocess.std);
    let centred = builder.sub(&scaled, &mean);
    match preprocess.layout {
        Layout::Nchw => builder.named_op(input, "Div", &[&centred, &std], []),
        Layout::Nhwc => {
            let normalised = builder.div(&centred, &std);
            let order = [AttributeProto::ints("perm", [0, 2, 3, 1])];
            builder.named_op(input, "Transpose", &[&normalised], order);
        }
    }
    let (nodes, constants) = builder.finish();
    graph.node.splice(0..0, nodes);
    graph.initializer.extend(constants);
    let sizes = ["N", "height", "width"].map(|size| DimensionValue::Name(size.into()));
    let sizes = sizes.into_iter().chain([DimensionValue::Size(3)]);
    let dim = sizes.map(|size| Dimension { value: Some(size), denotation: None }).collect();
    let shape = Some(TensorShapeProto { dim });
    let pixels = ValueInfoProto::typed(PIXELS_INPUT, data_type::UINT8, shape);
    match graph.input.iter_mut().find(|known| known.name() == input) {
        Some(known) => *known = pixels,
        None => graph.input.push(pixels),
    }
    Ok(())
}

/// Whole images `[N, 3, H, W]` at the size of the input, `[N, 3, h, w]`.
fn fit(
    builder: &mut GraphBuilder,
    pixels: &str,
    preprocess: &Preprocess,
) -> Result<String, String> {
    let sides = [i64::from(preprocess.height), i64::from(preprocess.width)];
    if preprocess.fit == Fit::Stretch {
        let [height, width] = sides.map(|side| builder.int64s(&[side]));
        return resize(builder, pixels, &height, &width, preprocess.resize);
    }
    // One side gets its target length exactly: the one that makes the other long enough.
    let [height, width] = [builder.sizes(pixels, 2, 3), builder.sizes(pixels, 3, 4)];
    let target = |side: i64| (side as f32 / preprocess.crop_ratio).round() as i64;
    let [to_height, to_width] = sides.map(|side| builder.int64s(&[target(side)]));
    let by_width = builder.mul(&width, &to_height);
    let by_height = builder.mul(&height, &to_width);
    let is_tall = builder.op("LessOrEqual", &[&by_width, &by_height]);
    let long_height = builder.div(&by_height, &width);
    let long_width = builder.div(&by_width, &height);
    let resized_height = builder.op("Where", &[&is_tall, &long_height, &to_height]);
    let resized_width = builder.op("Where", &[&is_tall, &to_width, &long_width]);
    let [least_height, least_width] = sides.map(|side| builder.int64s(&[side]));
    let resized_height = builder.op("Max", &[&resized_height, &least_height]);
    let resized_width = builder.op("Max", &[&resized_width, &least_width]);
    let resized = resize(builder, pixels, &resized_height, &resized_width, preprocess.resize)?;
    let mut starts = Vec::new();
    for (size, side) in [(&resized_height, &least_height), (&resized_width, &least_width)] {
        // The offset is rounded half to even, as `Round` does.
        let rest = builder.sub(size, side);
        let rest = builder.to_float(&rest);
        let half = builder.scale(&rest, 0.5);
        let start = builder.op("Round", &[&half]);
        starts.push(super::maps::cast(builder, &start, data_type::INT64));
    }
    let along = [AttributeProto::int("axis", 0)];
    let starts = builder.op_with("Concat", &[&starts[0], &starts[1]], along);
    let sizes = builder.int64s(&sides);
    let ends = builder.add(&starts, &sizes);
    let axes = builder.int64s(&[2, 3]);
    Ok(builder.op("Slice", &[&resized, &starts, &ends, &axes]))
}

/// Resizes along rows, then along columns.
fn resize(
    builder: &mut GraphBuilder,
    pixels: &str,
    height: &str,
    width: &str,
    filter: Filter,
) -> Result<String, String> {
    let mut resized = pixels.to_owned();
    for (axis, size) in [(3, width), (2, height)] {
        let mut attributes = vec![
            AttributeProto::ints("axes", [axis]),
            AttributeProto::string("coordinate_transformation_mode", "half_pixel"),
        ];
        match filter {
            // The pixel that a position lies in: ⌊x⌋ = round(x − ½), ties upwards.
            Filter::Nearest => attributes.extend([
                AttributeProto::string("mode", "nearest"),
                AttributeProto::string("nearest_mode", "round_prefer_ceil"),
            ]),
            Filter::Bilinear => attributes.extend([
                AttributeProto::string("mode", "linear"),
                AttributeProto::int("antialias", 1),
                AttributeProto::int("exclude_outside", 1),
            ]),
            Filter::Bicubic => attributes.extend([
                AttributeProto::string("mode", "cubic"),
                AttributeProto::float("cubic_coeff_a", -0.5),
                AttributeProto::int("antialias", 1),
                AttributeProto::int("exclude_outside", 1),
            ]),
            Filter::Lanczos3 => {
                return Err("ONNX has no operator that resizes by lanczos3, so the file can't \
                            preprocess"
                    .to_owned());
            }
        }
        let one_way = builder.op_with("Resize", &[&resized, "", "", size], attributes);
        resized = match filter {
            Filter::Nearest => one_way,
            _ => {
                // Pillow rounds halves up, `Round` to even.
                let half = builder.scalar(0.5);
                let risen = builder.add(&one_way, &half);
                let rounded = builder.op("Floor", &[&risen]);
                let (black, white) = (builder.scalar(0.0), builder.scalar(255.0));
                builder.op("Clip", &[&rounded, &black, &white])
            }
        };
    }
    Ok(resized)
}

/// Pillow's grey level: a weighted sum in whole numbers, which float32 holds exactly.
fn luma(builder: &mut GraphBuilder, pixels: &str) -> String {
    let weights = builder.float32s(&[1, 3, 1, 1], &[19595.0, 38470.0, 7471.0]);
    let weighted = builder.mul(pixels, &weights);
    let sum = builder.reduce_sum(&weighted, &[1], true);
    let half = builder.scalar(32768.0);
    let sum = builder.add(&sum, &half);
    let level = builder.scale(&sum, 1.0 / 65536.0);
    builder.op("Floor", &[&level])
}
