//! `If` with a constant condition.

use super::fused_node::FusedNode;
use crate::builder::GraphBuilder;

/// The nodes of the branch that the condition selects.
pub(super) fn constant_if(builder: &mut GraphBuilder, fused: &FusedNode<'_>) -> Option<()> {
    let condition = fused.boolean(fused.input(0)?)?;
    let name = if condition { "then_branch" } else { "else_branch" };
    let branch = fused.node.attribute(name)?.g.as_ref()?;
    builder.nodes.extend(branch.node.iter().cloned());
    builder.initializers.extend(branch.initializer.iter().cloned());
    for (index, output) in branch.output.iter().enumerate() {
        if fused.node.output.get(index).is_some_and(|name| !name.is_empty()) {
            fused.set_output(builder, index, output.name())?;
        }
    }
    Some(())
}
