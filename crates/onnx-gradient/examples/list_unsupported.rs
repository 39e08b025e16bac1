//! Lists the nodes of a model through which no gradient can flow because their operator has no vjp.
//!
//! ```text
//! cargo run --example list_unsupported -- MODEL.onnx
//! ```
#![expect(clippy::print_stdout, reason = "the list is the program's output")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;

use onnx_gradient::prost::Message;
use onnx_gradient::proto::{ModelProto, NodeProto};
use onnx_gradient::{prepare, vjp};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os()
        .nth(1)
        .map(PathBuf::from)
        .ok_or("usage: list_unsupported MODEL.onnx")?;
    let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let model = ModelProto::decode(bytes.as_slice())?;
    // Much that has no vjp is decomposed into operators that have one.
    let graph = prepare(&model)?.graph.unwrap_or_default();

    let is_unsupported =
        |node: &&NodeProto| vjp::lookup(node).is_none() && !vjp::is_non_differentiable(node);
    let mut nodes_of: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for node in graph.node.iter().filter(is_unsupported) {
        nodes_of.entry((node.domain(), node.op())).or_default().push(node.label());
    }
    for ((domain, op), nodes) in &nodes_of {
        let dot = if domain.is_empty() { "" } else { "." };
        println!("{domain}{dot}{op}: {}", nodes.join(", "));
    }
    let count: usize = nodes_of.values().map(Vec::len).sum();
    println!("{count} of {} nodes have no vjp.", graph.node.len());
    Ok(())
}
