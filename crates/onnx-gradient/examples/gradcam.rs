//! Writes a classifier with a Grad-CAM inside: a plain ONNX file with one more output, `heatmap`.
//!
//! ```text
//! cargo run --example gradcam -- MODEL.onnx TENSOR CLASS OUT.onnx
//! ```
//!
//! TENSOR is the output of a convolution, `[N, C, h, w]`, and the model's first output its scores,
//! `[N, classes]`. The model must declare the shapes of its tensors, as
//! `onnx.shape_inference.infer_shapes` adds them.
#![expect(clippy::print_stdout, reason = "the program says what it wrote")]

use std::error::Error;

use onnx_gradient::prost::Message;
use onnx_gradient::proto::{AttributeProto, ModelProto, NodeProto, ValueInfoProto};
use onnx_gradient::{
    Differentiate, GradOutput, TensorFacts, differentiate, gradient_name, prepare,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, tensor, class, out] = arguments.as_slice() else {
        return Err("usage: gradcam MODEL.onnx TENSOR CLASS OUT.onnx".into());
    };
    let model = prepare(&ModelProto::decode(std::fs::read(model)?.as_slice())?)?;
    let model = with_heatmap(&model, tensor, class.parse()?)?;
    std::fs::write(out, model.encode_to_vec())?;
    println!("wrote {out}: its output heatmap is [N, h, w]");
    Ok(())
}

/// Grad-CAM (Selvaraju et al. 2017, equations 1 and 2): `ReLU(Σ_k mean(∂y/∂A_k) · A_k)`.
fn with_heatmap(
    model: &ModelProto,
    tensor: &str,
    class: usize,
) -> Result<ModelProto, Box<dyn Error>> {
    let scores = model.graph.as_ref().and_then(|graph| graph.output.first());
    let scores = scores.ok_or("the model has no output")?.name().to_owned();
    let facts = TensorFacts::from_model(model);
    let request = Differentiate {
        of: &scores,
        with_respect_to: &[tensor],
        grad_output: GradOutput::Component(class),
    };
    let mut model = differentiate(model, &facts, &request)?;
    let graph = model.graph.as_mut().ok_or("the model has no graph")?;
    let gradient = gradient_name(tensor);
    graph.node.extend([
        NodeProto::new("GlobalAveragePool", &[&gradient], &["weights"]),
        NodeProto::new("Einsum", &[tensor, "weights"], &["sum"])
            .with(AttributeProto::string("equation", "nkhw,nkij->nhw")),
        NodeProto::new("Relu", &["sum"], &["heatmap"]),
    ]);
    graph.output.push(ValueInfoProto::float32("heatmap", &[None, None, None]));
    Ok(model)
}
