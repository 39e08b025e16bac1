//! Maps that leave the process: a plain ONNX file that computes the map beside the model's outputs.
//!
//! [`export`] writes standard operators alone, so the file runs wherever ONNX runs. Its inputs and
//! outputs are the model's own, with the input `target` where that was asked for, and one output
//! `heatmap`, float32 `[N, h, w]`, for each method.

mod eigen_maps;
mod file;
mod maps;
mod metadata;
mod normalise;
mod own_types;
mod pass_maps;
mod passes;
mod preprocessing;

use onnx_gradient::builder::GraphBuilder;
use onnx_gradient::proto::{
    Dimension, DimensionValue, GraphProto, ModelProto, TensorShapeProto, ValueInfoProto, data_type,
};

use crate::engine::Model;
use crate::error::{Error, Kind, Result};
use crate::explain::normalise::Normalizer;
use crate::explain::spec::Needs;
use crate::explain::{Choice, Convention, Method, Normalization, ScoreKind};
use crate::graph::export_graph::{ExportGraph, ExportTarget, Part, export_graph};
use crate::graph::layers::Layer;
use crate::graph::unused;

use self::maps::LayerTensors;
use self::pass_maps::PassMaps;

pub use file::{Weights, write};
pub use preprocessing::PIXELS_INPUT;

/// What an exported file computes.
#[derive(Clone, Debug)]
pub struct ExportRequest<'a> {
    /// The methods, each with an output of its own; they share one forward and backward pass.
    pub methods: &'a [Method],
    /// The layer that is explained.
    pub layer: &'a Layer,
    /// Whose arithmetic is followed.
    pub convention: Convention,
    /// The score that each method explains, in the order of `methods`. Methods that share the
    /// gradient explain the same one.
    pub scores: &'a [ScoreKind],
    /// How maps are normalised; the convention's way where it is `None`.
    pub normalization: Option<Normalization>,
    /// The class of each image.
    pub target: ExportTarget,
    /// Whether maps have the size of the model's input instead of the layer's.
    pub at_input_size: bool,
    /// Whether the file takes pixels, uint8 `[N, height, width, 3]`, instead of the model's input.
    pub with_preprocessing: bool,
}

impl ExportRequest<'_> {
    fn normalizer(&self, method: Method) -> Normalizer {
        method.spec().normalizer(self.convention, self.normalization, false)
    }
}

/// The methods that can be exported. The others need random numbers, or masks that depend on
/// earlier passes.
pub const METHODS: [Method; 11] = [
    Method::GradCam,
    Method::GradCamPlusPlus,
    Method::LayerCam,
    Method::HiResCam,
    Method::XGradCam,
    Method::GradCamElementWise,
    Method::EigenCam,
    Method::EigenGradCam,
    Method::ScoreCam,
    Method::AblationCam,
    Method::ReciproCam,
];

/// The name of a method's output: `heatmap`, or `heatmap_gradcampp` among several.
#[must_use]
pub fn output_name(method: Method, is_only: bool) -> String {
    if is_only {
        return "heatmap".to_owned();
    }
    let name = method.name().replace("++", "pp").replace('-', "_");
    format!("heatmap_{name}")
}

/// Writes the graph of an exported file.
///
/// # Errors
/// [`Kind::Impossible`] when the layer has no gradient, a method can't be exported, or the model
/// needs operators that are not in the ONNX standard.
pub fn export(model: &Model, request: &ExportRequest<'_>) -> Result<ModelProto> {
    let impossible = |reason: String| Error::new(Kind::Impossible, reason).in_model(model.id());
    let unknown = request.methods.iter().find(|method| !METHODS.contains(method));
    if let Some(method) = unknown {
        let known = METHODS.map(Choice::name).join(", ");
        return Err(impossible(format!("{} can't be exported; {known} can", method.name())));
    }
    let analysed = model.analysed();
    let methods = || request.methods.iter().zip(request.scores);
    let needs = |needs: Needs| methods().find(|(method, _)| method.spec().needs == needs);
    let gradient_of = needs(Needs::Gradient).map(|(_, score)| score.gradient_of());
    let ExportGraph { model: mut exported, activation, gradient, class } =
        export_graph(analysed, request.layer, request.target, gradient_of).map_err(impossible)?;
    let graph = exported.graph.get_or_insert_default();
    let preprocess = model.preprocess();
    let input_size = [i64::from(preprocess.height), i64::from(preprocess.width)];
    let size = match request.at_input_size {
        true => input_size,
        false => [request.layer.shape[1] as i64, request.layer.shape[2] as i64],
    };
    let whole = needs(Needs::Masked).map(|_| Part::whole(analysed));
    let tail = needs(Needs::Tail).map(|_| Part::after(analysed, request.layer));
    let tail = tail.transpose().map_err(impossible)?;
    let passes = PassMaps {
        convention: request.convention,
        activation: &activation,
        shape: request.layer.shape,
        class: &class,
        whole: whole.as_ref(),
        layout: preprocess.layout,
        input_size,
        tail: tail.as_ref(),
    };
    let mut builder = GraphBuilder::sharing_constants("camlens/heatmap/");
    let layer = LayerTensors {
        activation: maps::cast(&mut builder, &activation, data_type::DOUBLE),
        gradient: gradient.map(|gradient| maps::cast(&mut builder, &gradient, data_type::DOUBLE)),
        shape: request.layer.shape,
    };
    let mut outputs: Vec<ValueInfoProto> = Vec::new();
    for (&method, &score) in methods() {
        let map = match maps::map(&mut builder, method, request.convention, &layer) {
            Some(map) => Some(map),
            None => passes.map(&mut builder, graph, method, score),
        };
        let map = map.ok_or_else(|| Error::internal("exporting", "a method is not written"))?;
        let map = maps::cast(&mut builder, &map, data_type::FLOAT);
        let normalizer = request.normalizer(method);
        let mut map = normalise::normalise(&mut builder, normalizer, &map);
        if request.at_input_size {
            map = normalise::resize(&mut builder, &map, size, false);
            if request.convention.normalizes_resized()
                && normalizer.normalization == Normalization::MinMax
            {
                map = normalise::normalise(&mut builder, normalizer, &map);
            }
        }
        let name = output_name(method, request.methods.len() == 1);
        builder.named_op(&name, "Identity", &[&map], []);
        outputs.push(heatmap(&name, size));
    }
    let (nodes, constants) = builder.finish();
    check_names(graph, &outputs).map_err(impossible)?;
    graph.node.extend(nodes);
    graph.initializer.extend(constants);
    graph.output.extend(outputs);
    if request.with_preprocessing {
        let input = &analysed.prepared.input.name;
        preprocessing::prepend(graph, input, preprocess).map_err(impossible)?;
    }
    if let Some(original) = &model.file().model.graph {
        own_types::restore(graph, original);
    }
    unused::remove(graph);
    check_operators(&exported).map_err(impossible)?;
    metadata::describe(&mut exported, model, request);
    Ok(exported)
}

/// An output float32 `[N, h, w]`.
fn heatmap(name: &str, size: [i64; 2]) -> ValueInfoProto {
    let sizes = [
        DimensionValue::Name("N".into()),
        DimensionValue::Size(size[0]),
        DimensionValue::Size(size[1]),
    ];
    let dim = sizes.map(|size| Dimension { value: Some(size), denotation: None }).into();
    ValueInfoProto::typed(name, data_type::FLOAT, Some(TensorShapeProto { dim }))
}

/// An output of the model must not have the name of a map.
fn check_names(graph: &GraphProto, outputs: &[ValueInfoProto]) -> std::result::Result<(), String> {
    let is_taken = |name: &str| outputs.iter().any(|output| output.name() == name);
    match onnx_gradient::index::find_name(graph, &is_taken) {
        Some(name) => Err(format!("the model itself has a tensor or node '{name}'")),
        None => Ok(()),
    }
}

/// A plain ONNX file has no operator of another domain.
fn check_operators(model: &ModelProto) -> std::result::Result<(), String> {
    let mut nodes = model.graph.iter().flat_map(|graph| &graph.node);
    match nodes.find(|node| !node.is_standard()) {
        Some(node) => Err(format!(
            "node '{}' is a {} of the domain {}, which is no operator of the ONNX standard",
            node.label(),
            node.op(),
            node.domain()
        )),
        None => Ok(()),
    }
}
