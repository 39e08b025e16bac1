//! Images and maps: decode, resize, colour, blend, encode.
//!
//! Everything here is a pure function of its arguments and does no I/O. Results equal those of the
//! Python libraries that users compare with, byte for byte: Pillow's resize, OpenCV's bilinear
//! interpolation and colour tables, and the overlay of the Keras article that camlens reproduces.

pub mod blur;
pub mod colormap;
pub mod decode;
pub mod encode;
pub mod figure;
pub mod frame;
pub mod overlay;
pub mod resize;
