//! Maps of known values on small images.

use image::Rgb;
use ndarray::array;

use super::*;
use crate::app::options::Output;
use crate::explain::normalise::Normalizer;
use crate::explain::{Convention, Method};
use crate::explain::{Normalization, Passes, Prediction, Timing};
use crate::model::manifest::{Color, Fit, Input, Layout};
use crate::picture::colormap::Colormap;
use crate::picture::encode::Format;
use crate::picture::overlay::Blend;

const NORMALIZER: Normalizer =
    Normalizer { normalization: Normalization::Max, epsilon: 0.0, relu: true, signed: false };

pub(super) fn explanation(map: Array2<f32>, seen: [f32; 4]) -> Explanation {
    Explanation {
        model: "m".into(),
        method: Method::GradCam,
        convention: Convention::Paper,
        layer: "l".into(),
        target: Prediction {
            index: 0,
            label: None,
            probability: Some(1.0),
            logit: None,
            value: None,
        },
        contrast: None,
        negate: false,
        normalizer: NORMALIZER,
        signed: false,
        predictions: Vec::new(),
        empty: map.iter().all(|&value| value <= 0.0),
        estimated: false,
        confidence: None,
        map,
        max: 1.0,
        input_size: [4, 4],
        visible_rect: seen,
        passes: Passes::default(),
        timing: Timing::default(),
        warnings: Vec::new(),
    }
}

pub(super) fn rendering(size: Size) -> Rendering {
    Rendering {
        output: Output::Overlay,
        format: Format::Png,
        dpi: None,
        columns: None,
        size,
        colormap: Colormap::Jet,
        blend: Blend::Add,
        weight: 0.8,
        emphasize: false,
    }
}

pub(super) fn cropping() -> Preprocess {
    let input = Input { fit: Fit::Crop, ..Input::default() };
    Preprocess::new(&input, [4, 4], Layout::Nchw, Color::Rgb, false).unwrap()
}

#[test]
fn a_map_has_the_requested_size() {
    let explanation = explanation(array![[0.0, 1.0]], [0.0, 0.0, 8.0, 6.0]);
    let image = RgbImage::new(8, 6);
    assert_eq!(map(&explanation, &image, &rendering(Size::Layer)).dim(), (1, 2));
    assert_eq!(map(&explanation, &image, &rendering(Size::Input)).dim(), (4, 4));
    assert_eq!(map(&explanation, &image, &rendering(Size::Image)).dim(), (6, 8));
}

#[test]
fn outside_the_visible_rect_an_array_is_zero_and_an_overlay_is_the_plain_image() {
    let image = RgbImage::from_pixel(8, 4, Rgb([10, 10, 10]));
    let explanation = explanation(array![[1.0]], cropping().visible_rect(8, 4));
    let array = map(&explanation, &image, &rendering(Size::Image));
    assert_eq!(array.row(1).to_vec(), [0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
    let picture = overlaid(&explanation, &image, &cropping(), &rendering(Size::Image));
    let row: Vec<_> = (0..8).map(|x| picture.get_pixel(x, 1).0).collect();
    // Jet's last colour is (128, 0, 0); 0.8 of it is 102.
    let (plain, tinted) = ([10, 10, 10], [112, 10, 10]);
    assert_eq!(row, [plain, plain, tinted, tinted, tinted, tinted, plain, plain]);
}

#[test]
fn an_empty_map_tints_nothing_and_stays_zero() {
    let image = RgbImage::from_pixel(4, 4, Rgb([7, 8, 9]));
    let explanation = explanation(Array2::zeros((2, 2)), [0.0, 0.0, 4.0, 4.0]);
    let raised = Rendering { emphasize: true, ..rendering(Size::Image) };
    assert_eq!(overlaid(&explanation, &image, &cropping(), &raised), image);
    assert!(map(&explanation, &image, &raised).iter().all(|&value| value == 0.0));
}

#[test]
fn the_visible_area_is_never_empty_and_never_outside_the_image() {
    for (width, height) in [(1, 1), (1, 50), (50, 1), (3, 2), (451, 300)] {
        let area = Area::from_visible_rect(
            cropping().visible_rect(width, height),
            width as usize,
            height as usize,
        );
        assert!(area.width > 0 && area.left + area.width <= width as usize, "{area:?}");
        assert!(area.height > 0 && area.top + area.height <= height as usize, "{area:?}");
    }
}

/// Between two positions of a map the bilinear values are 1/8, 3/8, 5/8 and 7/8 of the way.
#[test]
fn a_map_by_pytorch_grad_cam_is_stretched_again_after_resizing() {
    let max = explanation(array![[0.0, 1.0]], [0.0, 0.0, 2.0, 1.0]);
    let image = RgbImage::new(2, 1);
    let input = rendering(Size::Input);
    let row = |explanation: &Explanation| map(explanation, &image, &input).row(0).to_vec();
    assert_eq!(row(&max), [0.0, 0.25, 0.75, 1.0]);

    let narrow = Explanation { map: array![[0.0, 0.8, 0.0]], ..max };
    let plain = row(&narrow);
    assert!(plain[1] < 0.8 && plain[0] < plain[1], "{plain:?}");
    let normalizer = Normalizer { normalization: Normalization::MinMax, ..NORMALIZER };
    let convention = Convention::PytorchGradCam;
    let library = Explanation { convention, normalizer, ..narrow.clone() };
    assert_eq!(row(&library), [0.0, 1.0, 1.0, 0.0]);
    // The size of the map itself, and a normalisation that is not the library's, change nothing.
    assert_eq!(map(&library, &image, &rendering(Size::Layer)), narrow.map);
    let by_max = Explanation { convention, ..narrow };
    assert_eq!(row(&by_max), plain);
}
