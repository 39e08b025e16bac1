//! Single values with bounds: quantities, unless they are probabilities.

use camlens::graph::head::OutputActivation;
use camlens::warning::WarningCode;

use super::quantities::age;
use super::{End, forward, model, model_of, network, softmax_of};
use crate::net::Net;
use crate::support::{load, settings, write};

/// A single value with bounds: how it is written, its words in the warning, and its formula.
type Bounded = (End, &'static str, fn(f32) -> f32);

fn times(net: &mut Net, tensor: &str, factor: f32) -> String {
    let factor = net.float(factor);
    net.op("Mul", &[tensor, &factor])
}

fn plus(net: &mut Net, tensor: &str, offset: f32) -> String {
    let offset = net.float(offset);
    net.op("Add", &[tensor, &offset])
}

fn logistic(z: f32) -> f32 {
    (1.0 + (-z).exp()).recip()
}

const BOUNDED: &[Bounded] = &[
    (("exp", |n, z| n.op("Exp", &[z])), "of at least 0", f32::exp),
    (("softplus", |n, z| n.op("Softplus", &[z])), "of at least 0", |z| z.exp().ln_1p()),
    (
        ("clip", |n, z| {
            let (years, low, high) = (age(n, z), n.float(0.0), n.float(120.0));
            n.op("Clip", &[&years, &low, &high])
        }),
        "between 0 and 120",
        |z| 3.0 * z + 35.0,
    ),
    (
        ("relu of an age", |n, z| {
            let years = age(n, z);
            n.op("Relu", &[&years])
        }),
        "of at least 0",
        |z| 3.0 * z + 35.0,
    ),
    (
        ("sigmoid times 100", |n, z| {
            let p = n.op("Sigmoid", &[z]);
            times(n, &p, 100.0)
        }),
        "between 0 and 100",
        |z| 100.0 * logistic(z),
    ),
    (
        ("tanh times 90", |n, z| {
            let t = n.op("Tanh", &[z]);
            times(n, &t, 90.0)
        }),
        "between -90 and 90",
        |z| 90.0 * z.tanh(),
    ),
    (
        ("sigmoid times 4 plus 1", |n, z| {
            let p = n.op("Sigmoid", &[z]);
            let p = times(n, &p, 4.0);
            plus(n, &p, 1.0)
        }),
        "between 1 and 5",
        |z| 4.0 * logistic(z) + 1.0,
    ),
    (
        ("twice a sigmoid less 1", |n, z| {
            let (p, one) = (n.op("Sigmoid", &[z]), n.float(1.0));
            let p = times(n, &p, 2.0);
            n.op("Sub", &[&p, &one])
        }),
        "between -1 and 1",
        |z| 2.0 * logistic(z) - 1.0,
    ),
    (("softsign", |n, z| n.op("Softsign", &[z])), "between -1 and 1", |z| z / (1.0 + z.abs())),
    (("arc tangent", |n, z| n.op("Atan", &[z])), "between -1.57", f32::atan),
    (("sine", |n, z| n.op("Sin", &[z])), "between -1 and 1", f32::sin),
    (("absolute", |n, z| n.op("Abs", &[z])), "of at least 0", f32::abs),
    (("square", |n, z| n.op("Mul", &[z, z])), "of at least 0", |z| z * z),
    (
        ("a loss", |n, z| {
            let p = n.op("Sigmoid", &[z]);
            let log = n.op("Log", &[&p]);
            n.op("Neg", &[&log])
        }),
        "of at least 0",
        |z| -logistic(z).ln(),
    ),
    (("hard swish", |n, z| n.op("HardSwish", &[z])), "of at least -0.375", |z| {
        z * (z / 6.0 + 0.5).clamp(0.0, 1.0)
    }),
];

/// The logit that all single outputs here are made of.
fn logit() -> f32 {
    let plain = model_of(1, |_, z| z.to_owned(), "[output]\nkind = \"logits\"\n");
    forward(&plain).scores[[0, 1]]
}

#[test]
fn a_single_value_with_bounds_is_a_quantity_and_the_warning_tells_the_bounds() {
    let z = logit();
    for &((name, end), range, value) in BOUNDED {
        let model = model_of(1, end, "");
        assert_eq!(model.output_activation(), OutputActivation::Identity, "{name}");
        let found = forward(&model).scores[[0, 0]];
        assert!((found - value(z)).abs() <= 1e-4 * value(z).abs().max(0.01), "{name}: {found}");
        let [warning] = model.warnings() else { panic!("{name}: {:?}", model.warnings()) };
        assert_eq!(warning.code, WarningCode::OutputGuessed, "{name}");
        assert!(warning.detail.contains(&format!("one value {range}")), "{name}: {warning:?}");
        assert!(!warning.detail.contains("without bounds"), "{name}: {warning:?}");
    }
}

#[test]
fn a_mean_weighted_by_a_softmax_has_the_bounds_of_its_weights() {
    let products: End = ("products", |n, z| {
        let (p, years, axes) =
            (softmax_of(n, z), n.floats(&[0.0, 25.0, 50.0, 75.0, 100.0]), n.ints(&[1]));
        let weighted = n.op("Mul", &[&p, &years]);
        n.op("ReduceSum", &[&weighted, &axes])
    });
    let matrix: End = ("matrix", |n, z| {
        let p = softmax_of(n, z);
        let years = n.float32s(&[5, 1], &[0.0, 25.0, 50.0, 75.0, 100.0]);
        n.op("MatMul", &[&p, &years])
    });
    let p = forward(&model(softmax_of, "")).probabilities;
    let expected: f32 =
        p.row(0).iter().zip([0.0, 25.0, 50.0, 75.0, 100.0]).map(|(p, y)| p * y).sum();
    for (name, end) in [products, matrix] {
        let model = model(end, "");
        assert_eq!(model.output_activation(), OutputActivation::Identity, "{name}");
        let found = forward(&model).scores[[0, 0]];
        assert!((found - expected).abs() < 1e-3, "{name}: {found}, not {expected}");
        let detail = &model.warnings()[0].detail;
        assert!(detail.contains("one value between 0 and 100"), "{name}: {detail}");
    }
}

#[test]
fn a_single_value_that_ends_at_0_and_1_is_a_probability() {
    let probit: End = ("probit", |n, z| {
        let (e, half) = (n.op("Erf", &[z]), n.float(0.5));
        let sum = plus(n, &e, 1.0);
        n.op("Mul", &[&sum, &half])
    });
    let squared: End = ("squared sigmoid", |n, z| {
        let (p, two) = (n.op("Sigmoid", &[z]), n.float(2.0));
        n.op("Pow", &[&p, &two])
    });
    for (name, end) in [probit, squared] {
        let model = model_of(1, end, "");
        assert_eq!(model.classes(), 2, "{name}");
        assert_eq!(model.output_activation(), OutputActivation::Unknown, "{name}");
        assert!(model.warnings().is_empty(), "{name}: {:?}", model.warnings());
    }
    let found = forward(&model_of(1, squared.1, "")).probabilities[[0, 1]];
    assert!((found - logistic(logit()).powi(2)).abs() < 1e-6, "{found}");
}

#[test]
fn a_rounded_single_value_is_a_quantity() {
    let rounded = model_of(1, |n, z| n.op("Round", &[z]), "");
    assert_eq!(rounded.output_activation(), OutputActivation::Identity);
    assert!(rounded.warnings()[0].detail.contains("one whole number"));
}

#[test]
fn a_manifest_or_two_labels_make_per_cent_a_probability() {
    let per_cent = |n: &mut Net, z: &str| {
        let p = n.op("Sigmoid", &[z]);
        times(n, &p, 100.0)
    };
    let declared = model_of(1, per_cent, "[output]\nkind = \"probabilities\"\n");
    let folder = tempfile::tempdir().unwrap().keep();
    write(&folder, &network(1, per_cent), "");
    std::fs::write(folder.join("labels.txt"), "cat\ndog\n").unwrap();
    let labelled = load(&folder, &settings()).unwrap();
    for model in [declared, labelled] {
        assert!(model.warnings().is_empty(), "{:?}", model.warnings());
        let found = forward(&model);
        assert!((found.probabilities[[0, 1]] - logistic(logit())).abs() < 1e-6);
        assert!((found.scores[[0, 1]] - logit()).abs() < 1e-6);
    }
}

#[test]
fn two_labels_make_a_bounded_value_a_logit_with_a_warning_if_it_has_one_sign() {
    let ends: [(End, Option<&str>); 2] = [
        (("softplus", |n, z| n.op("Softplus", &[z])), Some("one value of at least 0")),
        (("tanh", |n, z| n.op("Tanh", &[z])), None),
    ];
    for ((name, end), range) in ends {
        let folder = tempfile::tempdir().unwrap().keep();
        write(&folder, &network(1, end), "");
        std::fs::write(folder.join("labels.txt"), "cat\ndog\n").unwrap();
        let model = load(&folder, &settings()).unwrap();
        assert_eq!(model.output_activation(), OutputActivation::Sigmoid, "{name}");
        let details: Vec<_> = model.warnings().iter().map(|warning| &warning.detail).collect();
        assert_eq!(details.len(), usize::from(range.is_some()), "{name}: {details:?}");
        let tells = |detail: &&String| range.is_some_and(|range| detail.contains(range));
        assert!(details.iter().all(tells), "{name}: {details:?}");
    }
}
