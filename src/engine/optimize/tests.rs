//! The custom operators as ONNX Runtime calls them, with inputs that they cannot take. A model file
//! may hold such a node itself, so what the passes would never write has to be an error, too.

use onnx_gradient::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorType,
    TypeProto, TypeValue, ValueInfoProto, data_type,
};
use ort::session::Session;
use ort::value::{Shape, TensorRef};
use prost::Message;

use super::common::DOMAIN;
use super::operators::Operators;
use super::{conv_chain, conv_fusion, depthwise, elementwise, gemv};
use crate::engine::Settings;
use crate::engine::runtime::Runtime;
use crate::engine::weights::HeldSession;
use crate::model::onnx_file::EncodedModel;

/// An input of a node: its name and dimensions.
type Input = (&'static str, &'static [usize]);

fn node(operator: &str, inputs: &[&str]) -> NodeProto {
    NodeProto { domain: Some(DOMAIN.into()), ..NodeProto::new(operator, inputs, &["y"]) }
}

/// A model of one node. Inputs of the node that are not `fed` are weights.
fn model(node: NodeProto, kind: i32, fed: &[&str], weights: &[TensorProto]) -> Vec<u8> {
    let value = |name: &str| ValueInfoProto {
        name: Some(name.into()),
        r#type: Some(TypeProto {
            value: Some(TypeValue::Tensor(TensorType { elem_type: Some(kind), shape: None })),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    };
    let graph = GraphProto {
        name: Some("one".into()),
        node: vec![node],
        initializer: weights.to_vec(),
        input: fed.iter().map(|name| value(name)).collect(),
        output: vec![value("y")],
        ..GraphProto::default()
    };
    let set = |domain: &str, version| OperatorSetIdProto {
        domain: Some(domain.into()),
        version: Some(version),
    };
    let model = ModelProto {
        ir_version: Some(10),
        opset_import: vec![set("", 21), set(DOMAIN, 1)],
        graph: Some(graph),
        ..ModelProto::default()
    };
    model.encode_to_vec()
}

fn open(
    node: NodeProto,
    kind: i32,
    fed: &[&str],
    weights: &[TensorProto],
) -> ort::Result<HeldSession> {
    let runtime = Runtime::load(&Settings { threads: Some(2), ..Settings::default() })
        .map_err(|error| ort::Error::new(error.to_string()))?;
    let model = EncodedModel { bytes: model(node, kind, fed, weights), weights: Vec::new() };
    let operators = Operators::new(2, true);
    runtime.session(&model, false, false, Some(&operators))
}

/// Runs a node whose inputs are all ones, and returns its output.
fn run(
    node: &NodeProto,
    inputs: &[Input],
    weights: &[TensorProto],
) -> ort::Result<(Shape, Vec<f32>)> {
    let fed: Vec<&str> = inputs.iter().map(|(name, _)| *name).collect();
    let mut session = open(node.clone(), data_type::FLOAT, &fed, weights)?;
    let ones: Vec<Vec<f32>> =
        inputs.iter().map(|(_, dims)| vec![1.0; dims.iter().product()]).collect();
    let mut values = Vec::new();
    for ((name, dims), ones) in inputs.iter().zip(&ones) {
        values.push((*name, TensorRef::from_array_view((dims.to_vec(), ones.as_slice()))?));
    }
    let outputs = session.run(values)?;
    let (shape, data) = outputs["y"].try_extract_tensor::<f32>()?;
    Ok((shape.clone(), data.to_vec()))
}

/// What a node answers to inputs that it cannot take. None of these may be a caught panic.
fn error(node: &NodeProto, inputs: &[Input], weights: &[TensorProto]) -> String {
    let error = run(node, inputs, weights).map(|(shape, _)| shape).unwrap_err().to_string();
    assert!(!error.contains("a bug in"), "{error}");
    error
}

/// Every operator declares 32-bit floats, so the runtime refuses a node of other types.
fn refuses_other_types(node: &NodeProto, fed: &[&str]) {
    for kind in [data_type::DOUBLE, data_type::INT64, data_type::BOOL] {
        let error = open(node.clone(), kind, fed, &[]).err().unwrap().to_string();
        assert!(error.to_lowercase().contains("type"), "{error}");
    }
}

fn ones(name: &str, dims: &[i64]) -> TensorProto {
    let len = dims.iter().map(|&size| usize::try_from(size).unwrap()).product();
    TensorProto::float32(name, dims, &vec![1.0; len])
}

mod chains {
    use super::conv_chain::pass::{OPERATOR, attributes};
    use super::*;

    fn chain(outputs: &[i64]) -> NodeProto {
        let ints = |name: &str, values: &[i64]| AttributeProto::ints(name, values.to_vec());
        node(OPERATOR, &["x", "w"])
            .with(ints(attributes::BIAS, &[0]))
            .with(ints(attributes::RELU, &[1]))
            .with(ints(attributes::POOL, &[1]))
            .with(ints(attributes::OUTPUTS, outputs))
            .with(ints(attributes::EQUAL_PATCHES, &[1]))
    }

    #[test]
    fn a_chain_gives_empty_outputs_for_empty_inputs() {
        let weights = [ones("w", &[16, 3, 3, 3])];
        for (dims, expected) in [
            (&[0, 3, 4, 4], [0, 16, 2, 2]),
            (&[1, 3, 0, 4], [1, 16, 0, 2]),
            (&[1, 3, 1, 4], [1, 16, 0, 2]),
        ] {
            let (shape, data) = run(&chain(&[0, 1]), &[("x", dims)], &weights).unwrap();
            assert_eq!((&shape[..], data.len()), (&expected[..], 0));
        }
        let (_, data) = run(&chain(&[0, 1]), &[("x", &[1, 3, 4, 4])], &weights).unwrap();
        assert_eq!(data, [27.0; 16 * 4]);
    }

    #[test]
    fn a_chain_refuses_what_it_cannot_take() {
        let weights = [ones("w", &[16, 3, 3, 3])];
        let x: Input = ("x", &[1, 3, 4, 4]);
        let message = error(&chain(&[0, 1]), &[("x", &[3, 4, 4])], &weights);
        assert!(message.contains("takes [N, C, H, W]"), "{message}");
        let message = error(&chain(&[0, 1]), &[("x", &[1, 5, 4, 4])], &weights);
        assert!(message.contains("the input has 80 values"), "{message}");
        for layer in [-1, 1, i64::MAX] {
            let message = error(&chain(&[layer, 1]), &[x], &weights);
            assert!(message.contains("has no layer"), "{message}");
        }
        for dims in [&[16, 3, 5, 5][..], &[16, 27], &[0, 3, 3, 3]] {
            error(&chain(&[0, 1]), &[x], &[ones("w", dims)]);
        }
        // A filter that is no weight, and a node without attributes.
        error(&chain(&[0, 1]), &[x, ("w", &[16, 3, 3, 3])], &[]);
        error(&node(OPERATOR, &["x", "w"]), &[x], &weights);
        refuses_other_types(&chain(&[0, 1]), &["x", "w"]);
    }
}

mod products {
    use super::gemv::pass::{OPERATOR, TRANSPOSED};
    use super::*;

    fn product(transposed: bool) -> NodeProto {
        node(OPERATOR, &["x", "w", "b"]).with(AttributeProto::int(TRANSPOSED, transposed.into()))
    }

    #[test]
    fn a_product_of_empty_operands_is_the_bias_or_empty() {
        let b: Input = ("b", &[2]);
        for (transposed, w) in [(false, &[0, 2][..]), (true, &[2, 0])] {
            let inputs = [("x", &[3, 0][..]), ("w", w), b];
            let (shape, data) = run(&product(transposed), &inputs, &[]).unwrap();
            assert_eq!((&shape[..], &data[..]), (&[3, 2][..], &[1.0; 6][..]));
        }
        for transposed in [false, true] {
            let inputs = [("x", &[0, 2][..]), ("w", &[2, 2]), b];
            let (shape, _) = run(&product(transposed), &inputs, &[]).unwrap();
            assert_eq!(&shape[..], [0, 2]);
        }
    }

    #[test]
    fn a_product_refuses_operands_that_do_not_fit() {
        for transposed in [false, true] {
            let product = product(transposed);
            let (x, w, b): (Input, Input, Input) = (("x", &[2, 4]), ("w", &[4, 4]), ("b", &[4]));
            assert!(run(&product, &[x, w, b], &[]).is_ok());
            for inputs in [
                [("x", &[2, 3][..]), w, b],
                [("x", &[]), w, b],
                [x, ("w", &[16]), b],
                [x, ("w", &[4, 2, 2]), b],
                [x, w, ("b", &[3])],
            ] {
                error(&product, &inputs, &[]);
            }
            refuses_other_types(&product, &["x", "w", "b"]);
        }
    }
}

mod expressions {
    use super::elementwise::{OPERATOR, STEPS, SUMS};
    use super::*;
    use crate::engine::optimize::nchwc::BLOCK_ATTRIBUTE;

    /// `a + b`.
    fn sum(step: [i64; 4]) -> NodeProto {
        node(OPERATOR, &["a", "b"]).with(AttributeProto::ints(STEPS, step))
    }

    const ADD: [i64; 4] = [camlens_kernels::Op::Add as i64, 0, 1, 0];

    #[test]
    fn an_expression_of_empty_tensors_is_empty() {
        for dims in [&[0][..], &[2, 0, 3], &[0, 4, 4, 4]] {
            let (shape, data) = run(&sum(ADD), &[("a", dims), ("b", &[1])], &[]).unwrap();
            assert_eq!((shape.len(), data.len()), (dims.len(), 0));
        }
    }

    #[test]
    fn an_expression_refuses_what_it_cannot_take() {
        let (a, b): (Input, Input) = (("a", &[1, 8, 2, 2]), ("b", &[1]));
        assert!(run(&sum(ADD), &[a, b], &[]).is_ok());
        let message = error(&sum(ADD), &[a, ("b", &[3])], &[]);
        assert!(message.contains("broadcast"), "{message}");
        for step in [[99, 0, 1, 0], [-1, 0, 1, 0], [ADD[0], 0, 2, 0], [ADD[0], -1, 1, 0]] {
            error(&sum(step), &[a, b], &[]);
        }
        error(&node(OPERATOR, &["a", "b"]), &[a, b], &[]);
        refuses_other_types(&sum(ADD), &["a", "b"]);
        // Blocks that the channels do not fill, or that no kernel has.
        for block in [3, 4, 7, i64::MAX] {
            let blocked = sum(ADD)
                .with(AttributeProto::int(BLOCK_ATTRIBUTE, block))
                .with(AttributeProto::int(SUMS, 1));
            error(&blocked, &[a, ("b", &[1, 8, 1, 1])], &[]);
        }
    }
}

mod depthwise_convolutions {
    use super::conv_fusion::PROLOGUE_INPUTS;
    use super::depthwise::{OPERATOR, pass::TRANSPOSED};
    use super::*;

    const NAMES: [&str; 5] = ["kernel_shape", "strides", "dilations", "pads", "output_padding"];

    /// A 3×3 convolution, with other values of one attribute.
    fn conv(transposed: bool, name: &str, values: &[i64]) -> NodeProto {
        let usual: [&[i64]; 5] = [&[3, 3], &[1, 1], &[1, 1], &[1, 1, 1, 1], &[0, 0]];
        NAMES.iter().zip(usual).fold(
            node(OPERATOR, &["x", "w"]).with(AttributeProto::int(TRANSPOSED, transposed.into())),
            |node, (&own, usual)| {
                let values = if own == name { values } else { usual };
                node.with(AttributeProto::ints(own, values.to_vec()))
            },
        )
    }

    #[test]
    fn a_convolution_of_an_empty_batch_is_empty() {
        for transposed in [false, true] {
            let inputs = [("x", &[0, 2, 4, 4][..]), ("w", &[2, 1, 3, 3])];
            let (shape, data) = run(&conv(transposed, "", &[]), &inputs, &[]).unwrap();
            assert_eq!((&shape[..], data.len()), (&[0, 2, 4, 4][..], 0));
        }
    }

    #[test]
    fn a_convolution_refuses_what_it_cannot_take() {
        let (x, w): (Input, Input) = (("x", &[1, 2, 4, 4]), ("w", &[2, 1, 3, 3]));
        for transposed in [false, true] {
            let usual = conv(transposed, "", &[]);
            assert!(run(&usual, &[x, w], &[]).is_ok());
            for inputs in [
                [("x", &[2, 4, 4][..]), w],
                [("x", &[1, 2, 0, 4]), w],
                [x, ("w", &[3, 1, 3, 3])],
                [x, ("w", &[0])],
            ] {
                error(&usual, &inputs, &[]);
            }
            const LARGE: i64 = 1 << 40;
            for (name, values) in [
                ("kernel_shape", &[0, 3][..]),
                ("kernel_shape", &[LARGE, 3]),
                ("kernel_shape", &[3]),
                ("strides", &[0, 1]),
                ("strides", &[-1, 1]),
                ("dilations", &[i64::MAX, i64::MAX]),
                ("dilations", &[0, 1]),
                ("pads", &[0, 0, LARGE, LARGE]),
                ("pads", &[i64::MAX, i64::MAX, i64::MAX, i64::MAX]),
            ] {
                error(&conv(transposed, name, values), &[x, w], &[]);
            }
            for count in [0, 2, i64::MAX] {
                error(
                    &usual.clone().with(AttributeProto::int(PROLOGUE_INPUTS, count)),
                    &[x, w],
                    &[],
                );
            }
            refuses_other_types(&usual, &["x", "w"]);
        }
        error(&node(OPERATOR, &["x", "w"]), &[x, w], &[]);
    }
}

mod panics {
    use ort::operator::{
        ComputeContext, Kernel, KernelContext, Operator, OperatorDomain, OperatorInput,
        OperatorOutput,
    };
    use ort::session::builder::SessionBuilder;
    use ort::value::TensorElementType;

    use super::super::guard::Guarded;
    use super::super::tensors::RuntimeThreads;
    use super::*;
    use camlens_kernels::Executor;

    /// An operator with bugs.
    struct Faulty;

    /// Where it panics.
    enum FaultyKernel {
        Computing,
        InTask,
    }

    impl Operator for Faulty {
        type Kernel<'attr> = FaultyKernel;

        fn name(&self) -> &str {
            "Faulty"
        }

        fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
            [OperatorInput::required(TensorElementType::Float32)]
        }

        fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
            [OperatorOutput::required(TensorElementType::Float32)]
        }

        fn create_kernel<'attr>(
            &self,
            context: &KernelContext<'attr>,
        ) -> ort::Result<FaultyKernel> {
            match context.get::<i64>("at") {
                Some(1) => Ok(FaultyKernel::Computing),
                Some(2) => Ok(FaultyKernel::InTask),
                _ => panic!("no kernel"),
            }
        }
    }

    impl Kernel for FaultyKernel {
        fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
            match self {
                Self::Computing => panic!("no output"),
                Self::InTask => RuntimeThreads { context, count: 2 }
                    .run(64, &|index| assert!(index < 9, "no task {index}")),
            }
            Ok(())
        }
    }

    #[test]
    fn a_panic_of_an_operator_is_an_error_and_not_an_abort() {
        let runtime = Runtime::load(&Settings { threads: Some(2), ..Settings::default() }).unwrap();
        let run = |at: i64| -> ort::Result<()> {
            let domain = OperatorDomain::new(DOMAIN)?.add(Guarded(Faulty))?;
            let node = node("Faulty", &["x"]).with(AttributeProto::int("at", at));
            let recover = |error: ort::Error<SessionBuilder>| -> ort::Error { error.into() };
            let builder = Session::builder(runtime.environment())?;
            let builder = builder.with_intra_threads(2).map_err(recover)?;
            let mut builder = builder.with_operators(domain).map_err(recover)?;
            let model = model(node, data_type::FLOAT, &["x"], &[]);
            let mut session = builder.commit_from_memory(&model)?;
            session.run(
                ort::inputs!["x" => TensorRef::from_array_view(([1_usize], &[1.0_f32][..]))?],
            )?;
            Ok(())
        };
        for (at, expected) in [(0, "no kernel"), (1, "no output"), (2, "no task ")] {
            let error = run(at).unwrap_err().to_string();
            assert!(error.contains(&format!("a bug in Faulty: {expected}")), "{error}");
        }
    }
}
