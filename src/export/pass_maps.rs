//! The maps of the methods that run passes, as ONNX operators over a batch. The files of
//! `explain/methods` name the sources and say where the conventions differ.

use onnx_gradient::builder::GraphBuilder;
use onnx_gradient::proto::{AttributeProto, GraphProto, TensorProto, data_type};

use super::maps::{cast, double, one_for_zero};
use super::normalise::resize;
use super::passes::{Read, scores};
use crate::explain::{Convention, Method, ScoreKind};
use crate::graph::export_graph::Part;
use crate::model::manifest::Layout;

/// What the passes of one file have in common.
#[derive(Debug)]
pub(super) struct PassMaps<'a> {
    pub(super) convention: Convention,
    /// The activation, float32 `[N, C, h, w]`, and its last three sizes.
    pub(super) activation: &'a str,
    pub(super) shape: [usize; 3],
    /// The class of each image, int64 `[N, 1]`.
    pub(super) class: &'a str,
    /// The model, for masked images, with the layout and the size of its input.
    pub(super) whole: Option<&'a Part>,
    pub(super) layout: Layout,
    pub(super) input_size: [i64; 2],
    /// The part of the model after the layer.
    pub(super) tail: Option<&'a Part>,
}

impl PassMaps<'_> {
    /// Writes the map `[N, h, w]` in 64 bits, before any ReLU; `None` for a method without passes
    /// that a file can hold.
    pub(super) fn map(
        &self,
        builder: &mut GraphBuilder,
        graph: &mut GraphProto,
        method: Method,
        score: ScoreKind,
    ) -> Option<String> {
        let read = Read { class: self.class, score, softmax_again: false };
        Some(match method {
            Method::ScoreCam => self.score_cam(builder, graph, self.whole?, read),
            Method::AblationCam => self.ablation_cam(builder, graph, self.tail?, read),
            Method::ReciproCam => self.recipro_cam(builder, graph, self.tail?, read),
            _ => return None,
        })
    }

    /// Score-CAM: each channel, upsampled and scaled to 0..1, masks the image.
    fn score_cam(
        &self,
        builder: &mut GraphBuilder,
        graph: &mut GraphProto,
        part: &Part,
        read: Read<'_>,
    ) -> String {
        let read = Read { softmax_again: self.convention == Convention::Article, ..read };
        let channels = self.shape[0];
        let scores = scores(builder, graph, (part, "scorecam"), read, channels, |pass, index| {
            let channel =
                pass.op_with("Gather", &[self.activation, index], [AttributeProto::int("axis", 1)]);
            let corners = self.convention == Convention::PytorchGradCam;
            let channel = resize(pass, &channel, self.input_size, corners);
            let [low, high] = ["ReduceMin", "ReduceMax"].map(|op| {
                let axes = pass.int64s(&[1, 2]);
                pass.op_with(op, &[&channel, &axes], [AttributeProto::int("keepdims", 1)])
            });
            let mut range = pass.sub(&high, &low);
            if corners {
                let epsilon = pass.scalar(1e-8);
                range = pass.add(&range, &epsilon);
            }
            let (zero, one) = (pass.scalar(0.0), pass.scalar(1.0));
            let is_flat = pass.op("LessOrEqual", &[&range, &zero]);
            let range = pass.op("Where", &[&is_flat, &one, &range]);
            let risen = match self.convention {
                Convention::Article => channel,
                _ => pass.sub(&channel, &low),
            };
            let mask = pass.div(&risen, &range);
            let color = pass.int64s(&[if self.layout == Layout::Nhwc { 3 } else { 1 }]);
            let mask = pass.op("Unsqueeze", &[&mask, &color]);
            pass.mul(&part.input, &mask)
        });
        let weights = match self.convention {
            Convention::PytorchGradCam => {
                builder.op_with("Softmax", &[&scores], [AttributeProto::int("axis", 1)])
            }
            Convention::Paper => {
                let axes = builder.int64s(&[2, 3]);
                let [low, high] = ["ReduceMin", "ReduceMax"].map(|op| {
                    let flat = [AttributeProto::int("keepdims", 0)];
                    builder.op_with(op, &[self.activation, &axes], flat)
                });
                let is_constant = builder.op("Equal", &[&low, &high]);
                let zero = double(builder, 0.0);
                builder.op("Where", &[&is_constant, &zero, &scores])
            }
            _ => scores,
        };
        self.weighted(builder, &weights)
    }

    /// Ablation-CAM: `w_k = (y − y_k) / |y|`. The first pass changes nothing and gives `y`.
    fn ablation_cam(
        &self,
        builder: &mut GraphBuilder,
        graph: &mut GraphProto,
        part: &Part,
        read: Read<'_>,
    ) -> String {
        let channels = self.shape[0];
        let library = self.convention == Convention::PytorchGradCam;
        let lowest = library.then(|| {
            let axes = builder.int64s(&[1, 2, 3]);
            builder.op_with(
                "ReduceMin",
                &[self.activation, &axes],
                [AttributeProto::int("keepdims", 1)],
            )
        });
        let passes = channels + 1;
        let scores = scores(builder, graph, (part, "ablationcam"), read, passes, |pass, index| {
            let one = pass.int64(1);
            let ablated = pass.sub(index, &one);
            let all: Vec<i64> = (0..channels as i64).collect();
            let all = pass.int64s(&all);
            let all = pass.reshape(&all, &[1, -1, 1, 1]);
            let is_ablated = pass.op("Equal", &[&all, &ablated]);
            let zero = pass.scalar(0.0);
            let value = match &lowest {
                None => zero,
                // The n-th channel of a batch of 32 gets the minimum minus n · 10⁷.
                Some(lowest) => {
                    let batch = pass.int64(32);
                    let place = pass.op("Mod", &[&ablated, &batch]);
                    let place = pass.add(&place, &one);
                    let place = pass.to_float(&place);
                    let depth = pass.scale(&place, 1e7);
                    let value = pass.sub(lowest, &depth);
                    let is_zero = pass.op("Equal", &[lowest, &zero]);
                    pass.op("Where", &[&is_zero, &zero, &value])
                }
            };
            pass.op("Where", &[&is_ablated, &value, self.activation])
        });
        let first = builder.int64s(&[0]);
        let full = builder.op_with("Gather", &[&scores, &first], [AttributeProto::int("axis", 1)]);
        let (start, end, axis) =
            (builder.int64s(&[1]), builder.int64s(&[passes as i64]), builder.int64s(&[1]));
        let others = builder.op("Slice", &[&scores, &start, &end, &axis]);
        let loss = builder.sub(&full, &others);
        let scale = if library { full } else { builder.op("Abs", &[&full]) };
        let scale = one_for_zero(builder, &scale);
        let weights = builder.div(&loss, &scale);
        self.weighted(builder, &weights)
    }

    /// Recipro-CAM: the map's value at a position is the score of the features there alone.
    fn recipro_cam(
        &self,
        builder: &mut GraphBuilder,
        graph: &mut GraphProto,
        part: &Part,
        read: Read<'_>,
    ) -> String {
        let [channels, height, width] = self.shape.map(|size| size as i64);
        let positions = height * width;
        let count = positions as usize;
        let scores = scores(builder, graph, (part, "reciprocam"), read, count, |pass, index| {
            let flat = pass.reshape(self.activation, &[-1, channels, positions]);
            let features =
                pass.op_with("Gather", &[&flat, index], [AttributeProto::int("axis", 2)]);
            let features = pass.reshape(&features, &[-1, channels, 1, 1]);
            let all: Vec<i64> = (0..positions).collect();
            let all = pass.int64s(&all);
            let all = pass.reshape(&all, &[1, 1, height, width]);
            let is_here = pass.op("Equal", &[&all, index]);
            let mut spread = pass.to_float(&is_here);
            if self.convention != Convention::OpenvinoXai {
                let kernel = pass.constant(gaussian);
                spread = pass.op_with(
                    "Conv",
                    &[&spread, &kernel],
                    [
                        AttributeProto::ints("kernel_shape", [3, 3]),
                        AttributeProto::ints("pads", [1, 1, 1, 1]),
                    ],
                );
            }
            pass.mul(&features, &spread)
        });
        builder.reshape(&scores, &[-1, height, width])
    }

    /// `Σ_k w_k A_k`, `[N, h, w]`, for weights `[N, C]`.
    fn weighted(&self, builder: &mut GraphBuilder, weights: &str) -> String {
        let positions = builder.int64s(&[2, 3]);
        let weights = builder.op("Unsqueeze", &[weights, &positions]);
        let activation = cast(builder, self.activation, data_type::DOUBLE);
        let weighted = builder.mul(&weights, &activation);
        builder.reduce_sum(&weighted, &[1], false)
    }
}

/// The 3 × 3 kernel that Recipro-CAM's paper spreads the features by.
fn gaussian(name: &str) -> TensorProto {
    let values = [0.0625, 0.125, 0.0625, 0.125, 0.25, 0.125, 0.0625, 0.125, 0.0625];
    TensorProto::float32(name, &[1, 1, 3, 3], &values)
}
