//! Trigonometric and hyperbolic functions and their inverses.

cases![
    (acos, "Acos", -0.9, 0.9, |n| n.op("Acos", &["layer"])),
    (acosh, "Acosh", 1.2, 3.0, |n| n.op("Acosh", &["layer"])),
    (asin, "Asin", -0.9, 0.9, |n| n.op("Asin", &["layer"])),
    (asinh, "Asinh", -2.0, 2.0, |n| n.op("Asinh", &["layer"])),
    (atan, "Atan", -2.0, 2.0, |n| n.op("Atan", &["layer"])),
    (atanh, "Atanh", -0.9, 0.9, |n| n.op("Atanh", &["layer"])),
    (cos, "Cos", -2.0, 2.0, |n| n.op("Cos", &["layer"])),
    (cosh, "Cosh", -2.0, 2.0, |n| n.op("Cosh", &["layer"])),
    (sin, "Sin", -2.0, 2.0, |n| n.op("Sin", &["layer"])),
    (sinh, "Sinh", -2.0, 2.0, |n| n.op("Sinh", &["layer"])),
    (tan, "Tan", -1.2, 1.2, |n| n.op("Tan", &["layer"])),
];
