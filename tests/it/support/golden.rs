//! The arrays of `tests/golden`, whose README says where each comes from.

use std::fs::File;

use image::RgbImage;
use ndarray::{Array, Array1, Array3, Array4, Axis, Dimension, OwnedRepr};
use ndarray_npy::{NpzReader, ReadableElement};

use super::repository;

/// An open `.npz` file.
pub(crate) struct Golden(NpzReader<File>);

impl Golden {
    /// Opens `tests/golden/<path>`.
    pub(crate) fn open(path: &str) -> Self {
        let file = File::open(repository("tests/golden").join(path)).expect("the golden file");
        Self(NpzReader::new(file).expect("an npz file"))
    }

    /// The array of this name.
    pub(crate) fn get<T: ReadableElement, D: Dimension>(&mut self, name: &str) -> Array<T, D> {
        self.0
            .by_name::<OwnedRepr<T>, D>(&format!("{name}.npy"))
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The names of all arrays.
    pub(crate) fn names(&mut self) -> Vec<String> {
        let names = self.0.names().expect("names");
        names.into_iter().map(|name| name.trim_end_matches(".npy").to_owned()).collect()
    }

    /// The names that follow `prefix|` in the names of the arrays.
    pub(crate) fn names_after(&mut self, prefix: &str) -> Vec<String> {
        let names = self.names().into_iter();
        names
            .filter_map(|name| Some(name.strip_prefix(prefix)?.strip_prefix('|')?.to_owned()))
            .collect()
    }

    /// The class in an array of one element, as a request names it.
    pub(crate) fn class(&mut self, name: &str) -> Option<String> {
        let class: Array1<i64> = self.get(name);
        Some(class[0].to_string())
    }

    /// An image from an array `[height, width, 3]` of bytes.
    pub(crate) fn image(&mut self, name: &str) -> RgbImage {
        let pixels: Array3<u8> = self.get(name);
        let (height, width, _) = pixels.dim();
        let bytes = pixels.iter().copied().collect();
        RgbImage::from_raw(width as u32, height as u32, bytes).expect("an image")
    }

    /// The input of `models/vgg16-mri`, `[1, height, width, 3]` in 0..1, from `input_u8`.
    pub(crate) fn vgg16_mri_input(&mut self) -> Array4<f32> {
        let pixels: Array3<u8> = self.get("input_u8");
        pixels.mapv(|value| f32::from(value) / 255.0).insert_axis(Axis(0))
    }
}
