//! Small networks, written operator by operator: the ones of `onnx-gradient`'s tests, with shorter
//! names for what the tests here write most.

use onnx_gradient::proto::AttributeProto;

#[path = "../../crates/onnx-gradient/tests/vjp/network.rs"]
mod network;

pub(crate) use network::{Network, Network as Net, int, ints};

impl Network {
    pub(crate) fn with(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> String {
        self.op_with(op, inputs, attributes)
    }

    pub(crate) fn ints(&mut self, values: &[i64]) -> String {
        self.int64s(values)
    }

    pub(crate) fn int(&mut self, value: i64) -> String {
        self.int64(value)
    }

    pub(crate) fn float(&mut self, value: f32) -> String {
        self.scalar(value)
    }
}
