//! camlens
