//! Tiny models of common architectures, as torch's two exporters write them: the gradient of the
//! logit at three layers, compared with autograd in float64. The files were made by
//! `tools conformance.tiny`; `make conformance` does the same for full-size models.

use super::{TOLERANCE, assert_within};

fn agrees_with_autograd(name: &str) {
    for exporter in ["torchscript", "dynamo"] {
        let name = format!("{name}-{exporter}");
        assert_within(TOLERANCE, &name, &name);
    }
}

#[test]
fn densenet_dense_blocks() {
    agrees_with_autograd("densenet");
}

#[test]
fn shufflenet_channel_shuffles() {
    agrees_with_autograd("shufflenet");
}

#[test]
fn convnext_layer_norm_with_channels_last_and_layer_scale() {
    agrees_with_autograd("convnext");
}

#[test]
fn vit_tokens_and_attention() {
    agrees_with_autograd("vit");
}

#[test]
fn deit_with_two_extra_tokens_and_a_grid_that_is_not_square() {
    agrees_with_autograd("deit");
}

#[test]
fn attention_as_one_operator_with_masks_and_head_groups() {
    assert_within(TOLERANCE, "attention-dynamo", "attention-dynamo");
}

#[test]
fn vit_with_registers_and_mean_pooling_of_positions() {
    agrees_with_autograd("registers");
}

#[test]
fn swin_shifted_windows_with_padding() {
    agrees_with_autograd("swin");
}

#[test]
fn maxvit_block_and_grid_attention_by_einsum() {
    agrees_with_autograd("maxvit");
}

#[test]
fn local_response_normalisation_resizing_and_other_rare_operators() {
    agrees_with_autograd("patchwork");
}
