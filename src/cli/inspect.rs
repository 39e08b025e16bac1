//! `camlens inspect MODEL`: a model's input and output, and the layers that can be explained.

use std::collections::BTreeSet;

use clap::Args;

use super::{Source, model, output};
use crate::app::{describe, output_kind};
use crate::engine::Model;
use crate::engine::optimize::FusionReport;
use crate::error::Result;
use crate::graph::head::OutputActivation;

#[derive(Args, Debug)]
pub(super) struct Inspect {
    /// An .onnx file, a model's folder, or the id of a model in the models folder
    model: String,
    /// Print JSON, the same as GET /v1/models/{id}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: Source,
}

impl Inspect {
    pub(super) fn run(&self) -> Result<()> {
        let config = self.source.load()?;
        crate::telemetry::start_log(&model::quiet(&config));
        let model = model::load(&config, Some(&self.model))?;
        let text = if self.json { format!("{:#}\n", describe(&model)) } else { report(&model) };
        output::result(text.as_bytes())
    }
}

fn report(model: &Model) -> String {
    let preprocess = model.preprocess();
    let is_regression = model.output_activation() == OutputActivation::Identity;
    let manifest = &model.folder().manifest;
    let title = manifest.title.iter().map(|title| format!(": {title}")).collect::<String>();
    let mut lines = vec![format!("model    {}{title}", model.id())];
    let texts = [&manifest.description, &manifest.domain];
    for (name, text) in ["about", "for"].into_iter().zip(texts) {
        lines.extend(text.iter().map(|text| format!("{name:8} {text}")));
    }
    lines.extend([
        format!(
            "input    {}: {} × {} (height × width), {:?}, {:?}",
            model.input_name(),
            preprocess.height,
            preprocess.width,
            preprocess.layout,
            preprocess.color
        )
        .to_lowercase(),
        format!(
            "output   {}: {} {}, {}",
            model.output_name(),
            model.classes(),
            if is_regression { "quantities" } else { "classes" },
            output_kind(model.output_activation())
        ),
    ]);
    if !model.other_outputs().is_empty() {
        lines.push(format!("others   {}", model.other_outputs().join(", ")));
    }
    lines.push(match model.batch() {
        1 => "batches  none: masked images run one by one".to_owned(),
        images => format!("batches  masked images run {images} at a time"),
    });
    lines.extend(model.warnings().iter().map(|warning| format!("warning  {}", warning.detail)));
    let movers: BTreeSet<&String> =
        model.layers().iter().flat_map(|layer| &layer.moved_by).collect();
    lines.extend(movers.into_iter().map(|mover| {
        format!(
            "warning  node {mover} may move rows and columns, so maps of layers after it may be \
             displaced"
        )
    }));
    lines.push(format!("kernels  {}", custom_kernels(&model.fusion_report())));
    lines.extend([
        format!("labels   {}", model.labels().all().len()),
        format!("default  {}", model.default_layer().name),
        String::new(),
    ]);
    let layers = model.layers();
    let widest = |length: fn(&crate::graph::layers::Layer) -> usize| {
        layers.iter().map(length).max().unwrap_or(0).max("alias".len())
    };
    let (alias, node) =
        (widest(|layer| layer.name.chars().count()), widest(|layer| layer.node.chars().count()));
    lines.push(format!("{:alias$}  {:node$}  {:>16}  gradients", "alias", "node", "shape"));
    for layer in layers {
        let [channels, height, width] = layer.shape;
        let shape = format!("{channels} × {height} × {width}");
        let found = if layer.is_straight_through { "straight-through" } else { "yes" };
        let gradients = model.gradient_unsupported_reason(layer).unwrap_or(found);
        lines
            .push(format!("{:alias$}  {:node$}  {shape:>16}  {gradients}", layer.name, layer.node));
    }
    lines.join("\n") + "\n"
}

/// Describes what camlens's own kernels compute.
fn custom_kernels(fused: &FusionReport) -> String {
    let mut parts = Vec::new();
    if !fused.conv_chains.is_empty() {
        let lengths: Vec<String> = fused.conv_chains.iter().map(usize::to_string).collect();
        parts.push(format!(
            "chains of 3x3 convolutions that skip zero regions, of lengths {}",
            lengths.join(", ")
        ));
    }
    if fused.gemv > 0 {
        parts.push(format!("matrix products that skip zeros: {}", fused.gemv));
    }
    if fused.qlinear > 0 {
        parts.push(format!("convolutions in integer arithmetic: {}", fused.qlinear));
    }
    if parts.is_empty() {
        "none: ONNX Runtime runs every operator".to_owned()
    } else {
        parts.join("; ")
    }
}
