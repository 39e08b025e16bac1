//! Pictures: decode what a client sends, resize as the model's author did, colour a map, lay it
//! over the image.
//!
//! Everything here is a pure function of its arguments: no runtime, no server, no files.
//! Where a number can be compared, it equals what the users of the Python libraries know:
//! Pillow's resize, OpenCV's bilinear and colour tables, the Keras article's overlay.

pub mod blur;
pub mod colormap;
pub mod decode;
pub mod encode;
pub mod figure;
pub mod overlay;
pub mod resize;
