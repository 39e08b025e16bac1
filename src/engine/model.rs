//! One model that is loaded and ready.

use crate::graph::layers::Layer;
use crate::model::{Labels, preprocess::Preprocess};

/// One model that is loaded and ready.
pub struct Model {
    _private: (),
}

impl Model {
    /// The model's id.
    #[must_use]
    pub fn id(&self) -> &str {
        unimplemented!()
    }
    /// Its class names.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        unimplemented!()
    }
    /// How many classes it tells apart.
    #[must_use]
    pub fn classes(&self) -> usize {
        unimplemented!()
    }
    /// How it wants its input.
    #[must_use]
    pub fn preprocess(&self) -> &Preprocess {
        unimplemented!()
    }
    /// The layers that can be explained, in order of computation.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        unimplemented!()
    }
    /// The layer that is explained when a request names none.
    #[must_use]
    pub fn default_layer(&self) -> Option<&Layer> {
        unimplemented!()
    }
    /// Why a layer has no gradient, if it has none.
    #[must_use]
    pub fn gradient_obstacle(&self, _layer: &Layer) -> Option<&str> {
        unimplemented!()
    }
}
