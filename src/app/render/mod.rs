//! Renders a map as a picture or an array of the requested size.
//!
//! A model whose input is a crop sees only the middle of an image. Its map covers just that part:
//! outside it an array is 0, and an overlay shows the plain image, because a tint there would claim
//! that the model looked and found nothing; a thin frame separates the two. For the same reason the
//! overlay of an empty map is the plain image.

pub(super) mod figure;

use image::{RgbImage, imageops};
use ndarray::{Array2, s};

use super::options::{Rendering, Size};
use crate::explain::Explanation;
use crate::model::preprocess::Preprocess;
use crate::picture::frame::frame;
use crate::picture::overlay::{Range, emphasize, overlay};
use crate::picture::resize::{Filter, resize};

/// A rectangle of a picture in whole pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Area {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl Area {
    /// The part that the model saw, rounded to pixels: never empty and never outside the picture.
    fn from_visible_rect(rect: [f32; 4], width: usize, height: usize) -> Self {
        let [left, top, across, down] = rect;
        let span = |start: f32, length: f32, limit: usize| {
            let first = (start.round().max(0.0) as usize).min(limit.saturating_sub(1));
            let last =
                ((start + length).round().max(0.0) as usize).clamp(first + 1, limit.max(first + 1));
            (first, last - first)
        };
        let ((left, width), (top, height)) = (span(left, across, width), span(top, down, height));
        Self { left, top, width, height }
    }
}

/// The map `[h, w]` at the requested size: the image's, the model input's or the layer's.
pub(super) fn map(
    explanation: &Explanation,
    image: &RgbImage,
    rendering: &Rendering,
) -> Array2<f32> {
    let [input_height, input_width] = explanation.input_size;
    let map = match rendering.size {
        Size::Layer => explanation.map.clone(),
        Size::Input => resized(explanation, rendering, input_height, input_width),
        Size::Image => {
            let (width, height) = (image.width() as usize, image.height() as usize);
            let area = Area::from_visible_rect(explanation.visible_rect, width, height);
            let inner = resized(explanation, rendering, area.height, area.width);
            if (area.width, area.height) == (width, height) {
                inner
            } else {
                let mut outer = Array2::zeros((height, width));
                let (bottom, right) = (area.top + area.height, area.left + area.width);
                outer.slice_mut(s![area.top..bottom, area.left..right]).assign(&inner);
                outer
            }
        }
    };
    // The sigmoid of 0 is not exactly 0, and an empty map promises zeros.
    if rendering.emphasize && !explanation.empty {
        emphasize(map.view(), range(explanation))
    } else {
        map
    }
}

/// The map at another size, for what is done with it next.
fn resized(
    explanation: &Explanation,
    rendering: &Rendering,
    height: usize,
    width: usize,
) -> Array2<f32> {
    if rendering.emphasize {
        explanation.resized_smoothly(height, width)
    } else {
        explanation.resized(height, width)
    }
}

/// The range of a map's values.
pub(super) fn range(explanation: &Explanation) -> Range {
    if explanation.signed { Range::Signed } else { Range::Unit }
}

/// The coloured map over the image.
pub(super) fn overlaid(
    explanation: &Explanation,
    image: &RgbImage,
    preprocess: &Preprocess,
    rendering: &Rendering,
) -> RgbImage {
    let below = match rendering.size {
        Size::Image => image.clone(),
        Size::Input => preprocess.fit(image),
        Size::Layer => {
            let (height, width) = explanation.map.dim();
            resize(&preprocess.fit(image), width as u32, height as u32, Filter::Bilinear)
        }
    };
    if explanation.empty {
        return below;
    }
    let (width, height) = (below.width() as usize, below.height() as usize);
    let area = match rendering.size {
        Size::Image => Area::from_visible_rect(explanation.visible_rect, width, height),
        Size::Input | Size::Layer => Area { left: 0, top: 0, width, height },
    };
    let mut map = resized(explanation, rendering, area.height, area.width);
    if rendering.emphasize {
        map = emphasize(map.view(), range(explanation));
    }
    let Rendering { colormap, blend, weight, .. } = *rendering;
    let lay =
        |image: &RgbImage| overlay(image, map.view(), range(explanation), colormap, blend, weight);
    if (area.width, area.height) == (width, height) {
        return lay(&below);
    }
    let (left, top) = (area.left as u32, area.top as u32);
    let part =
        imageops::crop_imm(&below, left, top, area.width as u32, area.height as u32).to_image();
    let mut out = below;
    imageops::replace(&mut out, &lay(&part), left.into(), top.into());
    frame(&mut out, left, top, area.width as u32, area.height as u32);
    out
}

#[cfg(test)]
mod tests;
