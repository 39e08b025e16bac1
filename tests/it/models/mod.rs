//! Models as people bring them: exporters, architectures, inputs and outputs of every form.

mod architectures;
mod efficientnet_lite0;
mod exporters;
mod free_batch;
mod onnx_file;
mod outputs;
mod vgg16_mri;
