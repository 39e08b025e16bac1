//! Chains of convolutions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use camlens_kernels::{Batch, ChainOutput, ConvChain, ConvLayer, ConvWeights};
use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput,
};
use ort::value::{DynTensorValueType, TensorElementType, ValueRef};

use super::{Operators, RuntimeThreads, floats, unread};
use crate::graph::fast::chain::{OPERATOR, attributes};

/// The operator; weights and chains that other sessions of the model use are found, not made.
pub(super) struct ConvolutionChain(pub(super) Operators);

impl Operator for ConvolutionChain {
    type Kernel<'attr> = ChainKernel;

    fn name(&self) -> &str {
        OPERATOR
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [OperatorInput::variadic(2).homogenous(TensorElementType::Float32)]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::variadic(1).homogenous(TensorElementType::Float32)]
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> ort::Result<ChainKernel> {
        let integers = |name: &str| {
            let absent = || ort::Error::new(format!("{OPERATOR} without its attribute {name}"));
            context.get::<Vec<i64>>(name).ok_or_else(absent)
        };
        let (bias, relu) = (integers(attributes::BIAS)?, integers(attributes::RELU)?);
        let (pool, taps) = (integers(attributes::POOL)?, integers(attributes::TAPS)?);
        let inputs: Vec<String> =
            context.inputs()?.iter().map(|input| input.name().to_owned()).collect();
        // The same weights with the same links between them are the same chain, whatever is read of
        // it.
        let signature = format!("{:?} {relu:?} {pool:?}", inputs.get(1..));
        let chain = shared(&self.0.store.chains, &signature, || {
            let mut links = Vec::with_capacity(bias.len());
            let mut input = 1;
            for ((&has_bias, &relu), &pool) in bias.iter().zip(&relu).zip(&pool) {
                let bias = (has_bias != 0).then_some(input + 1);
                let name = inputs.get(input).map_or("", String::as_str);
                let weights = shared(&self.0.store.weights, name, || load(context, input, bias))?;
                links.push(ConvLayer { weights, relu: relu != 0, max_pool: pool != 0 });
                input += 1 + has_bias as usize;
            }
            ConvChain::new(links).map_err(ort::Error::new)
        })?;
        let taps = taps
            .as_chunks()
            .0
            .iter()
            .map(|&[layer, pooled]| ChainOutput { layer: layer as usize, pooled: pooled != 0 });
        Ok(ChainKernel { chain, taps: taps.collect(), operators: self.0.clone() })
    }
}

/// What somebody uses under this name, or else a new one.
fn shared<T>(
    known: &Mutex<HashMap<String, Weak<T>>>,
    name: &str,
    make: impl FnOnce() -> ort::Result<T>,
) -> ort::Result<Arc<T>> {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(value) = known.get(name).and_then(Weak::upgrade) {
        return Ok(value);
    }
    let value = Arc::new(make()?);
    known.insert(name.to_owned(), Arc::downgrade(&value));
    Ok(value)
}

/// Rearranges a link's weights `[out, in, 3, 3]`, input `index` of the node, with its bias.
fn load(
    context: &KernelContext<'_>,
    index: usize,
    bias: Option<usize>,
) -> ort::Result<ConvWeights> {
    let constant = |index: usize| -> ort::Result<(Vec<i64>, Vec<f32>)> {
        let value: ValueRef<'_, DynTensorValueType> = context.constant_input(index)?;
        Ok((value.shape().to_vec(), floats(&value)?))
    };
    let (shape, weights) = constant(index)?;
    let bias = bias.map(|index| constant(index).map(|(_, values)| values)).transpose()?;
    let [outs, ins, 3, 3] = shape[..] else {
        return Err(ort::Error::new(format!("{OPERATOR} takes filters of 3x3, not {shape:?}")));
    };
    ConvWeights::new(&weights, bias.as_deref(), outs as usize, ins as usize)
        .map_err(ort::Error::new)
}

/// The operator in one session.
pub(super) struct ChainKernel {
    chain: Arc<ConvChain>,
    taps: Vec<ChainOutput>,
    operators: Operators,
}

impl Kernel for ChainKernel {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let input = context.input(0)?.ok_or_else(|| ort::Error::new("no image"))?;
        let (shape, data) = input.try_extract_tensor::<f32>()?;
        let &[images, _, height, width] = &shape[..] else {
            return Err(ort::Error::new(format!("{OPERATOR} takes [N, C, H, W], not {shape}")));
        };
        let (images, height, width) = (images as usize, height as usize, width as usize);
        let mut outputs = Vec::with_capacity(self.taps.len());
        for (index, tap) in self.taps.iter().enumerate() {
            let [channels, h, w] =
                self.chain.output_shape(*tap, height, width).map(|size| size as i64);
            let value = context.output(index, [images as i64, channels, h, w])?;
            outputs.push(value.ok_or_else(unread)?);
        }
        let mut taps = Vec::with_capacity(outputs.len());
        for (tap, value) in self.taps.iter().zip(&mut outputs) {
            taps.push((*tap, value.try_extract_tensor_mut::<f32>()?.1));
        }
        let batch = Batch { data, images, height, width };
        let settings = camlens_kernels::RunOptions {
            cancel: &self.operators.stop.0,
            skip_zero_regions: self.operators.skip_zeros,
        };
        let threads = RuntimeThreads { context, count: self.operators.threads };
        self.chain
            .run(batch, &mut taps, &threads, settings)
            .map_err(|camlens_kernels::Cancelled| ort::Error::new("stopped"))
    }
}
