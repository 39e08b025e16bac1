//! TODO(words)

mod pass;

pub(crate) use pass::fuse;
