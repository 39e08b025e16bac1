//! Models that move rows and columns before a convolution: the map is turned back, or the layer
//! says which node may have moved it.

use camlens::engine::{CancellationToken, Model, PassRequest};
use camlens::error::Kind;
use ndarray::Array4;
use onnx_gradient::proto::AttributeProto;

use crate::net::{Net, int, ints};
use crate::support::{difference, written};

const IMAGE: [usize; 3] = [3, 12, 16];

/// A model whose image passes `before` and then a convolution with an activation.
fn model(before: impl FnOnce(&mut Net) -> String) -> Model {
    let mut net = Net::default();
    let (kernel, weight) = (net.weights(&[4, 3, 3, 3]), net.weights(&[4, 5]));
    let moved = before(&mut net);
    let maps = net.with("Conv", &[&moved, &kernel], vec![ints("pads", &[1, 1, 1, 1])]);
    let maps = net.op("Relu", &[&maps]);
    finish(net, &maps, &weight)
}

fn finish(mut net: Net, maps: &str, weight: &str) -> Model {
    let mean = net.op("GlobalAveragePool", &[maps]);
    let features = net.op("Flatten", &[&mean]);
    let scores = net.op("MatMul", &[&features, weight]);
    let manifest = format!("[input]\nsize = {:?}\n", &IMAGE[1..]);
    written(&net.model(IMAGE, &[&scores], 18), &manifest).unwrap()
}

/// The operator that may have moved the positions of the model's last layer.
fn mover(model: &Model) -> Option<String> {
    let moved_by = model.layers().last().unwrap().moved_by.as_ref()?;
    let (name, operator) = moved_by.rsplit_once(" (").unwrap();
    assert!(name.starts_with('\'') && name.ends_with('\'') && name.len() > 2, "{moved_by}");
    Some(operator.trim_end_matches(')').to_owned())
}

fn slice(net: &mut Net, from: &str, starts: &[i64], ends: &[i64], axes: &[i64]) -> String {
    let inputs = [starts, ends, axes].map(|values| net.ints(values));
    net.op("Slice", &[from, &inputs[0], &inputs[1], &inputs[2]])
}

fn pad(net: &mut Net, mode: &str, pads: &[i64]) -> String {
    let pads = net.ints(pads);
    let mode = AttributeProto::string("mode", mode);
    net.with("Pad", &["x", &pads], vec![mode])
}

/// Half a position each: what one operator moves is not seen, what several move is.
#[test]
fn half_positions_add_up() {
    let same = |mode: &str| AttributeProto::string("auto_pad", mode);
    let even = |count: usize, attributes: &dyn Fn() -> Vec<AttributeProto>| {
        let model = model(|net| {
            (0..count).fold("x".to_owned(), |from, _| {
                let kernel = net.weights(&[3, 3, 2, 2]);
                net.with("Conv", &[&from, &kernel], attributes())
            })
        });
        mover(&model)
    };
    let behind = || vec![ints("pads", &[0, 0, 1, 1])];
    let (upper, lower) = (|| vec![same("SAME_UPPER")], || vec![same("SAME_LOWER")]);
    for attributes in [&behind as &dyn Fn() -> Vec<AttributeProto>, &upper, &lower] {
        assert_eq!(even(1, attributes), None);
        assert_eq!(even(2, attributes).as_deref(), Some("Conv"));
    }
    let pooled = model(|net| {
        (0..3).fold("x".to_owned(), |from, _| {
            net.with("MaxPool", &[&from], vec![ints("kernel_shape", &[2, 2]), same("SAME_UPPER")])
        })
    });
    assert_eq!(mover(&pooled).as_deref(), Some("MaxPool"));
    // There and back again.
    let balanced = model(|net| {
        [[0, 0, 1, 1], [1, 1, 0, 0]].iter().fold("x".to_owned(), |from, pads| {
            let kernel = net.weights(&[3, 3, 2, 2]);
            net.with("Conv", &[&from, &kernel], vec![ints("pads", pads)])
        })
    });
    assert_eq!(mover(&balanced), None);
    // TensorFlow's padding of strided convolutions: the coarser the map, the less it is.
    let strided = model(|net| {
        (0..2).fold("x".to_owned(), |from, _| {
            let kernel = net.weights(&[3, 3, 3, 3]);
            let pads = ints("pads", &[0, 0, 1, 1]);
            net.with("Conv", &[&from, &kernel], vec![pads, ints("strides", &[2, 2])])
        })
    });
    assert_eq!(mover(&strided), None);
}

#[test]
fn a_node_that_moves_positions_is_named() {
    let flipped = model(|net| {
        let inputs = [[-1], [i64::MIN], [3], [-1]].map(|values| net.ints(&values));
        net.op("Slice", &["x", &inputs[0], &inputs[1], &inputs[2], &inputs[3]])
    });
    assert_eq!(mover(&flipped).as_deref(), Some("Slice"));
    let cropped = model(|net| slice(net, "x", &[0, 4], &[8, 16], &[2, 3]));
    assert_eq!(mover(&cropped).as_deref(), Some("Slice"));
    let gathered = model(|net| {
        let order: Vec<i64> = (0..12).rev().collect();
        let order = net.ints(&order);
        net.with("Gather", &["x", &order], vec![int("axis", 2)])
    });
    assert_eq!(mover(&gathered).as_deref(), Some("Gather"));
    let rolled = model(|net| {
        let parts = [slice(net, "x", &[5], &[16], &[3]), slice(net, "x", &[0], &[5], &[3])];
        net.with("Concat", &[&parts[0], &parts[1]], vec![int("axis", 3)])
    });
    assert_eq!(mover(&rolled).as_deref(), Some("Slice"));
    let bordered = model(|net| pad(net, "constant", &[0, 0, 0, 0, 0, 0, 8, 8]));
    assert_eq!(mover(&bordered).as_deref(), Some("Pad"));
    // The same number of rows, with others among them.
    let shifted = model(|net| pad(net, "constant", &[0, 0, 5, 0, 0, 0, -5, 0]));
    assert_eq!(mover(&shifted).as_deref(), Some("Pad"));
    let multiplied = model(|net| {
        let (permutation, kernel) = (net.weights(&[16, 16]), net.weights(&[3, 3, 1, 1]));
        let moved = net.op("MatMul", &["x", &permutation]);
        net.op("Conv", &[&moved, &kernel])
    });
    assert_eq!(mover(&multiplied).as_deref(), Some("Conv"));
    let einsum = model(|net| {
        let permutation = net.weights(&[12, 12]);
        let equation = onnx_gradient::proto::AttributeProto::string("equation", "nchw,hk->nckw");
        net.with("Einsum", &["x", &permutation], vec![equation])
    });
    assert_eq!(mover(&einsum).as_deref(), Some("Einsum"));
    let sampled = model(|net| {
        let grid = net.weights(&[1, 12, 16, 2]);
        net.op("GridSample", &["x", &grid])
    });
    assert_eq!(mover(&sampled).as_deref(), Some("GridSample"));
    let reversed = model(|net| {
        let order = vec![int("batch_axis", 0), int("time_axis", 1)];
        let rows = net.with("Transpose", &["x"], vec![ints("perm", &[1, 2, 0, 3])]);
        let lengths = net.ints(&[12, 12, 12]);
        let rows = net.with("ReverseSequence", &[&rows, &lengths], order);
        net.with("Transpose", &[&rows], vec![ints("perm", &[2, 0, 1, 3])])
    });
    assert_eq!(mover(&reversed).as_deref(), Some("ReverseSequence"));
}

#[test]
fn what_leaves_positions_in_place_is_not_named() {
    let plain = model(|_| "x".to_owned());
    assert_eq!(mover(&plain), None);
    let channels = model(|net| {
        let order = net.ints(&[2, 1, 0]);
        net.with("Gather", &["x", &order], vec![int("axis", 1)])
    });
    assert_eq!(mover(&channels), None);
    // TensorFlow pads below and to the right, and trims what is too much.
    let padded = model(|net| pad(net, "reflect", &[0, 0, 0, 0, 0, 0, 1, 1]));
    assert_eq!(mover(&padded), None);
    let trimmed = model(|net| slice(net, "x", &[1, 1], &[12, 16], &[2, 3]));
    assert_eq!(mover(&trimmed), None);
    let kernel_sized = model(|net| {
        let kernel = net.weights(&[3, 3, 7, 7]);
        let border = pad(net, "constant", &[0, 0, 3, 3, 0, 0, 3, 3]);
        net.op("Conv", &[&border, &kernel])
    });
    assert_eq!(mover(&kernel_sized), None);
    // A part of the channels, whose start is computed from their number.
    let chunk = model(|net| {
        let kernel = net.weights(&[3, 2, 1, 1]);
        let (axis, two) = (net.ints(&[1]), net.ints(&[2]));
        let shape = net.op("Shape", &["x"]);
        let channels = net.op("Gather", &[&shape, &axis]);
        let start = net.op("Sub", &[&channels, &two]);
        let part = net.op("Slice", &["x", &start, &channels, &axis]);
        net.op("Conv", &[&part, &kernel])
    });
    assert_eq!(mover(&chunk), None);
    // A branch of one position decides how much of each channel passes.
    let squeezed = model(|net| {
        let kernel = net.weights(&[3, 3, 1, 1]);
        let mean = net.op("GlobalAveragePool", &["x"]);
        let gate = net.op("Conv", &[&mean, &kernel]);
        let gate = net.op("Sigmoid", &[&gate]);
        net.op("Mul", &["x", &gate])
    });
    assert_eq!(mover(&squeezed), None);
}

#[test]
fn what_follows_a_moved_layer_is_moved_and_what_comes_before_is_not() {
    let mut net = Net::default();
    let kernels = [net.weights(&[4, 3, 3, 3]), net.weights(&[4, 4, 3, 3])];
    let weight = net.weights(&[4, 5]);
    let first = net.op("Conv", &["x", &kernels[0]]);
    let first = net.op("Relu", &[&first]);
    let flipped = {
        let inputs = [[-1], [i64::MIN], [3], [-1]].map(|values| net.ints(&values));
        net.op("Slice", &[&first, &inputs[0], &inputs[1], &inputs[2], &inputs[3]])
    };
    let second = net.op("Conv", &[&flipped, &kernels[1]]);
    let second = net.op("Relu", &[&second]);
    let tokens = net.ints(&[0, 4, -1]);
    let tokens = net.op("Reshape", &[&second, &tokens]);
    let tokens = net.with("Transpose", &[&tokens], vec![ints("perm", &[0, 2, 1])]);
    let axes = net.ints(&[1]);
    let features = net.with("ReduceMean", &[&tokens, &axes], vec![int("keepdims", 0)]);
    let scores = net.op("MatMul", &[&features, &weight]);
    let manifest = format!("[input]\nsize = {:?}\n", &IMAGE[1..]);
    let model = written(&net.model(IMAGE, &[&scores], 18), &manifest).unwrap();
    let moved: Vec<bool> = model.layers().iter().map(|layer| layer.moved_by.is_some()).collect();
    assert_eq!(moved, [false, true]);
    assert!(model.layer(Some(&tokens)).unwrap().moved_by.is_some());
    assert_eq!(model.layer(Some(&flipped)).unwrap_err().kind(), Kind::UnknownLayer);
}

#[test]
fn maps_of_columns_and_rows_are_turned_back() {
    let x = Array4::from_shape_fn((1, 3, 12, 16), |(_, c, y, x)| {
        ((c * 192 + y * 16 + x) as f32 * 0.37).sin()
    });
    let activation = |model: &Model| {
        let layer = model.layers().last().unwrap();
        assert_eq!((layer.shape, layer.moved_by.as_ref()), ([4, 12, 16], None));
        let pass = PassRequest { activation: true, ..PassRequest::new(x.clone()) };
        let outputs = model.run_all(&[layer], pass, &CancellationToken::default()).unwrap();
        outputs.into_iter().next().unwrap().activation.unwrap()
    };
    let network = |is_transposed: bool| {
        let mut net = Net::default();
        let (kernel, weight) = (net.weights(&[4, 3, 3, 3]), net.weights(&[4, 5]));
        let swap = |net: &mut Net, tensor: &str| match is_transposed {
            true => net.with("Transpose", &[tensor], vec![ints("perm", &[0, 1, 3, 2])]),
            false => tensor.to_owned(),
        };
        let (image, kernel) = (swap(&mut net, "x"), swap(&mut net, &kernel));
        let padded = vec![ints("pads", &[1, 1, 1, 1]), ints("kernel_shape", &[3, 3])];
        let maps = net.with("Conv", &[&image, &kernel], padded);
        let maps = net.op("Relu", &[&maps]);
        finish(net, &maps, &weight)
    };
    let (upright, transposed) = (activation(&network(false)), activation(&network(true)));
    assert!(difference(&upright, &transposed) < 1e-6);
}

fn flip(net: &mut Net, tensor: &str) -> String {
    let inputs = [[-1], [i64::MIN], [3], [-1]].map(|values| net.ints(&values));
    net.op("Slice", &[tensor, &inputs[0], &inputs[1], &inputs[2], &inputs[3]])
}

#[test]
fn what_was_moved_moves_what_it_is_combined_with() {
    for op in ["Add", "Max", "Mean", "Sum", "Mul"] {
        let both = model(|net| {
            let flipped = flip(net, "x");
            net.op(op, &["x", &flipped])
        });
        assert_eq!(mover(&both).as_deref(), Some("Slice"), "{op}");
    }
    let chosen = model(|net| {
        let flipped = flip(net, "x");
        let never = net.float(1e9);
        let condition = net.op("Greater", &["x", &never]);
        net.op("Where", &[&condition, "x", &flipped])
    });
    assert_eq!(mover(&chosen).as_deref(), Some("Slice"));
    let side_by_side = model(|net| {
        let kernel = net.weights(&[3, 6, 1, 1]);
        let flipped = flip(net, "x");
        let both = net.with("Concat", &["x", &flipped], vec![int("axis", 1)]);
        net.op("Conv", &[&both, &kernel])
    });
    assert_eq!(mover(&side_by_side).as_deref(), Some("Slice"));
}

/// A model whose image passes a convolution or pooling with these attributes first.
fn padded(op: &str, kernel: i64, pads: &[i64]) -> Model {
    model(|net| {
        let attributes = vec![ints("pads", pads), ints("kernel_shape", &[kernel, kernel])];
        match op {
            "Conv" | "ConvTranspose" => {
                let weights = net.weights(&[3, 3, kernel, kernel]);
                net.with(op, &["x", &weights], attributes)
            }
            _ => net.with(op, &["x"], attributes),
        }
    })
}

#[test]
fn padding_of_one_side_moves_the_image() {
    for op in ["Conv", "MaxPool", "AveragePool", "LpPool", "ConvTranspose"] {
        assert_eq!(mover(&padded(op, 5, &[2, 2, 2, 2])), None, "{op}");
        // TensorFlow's SAME padding of an even size.
        assert_eq!(mover(&padded(op, 4, &[1, 1, 2, 2])), None, "{op}");
        assert_eq!(mover(&padded(op, 5, &[0, 4, 0, 0])).as_deref(), Some(op));
    }
    assert_eq!(mover(&padded("Conv", 1, &[6, 6, 6, 6])).as_deref(), Some("Conv"));
}

#[test]
fn rows_and_columns_that_are_cut_and_interleaved_are_told() {
    let interleaved = model(|net| {
        let cut = net.ints(&[0, 3, 12, 4, 4]);
        let joined = net.ints(&[0, 3, 12, 16]);
        let parts = net.op("Reshape", &["x", &cut]);
        let turned = net.with("Transpose", &[&parts], vec![ints("perm", &[0, 1, 2, 4, 3])]);
        let image = net.op("Reshape", &[&turned, &joined]);
        let kernel = net.weights(&[3, 3, 1, 1]);
        net.op("Conv", &[&image, &kernel])
    });
    assert_eq!(mover(&interleaved).as_deref(), Some("Conv"));
    let multiplied = model(|net| {
        let (flat, image) = (net.ints(&[0, 3, 192]), net.ints(&[0, 3, 12, 16]));
        let (permutation, kernel) = (net.weights(&[192, 192]), net.weights(&[3, 3, 1, 1]));
        let positions = net.op("Reshape", &["x", &flat]);
        let permuted = net.op("MatMul", &[&positions, &permutation]);
        let moved = net.op("Reshape", &[&permuted, &image]);
        net.op("Conv", &[&moved, &kernel])
    });
    assert_eq!(mover(&multiplied).as_deref(), Some("MatMul"));
}

/// A convolution's tokens get a place for a class token, and lose it before the next convolution.
#[test]
fn tokens_before_the_grid_are_padded_and_sliced_away() {
    let tokens = model(|net| {
        let (flat, image) = (net.ints(&[0, 3, -1]), net.ints(&[0, 3, 12, 16]));
        let (pads, axis) = (net.ints(&[0, 1, 0, 0, 0, 0]), net.ints(&[1]));
        let (start, end) = (net.ints(&[1]), net.ints(&[i64::MAX]));
        let positions = net.op("Reshape", &["x", &flat]);
        let positions = net.with("Transpose", &[&positions], vec![ints("perm", &[0, 2, 1])]);
        let padded = net.op("Pad", &[&positions, &pads]);
        let sliced = net.op("Slice", &[&padded, &start, &end, &axis]);
        let channels = net.with("Transpose", &[&sliced], vec![ints("perm", &[0, 2, 1])]);
        net.op("Reshape", &[&channels, &image])
    });
    assert_eq!(mover(&tokens), None);
}
