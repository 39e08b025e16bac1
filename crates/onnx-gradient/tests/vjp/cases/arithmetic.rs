//! Arithmetic of two or more tensors, with broadcasting.

use super::int;

cases![
    (add, "Add", -2.0, 2.0, |n| {
        let mean = n.op("GlobalAveragePool", &["layer"]);
        n.op("Add", &["layer", &mean])
    }),
    (sub, "Sub", -2.0, 2.0, |n| {
        let mean = n.op("GlobalAveragePool", &["layer"]);
        n.op("Sub", &[&mean, "layer"])
    }),
    (mod_fmod, "Mod", 0.75, 1.35, |n| {
        // Inputs between one and two times the divisor: Mod jumps at the multiples.
        let divisor = n.scalar(0.7);
        let rest = n.op_with("Mod", &["layer", &divisor], [int("fmod", 1)]);
        n.op("Mul", &[&rest, &rest])
    }),
    (mul_by_a_broadcast_gate, "Mul", -2.0, 2.0, |n| {
        // Squeeze and excite: the gate is broadcast over the positions.
        let mean = n.op("GlobalAveragePool", &["layer"]);
        n.op("Mul", &["layer", &mean])
    }),
    (mul_by_itself, "Mul", -2.0, 2.0, |n| n.op("Mul", &["layer", "layer"])),
    (div, "Div", 1.0, 3.0, |n| {
        let mean = n.op("GlobalAveragePool", &["layer"]);
        n.op("Div", &["layer", &mean])
    }),
    (pow_with_a_constant_exponent, "Pow", 0.5, 2.0, |n| {
        let exponent = n.scalar(2.5);
        n.op("Pow", &["layer", &exponent])
    }),
    (pow_with_a_computed_exponent, "Pow", 0.5, 2.0, |n| {
        let mean = n.op("GlobalAveragePool", &["layer"]);
        n.op("Pow", &["layer", &mean])
    }),
    (pow_of_zero_with_exponents_0_1_2, "Pow", -2.0, 2.0, |n| {
        // 0⁰ where the ReLU is closed: the derivative would be 0·∞.
        let (positive, exponents) =
            (n.op("Relu", &["layer"]), n.float32s(&[3, 1, 1], &[0.0, 1.0, 2.0]));
        n.op("Pow", &[&positive, &exponents])
    }),
    (pow_with_a_constant_base, "Pow", 0.5, 2.0, |n| {
        let bases = n.float32s(&[3, 1, 1], &[0.0, 0.5, 2.0]);
        n.op("Pow", &[&bases, "layer"])
    }),
    (sum, "Sum", -2.0, 2.0, |n| {
        let bias = n.weights(&[3, 1, 1]);
        n.op("Sum", &["layer", &bias, "layer"])
    }),
    (mean, "Mean", -2.0, 2.0, |n| {
        let bias = n.weights(&[3, 1, 1]);
        n.op("Mean", &["layer", &bias, "layer"])
    }),
    (max_of_two, "Max", -2.0, 2.0, |n| {
        let bound = n.weights(&[3, 1, 1]);
        n.op("Max", &["layer", &bound])
    }),
    (min, "Min", -2.0, 2.0, |n| {
        let bound = n.weights(&[3, 1, 1]);
        n.op("Min", &[&bound, "layer"])
    }),
    (max_of_three, "Max", -2.0, 2.0, |n| {
        let (bound, other) = (n.weights(&[3, 1, 1]), n.weights(&[5]));
        n.op("Max", &["layer", &bound, &other])
    }),
    (where_both_branches, "Where", -2.0, 2.0, |n| {
        let (bound, other) = (n.weights(&[3, 1, 1]), n.weights(&[1]));
        let doubled = n.op("Add", &["layer", "layer"]);
        let chosen = n.op("Greater", &["layer", &bound]);
        let first = n.op("Where", &[&chosen, &doubled, &other]);
        let second = n.op("Where", &[&chosen, &other, &doubled]);
        let half = n.scalar(0.3);
        let second = n.op("Mul", &[&second, &half]);
        n.op("Add", &[&first, &second])
    }),
];
