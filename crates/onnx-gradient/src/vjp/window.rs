//! The sliding windows of convolution and pooling.

use crate::proto::{AttributeProto, NodeProto};

/// The geometry of a sliding window: one entry per spatial axis.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) kernel: Vec<i64>,
    pub(super) strides: Vec<i64>,
    pub(super) dilations: Vec<i64>,
    pub(super) pads_begin: Vec<i64>,
    pub(super) pads_end: Vec<i64>,
}

impl Window {
    /// Reads the window of a node. `input` and `output` are the measured spatial sizes, which
    /// `auto_pad` depends on.
    pub(super) fn read(node: &NodeProto, kernel: &[i64], input: &[i64], output: &[i64]) -> Self {
        let axes = kernel.len();
        let list = |name: &str, default: i64| match node.ints(name) {
            Some(values) if values.len() == axes => values.to_vec(),
            _ => vec![default; axes],
        };
        let (strides, dilations) = (list("strides", 1), list("dilations", 1));
        let (mut pads_begin, mut pads_end) = (vec![0; axes], vec![0; axes]);
        match node.string("auto_pad", "NOTSET") {
            same @ ("SAME_UPPER" | "SAME_LOWER") => {
                for axis in 0..axes {
                    let reach = (kernel[axis] - 1) * dilations[axis] + 1;
                    let total = ((output[axis] - 1) * strides[axis] + reach - input[axis]).max(0);
                    let (small, large) = (total / 2, total - total / 2);
                    (pads_begin[axis], pads_end[axis]) =
                        if same == "SAME_UPPER" { (small, large) } else { (large, small) };
                }
            }
            _ => {
                if let Some(pads) = node.ints("pads").filter(|pads| pads.len() == 2 * axes) {
                    pads_begin.copy_from_slice(&pads[..axes]);
                    pads_end.copy_from_slice(&pads[axes..]);
                }
            }
        }
        Self { kernel: kernel.to_vec(), strides, dilations, pads_begin, pads_end }
    }

    /// The number of positions that a window spans along an axis.
    pub(super) fn reach(&self, axis: usize) -> i64 {
        (self.kernel[axis] - 1) * self.dilations[axis] + 1
    }

    /// The same window without the taps that lie past the end of the input wherever the window is.
    /// Some exporters write "the whole map" as a kernel of thousands.
    pub(super) fn within(mut self, input: &[i64]) -> Self {
        for (axis, taps) in self.kernel.iter_mut().enumerate() {
            *taps =
                (*taps).min((input[axis] + self.pads_begin[axis] - 1) / self.dilations[axis] + 1);
        }
        self
    }

    /// Attributes of the `ConvTranspose` that leads from `output` back to exactly the sizes of
    /// `input`: positions that no window reached are padded with zeros, positions beyond the input
    /// are cut off.
    pub(super) fn transposed(&self, input: &[i64], output: &[i64]) -> Vec<AttributeProto> {
        let axes = self.kernel.len();
        let mut pads_end = self.pads_end.clone();
        let mut output_padding = vec![0; axes];
        for axis in 0..axes {
            let full = self.strides[axis] * (output[axis] - 1) + self.reach(axis);
            let missing = input[axis] - (full - self.pads_begin[axis] - self.pads_end[axis]);
            if missing >= 0 {
                output_padding[axis] = missing;
            } else {
                pads_end[axis] -= missing;
            }
        }
        vec![
            AttributeProto::ints("kernel_shape", self.kernel.clone()),
            AttributeProto::ints("strides", self.strides.clone()),
            AttributeProto::ints("dilations", self.dilations.clone()),
            AttributeProto::ints("pads", [self.pads_begin.clone(), pads_end].concat()),
            AttributeProto::ints("output_padding", output_padding),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_puts_the_odd_element_where_the_onnx_spec_says() {
        let node = |mode: &str| {
            NodeProto::new("Conv", &["x", "w"], &["y"])
                .with(AttributeProto::string("auto_pad", mode))
                .with(AttributeProto::ints("strides", [2, 2]))
        };
        let upper = Window::read(&node("SAME_UPPER"), &[3, 3], &[8, 8], &[4, 4]);
        assert_eq!((upper.pads_begin, upper.pads_end), (vec![0, 0], vec![1, 1]));
        let lower = Window::read(&node("SAME_LOWER"), &[3, 3], &[8, 8], &[4, 4]);
        assert_eq!((lower.pads_begin, lower.pads_end), (vec![1, 1], vec![0, 0]));
    }

    #[test]
    fn positions_that_no_window_reached_become_output_padding() {
        // 6 positions, kernel 3, stride 2: windows at 0 and 2 reach positions 0 to 4. Position 5 is
        // never read.
        let node =
            NodeProto::new("Conv", &["x", "w"], &["y"]).with(AttributeProto::ints("strides", [2]));
        let attributes = Window::read(&node, &[3], &[6], &[2]).transposed(&[6], &[2]);
        let padding =
            attributes.iter().find(|attribute| attribute.name() == "output_padding").unwrap();
        assert_eq!(padding.ints, [1]);
    }
}
