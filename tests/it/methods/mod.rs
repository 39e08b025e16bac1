//! The explanation methods, compared with their authors' code and with the usual libraries. The
//! README of `tests/golden` says how each array was made.

mod contrast_and_sign;
mod exactness;
mod gaussian_process;
mod gradient;
mod multi_layer;
mod progress;
mod sampling;
mod sizes;
mod tail;
mod tail_passes;

use camlens::engine::Model;
use ndarray::Array4;

use crate::support::{Golden, dialect};

/// Largest difference of two maps in 0..1.
const TOLERANCE: f32 = 1e-4;

/// A model with random weights, of `tests/golden/dialects`, and its arrays.
struct Tiny {
    /// The name of the golden files.
    name: &'static str,
    onnx: &'static str,
    /// Height and width of the input.
    size: [usize; 2],
    /// Each layer's name in the golden files, and the one in the ONNX file.
    layers: &'static [(&'static str, &'static str)],
}

const TINY_VGG: Tiny = Tiny {
    name: "tinyvgg",
    onnx: "tinyvgg-torchscript",
    size: [64, 64],
    layers: &[("block3_conv3", "features.15"), ("block5_conv3", "features.29")],
};

const TINY_MIX: Tiny = Tiny {
    name: "tinymix",
    onnx: "tinymix",
    size: [50, 38],
    layers: &[
        ("stem", "/act/Mul_output_0"),
        ("residual", "/joined/Relu_output_0"),
        ("last", "/last_act/Mul_output_0"),
    ],
};

const TINY_LITE: Tiny = Tiny {
    name: "tinylite",
    onnx: "tinylite",
    size: [48, 48],
    layers: &[
        ("block2_depthwise", "/blocks/blocks.1/depthwise/depthwise.2/Clip_output_0"),
        ("block4", "/blocks/blocks.3/project/project.1/BatchNormalization_output_0"),
    ],
};

const TINY: [Tiny; 3] = [TINY_VGG, TINY_MIX, TINY_LITE];

impl Tiny {
    /// The model, its input `[1, 3, H, W]`, and the file with the libraries' maps.
    fn load(&self) -> (Model, Array4<f32>, Golden) {
        let mut golden = Golden::open(&format!("methods/{}.npz", self.name));
        (dialect(self.onnx, self.size), golden.get("x"), golden)
    }

    /// The file with the maps of the methods that sample.
    fn samples(&self) -> Golden {
        Golden::open(&format!("methods/{}-samples.npz", self.name))
    }
}

/// The classes that the arrays explain: the suffix of the method's name in a key, and the class.
fn targets(golden: &mut Golden) -> [(&'static str, Option<String>); 2] {
    [("", golden.class("target")), ("_other", golden.class("other"))]
}
