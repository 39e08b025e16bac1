//! The custom operator `ConvolutionChain`.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use camlens_kernels::{Batch, ChainOutput, ConvLayer, ConvWeights, FloatBytes};
use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput,
};
use ort::value::{DynTensorValueType, TensorElementType, ValueRef};

use super::pass::{OPERATOR, attributes};
use crate::engine::optimize::operators::{ChainKey, Operators};
use crate::engine::optimize::tensors::{
    RuntimeThreads, bytes, dims, floats, sizes, tensor, unused_output,
};

/// The operator. Sessions of one model share its transformed weights and chains.
pub(crate) struct ConvChain(pub(crate) Operators);

impl Operator for ConvChain {
    type Kernel<'attr> = ConvChainKernel;

    fn name(&self) -> &str {
        OPERATOR
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [OperatorInput::variadic(2).homogenous(TensorElementType::Float32)]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::variadic(1).homogenous(TensorElementType::Float32)]
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> ort::Result<ConvChainKernel> {
        let integers = |name: &str| {
            let absent = || ort::Error::new(format!("{OPERATOR} has no attribute {name}"));
            context.get::<Vec<i64>>(name).ok_or_else(absent)
        };
        let (bias, relu) = (integers(attributes::BIAS)?, integers(attributes::RELU)?);
        let (pool, outputs) = (integers(attributes::POOL)?, integers(attributes::OUTPUTS)?);
        let equal_patches = integers(attributes::EQUAL_PATCHES)? == [1];
        let inputs: Vec<String> =
            context.inputs()?.iter().map(|input| input.name().to_owned()).collect();
        let filters = bias
            .iter()
            .scan(1, |next, &has_bias| {
                let index = *next;
                *next += 1 + usize::from(has_bias != 0);
                Some(index)
            })
            .collect();
        // Equal weights with equal ReLUs and poolings make equal chains, whichever outputs are
        // read.
        let key = ChainKey {
            weights: inputs.iter().skip(1).cloned().collect(),
            relu: relu.clone(),
            max_pool: pool.clone(),
        };
        let chain = shared(&self.0.store.chains, key, || {
            let mut layers = Vec::with_capacity(bias.len());
            let mut input = 1;
            for ((&has_bias, &relu), &pool) in bias.iter().zip(&relu).zip(&pool) {
                let has_bias = has_bias != 0;
                let bias = has_bias.then_some(input + 1);
                let name = inputs.get(input).map_or("", String::as_str);
                let weights =
                    shared(&self.0.store.weights, name.to_owned(), || load(context, input, bias))?;
                layers.push(ConvLayer { weights, relu: relu != 0, max_pool: pool != 0 });
                input += 1 + usize::from(has_bias);
            }
            camlens_kernels::ConvChain::new(layers).map_err(ort::Error::new)
        })?;
        let outputs = outputs
            .as_chunks()
            .0
            .iter()
            .map(|&[layer, pooled]| {
                let wrong = |_| ort::Error::new(format!("{OPERATOR} has no layer {layer}"));
                let layer = usize::try_from(layer).map_err(wrong)?;
                Ok(ChainOutput { layer, pooled: pooled != 0 })
            })
            .collect::<ort::Result<_>>()?;
        Ok(ConvChainKernel { chain, outputs, equal_patches, filters, operators: self.0.clone() })
    }
}

/// The value that another session uses under this name, or a new one.
fn shared<K: Eq + Hash, T>(
    known: &Mutex<HashMap<K, Weak<T>>>,
    key: K,
    make: impl FnOnce() -> ort::Result<T>,
) -> ort::Result<Arc<T>> {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(value) = known.get(&key).and_then(Weak::upgrade) {
        return Ok(value);
    }
    let value = Arc::new(make()?);
    known.insert(key, Arc::downgrade(&value));
    Ok(value)
}

/// Transforms a layer's filter `[out, in, 3, 3]`, input `index` of the node, with its bias.
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
    let [outs, ins, 3, 3] = sizes(&shape)?[..] else {
        return Err(ort::Error::new(format!("{OPERATOR} takes filters of 3x3, not {shape:?}")));
    };
    ConvWeights::new(&weights, bias.as_deref(), outs, ins).map_err(ort::Error::new)
}

/// The operator's kernel in one session.
pub(crate) struct ConvChainKernel {
    chain: Arc<camlens_kernels::ConvChain>,
    outputs: Vec<ChainOutput>,
    equal_patches: bool,
    /// Which inputs are the layers' filters.
    filters: Vec<usize>,
    operators: Operators,
}

impl Kernel for ConvChainKernel {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let input = context.input(0)?.ok_or_else(|| ort::Error::new("input 0 is missing"))?;
        let (shape, data) = input.try_extract_tensor::<f32>()?;
        let [images, _, height, width] = sizes(shape)?[..] else {
            return Err(ort::Error::new(format!("{OPERATOR} takes [N, C, H, W], not {shape}")));
        };
        let mut values = Vec::with_capacity(self.outputs.len());
        for (index, output) in self.outputs.iter().enumerate() {
            let [channels, h, w] =
                self.chain.output_shape(*output, height, width).map_err(ort::Error::new)?;
            let value = context.output(index, dims(&[images, channels, h, w])?)?;
            values.push(value.ok_or_else(unused_output)?);
        }
        let mut outputs = Vec::with_capacity(values.len());
        for (output, value) in self.outputs.iter().zip(&mut values) {
            outputs.push((*output, value.try_extract_tensor_mut::<f32>()?.1));
        }
        let batch = Batch { data, images, height, width };
        let mut filters = Vec::new();
        if self.equal_patches {
            for &index in &self.filters {
                filters.push(tensor(context, index)?);
            }
        }
        let filters = filters
            .iter()
            .map(|filter| Ok(bytes(filter)?.as_chunks().0))
            .collect::<ort::Result<Vec<&[FloatBytes]>>>()?;
        let options = camlens_kernels::RunOptions {
            cancel: &self.operators.stop.0,
            skip_zero_regions: self.operators.skip_zeros,
            equal_patches: self.equal_patches,
            settle_near_ties: self.equal_patches.then_some(filters.as_slice()),
        };
        let threads = RuntimeThreads { context, count: self.operators.threads };
        let doubts =
            self.chain.run(batch, &mut outputs, &threads, options).map_err(ort::Error::new)?;
        if self.equal_patches {
            self.operators.doubtful_gates.add(doubts.near_ties + doubts.open_gates);
        }
        Ok(())
    }
}
