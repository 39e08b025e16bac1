//! Arrangements, and what the panels show, pixel by pixel.

use image::{Rgb, imageops};
use ndarray::array;

use super::super::tests::{cropping, explanation, rendering};
use super::*;
use crate::picture::overlay::{emphasize, overlay};
use crate::picture::resize::{upsample, upsample_smooth};

const METHODS: FigureKind = FigureKind::Methods { is_article: false };
const ARTICLE: FigureKind = FigureKind::Methods { is_article: true };

/// Rows as text: `i` is the input, a digit a map, with `'` if it is raised, and `.` an empty cell.
fn arranged(kind: FigureKind, maps: usize, columns: Option<usize>) -> Vec<String> {
    let cell = |cell: &Option<Cell>| match cell {
        None => ".".to_owned(),
        Some(Cell::Input) => "i".to_owned(),
        Some(Cell::Map { index, is_raised }) => {
            format!("{index}{}", if *is_raised { "'" } else { "" })
        }
    };
    rows(kind, maps, columns).iter().map(|row| row.iter().map(cell).collect()).collect()
}

#[test]
fn the_input_is_drawn_once_except_in_the_article_s_figure() {
    assert_eq!(arranged(METHODS, 3, None), ["i012", ".0'1'2'"]);
    assert_eq!(arranged(ARTICLE, 3, None), ["i012", "i0'1'2'"]);
    assert_eq!(arranged(FigureKind::Classes, 3, None), ["i012"]);
    assert_eq!(arranged(METHODS, 1, None), ["i0", ".0'"]);
}

#[test]
fn panels_wrap_and_stand_above_their_emphasised_ones() {
    assert_eq!(arranged(METHODS, 5, None), ["i01", ".0'1'", "234", "2'3'4'"]);
    assert_eq!(arranged(METHODS, 3, Some(2)), ["i0", ".0'", "12", "1'2'"]);
    assert_eq!(arranged(METHODS, 2, Some(1)), ["i", "0", "0'", "1", "1'"]);
    assert_eq!(arranged(ARTICLE, 3, Some(2)), ["i0", "i0'", "12", "1'2'"]);
    assert_eq!(arranged(METHODS, 2, Some(30)), ["i01", ".0'1'"]);
    assert_eq!(arranged(FigureKind::Classes, 5, Some(2)), ["i0", "12", "34"]);
}

fn picture() -> RgbImage {
    RgbImage::from_fn(48, 32, |x, y| Rgb([x as u8 * 4, y as u8 * 6, 90]))
}

fn one(convention: Convention) -> Explanation {
    let map = array![[0.0, 0.4, 0.1], [0.9, 1.0, 0.3]];
    Explanation { convention, ..explanation(map, [0.0, 0.0, 48.0, 32.0]) }
}

/// The pictures of the panels of a figure whose panels have as many pixels as the image.
fn panels(kind: FigureKind, convention: Convention) -> Vec<RgbImage> {
    // 48 pixels on two inches.
    const DPI: u16 = 24;
    let maps = [one(convention), one(convention), one(convention)];
    let rendering = Rendering { dpi: Some(DPI), ..rendering(Size::Image) };
    let (image, preprocess) = (picture(), cropping());
    let rows = rows(kind, maps.len(), None);
    let figure = describe(kind, &rows, &maps, &image, &preprocess, &rendering);
    let plan = Plan::new(&figure);
    let drawn = draw(kind, &maps, &image, &preprocess, &rendering, Metadata::default()).unwrap();
    let drawn = image::load_from_memory(&drawn.file).unwrap().into_rgb8();
    let part = |(x, y): (u32, u32)| imageops::crop_imm(&drawn, x, y, 48, 32).to_image();
    plan.corners_px(DPI).into_iter().map(part).collect()
}

#[test]
fn the_article_s_figure_is_unchanged() {
    let (image, map) = (picture(), one(Convention::Article).map);
    let plain = upsample(map.view(), 32, 48);
    let raised = emphasize(plain.view(), Range::Unit);
    let rendering = rendering(Size::Image);
    let overlaid = |map: &ndarray::Array2<f32>| {
        let Rendering { colormap, blend, weight, .. } = rendering;
        overlay(&image, map.view(), Range::Unit, colormap, blend, weight)
    };
    let (plain, raised) = (overlaid(&plain), overlaid(&raised));
    let row = |map: &RgbImage| [&image, map, map, map].map(Clone::clone).to_vec();
    let expected = [row(&plain), row(&raised)].concat();
    assert!(panels(ARTICLE, Convention::Article) == expected);
}

#[test]
fn other_figures_emphasise_smoothly() {
    let panels = panels(METHODS, Convention::Paper);
    assert_eq!(panels.len(), 7);
    let image = picture();
    let map = one(Convention::Paper).map;
    let smooth = upsample_smooth(map.view(), 32, 48);
    let raised = emphasize(smooth.view(), Range::Unit);
    let Rendering { colormap, blend, weight, .. } = rendering(Size::Image);
    let expected = overlay(&image, raised.view(), Range::Unit, colormap, blend, weight);
    assert!(panels[4] == expected);
    assert!(panels[0] == image);
}

#[test]
fn texts_say_what_is_shown() {
    let mut maps = vec![one(Convention::Paper), one(Convention::Paper)];
    maps[0].target.label = Some("a <cat>".into());
    maps[1].empty = true;
    let describe = |kind| {
        let rows = rows(kind, 2, None);
        describe(kind, &rows, &maps, &picture(), &cropping(), &rendering(Size::Image))
    };
    let figure = describe(METHODS);
    assert_eq!((figure.title.name.as_str(), figure.title.amount.as_str()), ("a <cat>", "100.0 %"));
    assert_eq!(figure.notes, ["model m", "layer l", "paper convention"]);
    let descriptions: Vec<_> = figure.panels().map(|panel| panel.description.as_str()).collect();
    assert_eq!(
        descriptions,
        [
            "The input",
            "Grad-CAM",
            "Grad-CAM, empty map",
            "Grad-CAM, emphasised",
            "Grad-CAM, empty map, emphasised"
        ]
    );
    let figure = describe(FigureKind::Classes);
    assert_eq!(figure.title.name, "Grad-CAM");
    let names: Vec<_> = figure.panels().map(|panel| panel.caption.name.as_str()).collect();
    assert_eq!(names, ["Input", "a <cat>", "class 0"]);
}

#[test]
fn missing_glyphs_are_named() {
    assert_eq!(missing_glyphs(&[]), None);
    let warning = missing_glyphs(&['🐈', 'ꙮ']).unwrap();
    assert_eq!(warning.code, WarningCode::GlyphsMissing);
    assert!(warning.detail.contains("U+1F408, U+A66E"), "{}", warning.detail);
    let many: Vec<char> = ('a'..='z').collect();
    assert!(missing_glyphs(&many).unwrap().detail.contains("U+0068, 18 more"));
}
