//! Outputs that hold a choice among the classes: a class keeps its index and its name.

use camlens::engine::Model;
use camlens::graph::program_io::GradientOf;
use camlens::warning::WarningCode;
use onnx_gradient::proto::{ModelProto, ValueInfoProto, data_type};

use super::{End, close, forward, gradient, model, network, softmax_of};
use crate::net::{Net, int};
use crate::support::{load, settings, write};

fn last_output(net: &Net, index: usize) -> String {
    net.nodes.last().unwrap().output[index].clone()
}

fn top(net: &mut Net, scores: &str, count: i64) {
    let k = net.ints(&[count]);
    net.second_output("TopK", &[scores, &k], vec![]);
}

/// A name, and what chooses among the classes of a softmax.
const CHOICES: &[End] = &[
    ("the largest two", |n, z| {
        let p = softmax_of(n, z);
        top(n, &p, 2);
        last_output(n, 0)
    }),
    ("all in order of size, in per cent", |n, z| {
        let (p, hundred) = (softmax_of(n, z), n.float(100.0));
        top(n, &p, 5);
        let sorted = last_output(n, 0);
        n.op("Mul", &[&sorted, &hundred])
    }),
    ("the largest", |n, z| {
        let (p, axes) = (softmax_of(n, z), n.ints(&[1]));
        n.op("ReduceMax", &[&p, &axes])
    }),
    ("1 for the largest and 0 for the others", |n, z| {
        let p = softmax_of(n, z);
        n.with("Hardmax", &[&p], vec![int("axis", 1)])
    }),
    ("1 for the largest logit", |n, z| n.with("Hardmax", &[z], vec![int("axis", 1)])),
    ("the index of the largest as one value for each class", |n, z| {
        let p = softmax_of(n, z);
        let index = n.with("ArgMax", &[&p], vec![int("axis", 1), int("keepdims", 0)]);
        let (depth, values) = (n.int(5), n.floats(&[0.0, 1.0]));
        n.op("OneHot", &[&index, &depth, &values])
    }),
    ("the classes above a threshold", |n, z| {
        let (p, half) = (softmax_of(n, z), n.float(0.5));
        let above = n.op("Greater", &[&p, &half]);
        n.with("Cast", &[&above], vec![int("to", data_type::FLOAT.into())])
    }),
];

/// The same, for outputs of integers.
const INDICES: &[End] = &[
    ("the index of the largest", |n, z| {
        let p = softmax_of(n, z);
        n.with("ArgMax", &[&p], vec![int("axis", 1), int("keepdims", 0)])
    }),
    ("the indices of the largest two", |n, z| {
        let p = softmax_of(n, z);
        top(n, &p, 2);
        last_output(n, 1)
    }),
];

fn labelled(network: &ModelProto) -> Model {
    let folder = tempfile::tempdir().unwrap().keep();
    write(&folder, network, "");
    std::fs::write(folder.join("labels.txt"), "a\nb\nc\nd\ne\n").unwrap();
    load(&folder, &settings()).unwrap()
}

fn is_plain(plain: &Model, model: &Model, name: &str) {
    assert_eq!(model.classes(), 5, "{name}");
    assert_eq!(model.labels().all(), ["a", "b", "c", "d", "e"], "{name}");
    let [warning] = model.warnings() else { panic!("{name}: {:?}", model.warnings()) };
    assert_eq!(warning.code, WarningCode::OutputGuessed);
    assert!(warning.detail.contains("chooses among the classes"), "{name}: {warning:?}");
    let (expected, found) = (forward(plain), forward(model));
    assert_eq!(found.scores, expected.scores, "{name}");
    assert_eq!(found.probabilities, expected.probabilities, "{name}");
    for gradient_of in [GradientOf::Logit, GradientOf::Probability] {
        let found = gradient(model, 3, gradient_of);
        assert!(close(&found, &gradient(plain, 3, gradient_of), 1e-6), "{name}");
    }
}

#[test]
fn the_scores_of_all_classes_are_explained_where_the_output_holds_the_largest() {
    let plain = model(softmax_of, "");
    for &(name, end) in CHOICES {
        is_plain(&plain, &labelled(&network(5, end)), name);
    }
}

#[test]
fn the_scores_of_all_classes_are_explained_where_the_output_holds_indices() {
    let plain = model(softmax_of, "");
    for &(name, end) in INDICES {
        let mut network = network(5, end);
        let output = &mut network.graph.as_mut().unwrap().output[0];
        *output = ValueInfoProto::typed(output.name(), data_type::INT64, None);
        is_plain(&plain, &labelled(&network), name);
    }
}

/// The class of the smallest score, and a class number from a table: the scores' own columns are
/// not the classes that the output names.
#[test]
fn choices_that_name_other_classes_are_refused() {
    const ENDS: &[End] = &[
        ("the index of the smallest", |n, z| {
            n.with("ArgMin", &[z], vec![int("axis", 1), int("keepdims", 0)])
        }),
        ("a table behind the index of the largest", |n, z| {
            let index = n.with("ArgMax", &[z], vec![int("axis", 1), int("keepdims", 0)]);
            let table = n.ints(&[4, 3, 2, 0, 1]);
            n.op("Gather", &[&table, &index])
        }),
    ];
    for &(name, end) in ENDS {
        let mut network = network(5, end);
        let output = &mut network.graph.as_mut().unwrap().output[0];
        *output = ValueInfoProto::typed(output.name(), data_type::INT64, None);
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &network, "");
        let error = load(folder.path(), &settings()).map(drop).expect_err(name).to_string();
        assert!(error.contains("no output of the model holds a score for each class"), "{error}");
    }
}

#[test]
fn the_smallest_scores_are_ranks() {
    let ranks = labelled(&network(5, |n, z| {
        let k = n.ints(&[3]);
        n.second_output("TopK", &[z, &k], vec![int("largest", 0)]);
        last_output(n, 0)
    }));
    assert!(ranks.labels().all().is_empty());
    let [warning] = ranks.warnings() else { panic!("{:?}", ranks.warnings()) };
    assert!(warning.detail.contains("a column is a rank and not a class"), "{warning:?}");
}

#[test]
fn ranks_that_cannot_be_undone_get_no_class_names() {
    let ranks = labelled(&network(5, |n, z| {
        top(n, z, 3);
        let largest = last_output(n, 0);
        softmax_of(n, &largest)
    }));
    assert_eq!(ranks.classes(), 3);
    assert!(ranks.labels().all().is_empty());
    let [warning] = ranks.warnings() else { panic!("{:?}", ranks.warnings()) };
    assert!(warning.detail.contains("a column is a rank and not a class"), "{warning:?}");
}

#[test]
fn what_is_made_of_the_largest_score_is_of_no_class() {
    let doubt = labelled(&network(5, |n, z| {
        let (p, axes, one) = (softmax_of(n, z), n.ints(&[1]), n.float(1.0));
        let largest = n.op("ReduceMax", &[&p, &axes]);
        n.op("Sub", &[&one, &largest])
    }));
    assert!(doubt.labels().all().is_empty());
    let [warning] = doubt.warnings() else { panic!("{:?}", doubt.warnings()) };
    assert!(warning.detail.contains("is what Sub makes of the largest score"), "{warning:?}");
}

/// Logits and probabilities side by side, and the cumulated probabilities of ordered classes.
#[test]
fn what_is_computed_from_probabilities_is_told() {
    const ENDS: &[End] = &[
        ("logits and probabilities", |n, z| {
            let p = softmax_of(n, z);
            n.with("Concat", &[z, &p], vec![int("axis", 1)])
        }),
        ("cumulated", |n, z| {
            let (p, axis) = (n.op("Sigmoid", &[z]), n.int(1));
            n.op("CumSum", &[&p, &axis])
        }),
    ];
    for &(name, end) in ENDS {
        let found = model(end, "");
        let [warning] = found.warnings() else { panic!("{name}: {:?}", found.warnings()) };
        let words = "is computed from the result of a softmax or sigmoid";
        assert!(warning.detail.contains(words), "{name}: {warning:?}");
    }
}

#[test]
fn a_refusal_tells_what_the_outputs_hold() {
    let mut network = network(5, |n, z| {
        let hundred = n.float(100.0);
        let (p, to) = (softmax_of(n, z), int("to", data_type::INT32.into()));
        let percent = n.op("Mul", &[&p, &hundred]);
        n.with("Cast", &[&percent], vec![to])
    });
    let output = &mut network.graph.as_mut().unwrap().output[0];
    let name = output.name().to_owned();
    *output = ValueInfoProto::typed(&name, data_type::INT32, None);
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &network, "");
    let error = load(folder.path(), &settings()).map(drop).unwrap_err().to_string();
    assert!(error.contains(&format!("it has '{name}', int32 [")), "{error}");
}

#[test]
fn the_largest_of_scores_that_are_no_classes_stays_a_score() {
    let largest = model(
        |n, z| {
            let axes = n.ints(&[1]);
            n.op("ReduceMax", &[z, &axes])
        },
        "[output]\nkind = \"logits\"\n",
    );
    assert_eq!(largest.classes(), 2);
}
