//! Activations and normalisations of a view of the maps in other axes.

use camlens::engine::PassRequest;

use super::{CASES, Write, assert_same, default_layer, tanh_gelu};
use crate::net::{Net, int};
use crate::support::{logit_gradients, run_default, sine_pattern, written};

/// Other axes for `[N, 4, 6, 6]`, and the way back.
const VIEWS: &[(&str, Write, Write)] = &[
    (
        "an axis before the images",
        |n, x| {
            let axes = n.int64s(&[0]);
            n.op("Unsqueeze", &[x, &axes])
        },
        |n, x| {
            let axes = n.int64s(&[0]);
            n.op("Squeeze", &[x, &axes])
        },
    ),
    ("positions in one axis", |n, x| reshaped(n, x, &[0, 4, 36]), back),
    ("groups of channels", |n, x| reshaped(n, x, &[0, 2, 2, 6, 6]), back),
    ("everything in one axis", |n, x| n.op("Flatten", &[x]), back),
    (
        "sizes computed from the tensor's own",
        |n, x| {
            let sizes = n.op("Shape", &[x]);
            let (first, end) = (n.int64s(&[0]), n.int64s(&[2]));
            let outer = n.op("Slice", &[&sizes, &first, &end]);
            let rest = n.int64s(&[-1]);
            let sizes = n.op_with("Concat", &[&outer, &rest], [int("axis", 0)]);
            n.op("Reshape", &[x, &sizes])
        },
        back,
    ),
];

fn reshaped(net: &mut Net, x: &str, sizes: &[i64]) -> String {
    let sizes = net.int64s(sizes);
    net.op("Reshape", &[x, &sizes])
}

fn back(net: &mut Net, x: &str) -> String {
    reshaped(net, x, &[-1, 4, 6, 6])
}

#[test]
fn an_activation_of_a_view_ends_the_layer() {
    for case in CASES {
        let plain = default_layer(case.plain);
        for (view, there, back) in VIEWS {
            // One of them has a slope for each channel, which needs the channels' own axis.
            let written = if case.name == "leaky ReLU" { &[] } else { case.written };
            for write in [&[case.plain], written].concat() {
                let viewed = default_layer(|n, x| {
                    let view = there(n, x);
                    let activated = write(n, &view);
                    back(n, &activated)
                });
                assert_same(&viewed, &plain, &format!("{} in a view: {view}", case.name));
                assert_eq!(viewed.0.layout.name(), "nchw", "{view}");
            }
        }
    }
}

/// Group normalisation as exporters write it for old opsets: an instance normalisation of groups.
#[test]
fn a_normalisation_in_a_view_is_part_of_the_layer() {
    let grouped = |n: &mut Net, x: &str| {
        let groups = reshaped(n, x, &[0, 2, -1]);
        let (scale, shift) = (n.floats(&[1.0; 2]), n.floats(&[0.0; 2]));
        n.op("InstanceNormalization", &[&groups, &scale, &shift])
    };
    let normalised = default_layer(|n, x| {
        let groups = grouped(n, x);
        let maps = back(n, &groups);
        n.op("Relu", &[&maps])
    });
    let early = default_layer(|n, x| {
        let groups = grouped(n, x);
        let activated = n.op("Relu", &[&groups]);
        back(n, &activated)
    });
    let activation = normalised.1.activation.as_ref().unwrap();
    assert!(activation.iter().all(|value| *value >= 0.0), "{:?}", normalised.0);
    assert_same(&early, &normalised, "activated before the axes return");
}

/// Where nothing brings the axes back, the layer holds its maps in other axes.
#[test]
fn an_activation_whose_view_is_pooled_ends_the_layer() {
    let model = |write: Write, axes: &[i64]| {
        let mut net = Net::default();
        let (kernel, weight) = (net.weights(&[4, 3, 3, 3]), net.weights(&[4, 5]));
        let maps = net.op("Conv", &["x", &kernel]);
        let maps = write(&mut net, &maps);
        let axes = net.int64s(axes);
        let mean = net.op_with("ReduceMean", &[&maps, &axes], [int("keepdims", 0)]);
        let scores = net.op("MatMul", &[&mean, &weight]);
        let model = written(&net.model([3, 8, 8], &[&scores], 20), "").unwrap();
        let pass = PassRequest { activation: true, ..logit_gradients(sine_pattern(0.37), &[2]) };
        (model.default_layer().clone(), run_default(&model, pass))
    };
    let plain = model(|n, x| n.op("Relu", &[x]), &[2, 3]);
    let viewed = model(
        |n, x| {
            let view = reshaped(n, x, &[0, 4, 36]);
            n.op("Relu", &[&view])
        },
        &[2],
    );
    assert_eq!(viewed.0.layout.name(), "rearranged");
    assert_same(&viewed, &plain, "pooled in its view");
}

/// What reads the convolution for nothing that the score depends on does not part the layer.
#[test]
fn an_unused_reader_before_the_activation_parts_no_layer() {
    let plain = default_layer(|n, x| n.op("Relu", &[x]));
    for op in ["RandomNormalLike", "Abs", "Shape"] {
        let read = default_layer(|n, x| {
            n.op(op, &[x]);
            n.op("Relu", &[x])
        });
        assert_same(&read, &plain, op);
    }
}

#[test]
fn no_layer_begins_within_an_activation() {
    let mut net = Net::default();
    let (kernel, weight) = (net.weights(&[4, 3, 3, 3]), net.weights(&[4, 5]));
    let maps = net.op("Conv", &["x", &kernel]);
    let maps = tanh_gelu(&mut net, &maps);
    let mean = net.op("GlobalAveragePool", &[&maps]);
    let features = net.op("Flatten", &[&mean]);
    let scores = net.op("MatMul", &[&features, &weight]);
    let model = written(&net.model([3, 8, 8], &[&scores], 20), "").unwrap();
    let tensors: Vec<&str> = model.layers().iter().map(|layer| layer.tensor.as_str()).collect();
    assert_eq!(tensors, [maps]);
}
