//! Draws a planned figure as pixels.

use ab_glyph_rasterizer::{Point, Rasterizer, point};
use cosmic_text::skrifa::outline::pen::PathElement;
use image::{Rgb, RgbImage, imageops};

use super::outline::{Rect, moved};
use super::{DrawPanel, Figure, Plan, pixels, side_px};
use crate::picture::colormap::Colormap;

const WHITE: Rgb<u8> = Rgb([255; 3]);

/// Draws a figure at a resolution.
#[must_use]
pub fn draw(figure: &Figure, plan: &Plan, dpi: u16, panel: &mut DrawPanel<'_>) -> RgbImage {
    let (width, height) = plan.size_px(dpi);
    let mut canvas = RgbImage::from_pixel(width, height, WHITE);
    for (index, rect) in plan.panels.iter().enumerate() {
        let picture = panel(index, side_px(rect.width, dpi), side_px(rect.height, dpi));
        put(&mut canvas, &picture, rect, dpi);
    }
    let bar = bar(figure.bar.colormap, side_px(plan.bar.width, dpi), side_px(plan.bar.height, dpi));
    put(&mut canvas, &bar, &plan.bar, dpi);
    let gray = super::outline::Ink::Gray.rgb();
    for tick in &plan.ticks {
        fill_rect(&mut canvas, tick, dpi, gray);
    }
    for placed in &plan.lines {
        let scale = |x: f32, y: f32| (pixels(x, dpi), pixels(y, dpi));
        let outline: Vec<_> = placed.outline().map(|element| moved(element, &scale)).collect();
        fill(&mut canvas, &outline, placed.ink.rgb());
    }
    canvas
}

/// The colour bar, its upper end at the top.
pub(super) fn bar(colormap: Colormap, width: u32, height: u32) -> RgbImage {
    let table = colormap.table();
    RgbImage::from_fn(width, height, |_, y| {
        let level = 255.0 * (1.0 - (y as f32 + 0.5) / height as f32);
        Rgb(table[level.round() as usize])
    })
}

fn put(canvas: &mut RgbImage, picture: &RgbImage, rect: &Rect, dpi: u16) {
    let at = |points: f32| pixels(points, dpi).round() as i64;
    imageops::replace(canvas, picture, at(rect.x), at(rect.y));
}

/// Fills a rectangle of whole pixels, at least one.
fn fill_rect(canvas: &mut RgbImage, rect: &Rect, dpi: u16, ink: [u8; 3]) {
    let (width, height) = (side_px(rect.width, dpi), side_px(rect.height, dpi));
    // A tick's middle decides, so that the ends of the bar and its ticks agree.
    let top = pixels(rect.y + rect.height / 2.0, dpi) - height as f32 / 2.0;
    let left = pixels(rect.x, dpi).round();
    let solid = RgbImage::from_pixel(width, height, Rgb(ink));
    imageops::replace(canvas, &solid, left as i64, top.round() as i64);
}

/// Fills an outline in pixels. What lies outside the canvas is clipped.
fn fill(canvas: &mut RgbImage, outline: &[PathElement], ink: [u8; 3]) {
    let Some([left, top, right, bottom]) = bounds(outline) else { return };
    let (left, top) = (left.floor(), top.floor());
    let size = |from: f32, to: f32| (to.ceil() - from).max(1.0) as usize;
    let mut rasterizer = Rasterizer::new(size(left, right), size(top, bottom));
    trace(outline, &mut rasterizer, |x, y| point(x - left, y - top));
    rasterizer.for_each_pixel_2d(|x, y, coverage| {
        // A negative coordinate wraps to a huge one, which is outside the canvas as well.
        let at = |first: f32, offset: u32| (first as i64 + i64::from(offset)) as u32;
        let Some(pixel) = canvas.get_pixel_mut_checked(at(left, x), at(top, y)) else { return };
        for (channel, ink) in pixel.0.iter_mut().zip(ink) {
            let background = f32::from(*channel);
            let mixed = background + (f32::from(ink) - background) * coverage.min(1.0);
            *channel = mixed.round() as u8;
        }
    });
}

/// Left, top, right and bottom of an outline's points, which enclose its curves.
fn bounds(outline: &[PathElement]) -> Option<[f32; 4]> {
    let mut bounds = [f32::INFINITY, f32::INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY];
    let mut add = |x: f32, y: f32| {
        bounds = [bounds[0].min(x), bounds[1].min(y), bounds[2].max(x), bounds[3].max(y)];
    };
    for element in outline {
        match *element {
            PathElement::MoveTo { x, y } | PathElement::LineTo { x, y } => add(x, y),
            PathElement::QuadTo { cx0, cy0, x, y } => {
                add(cx0, cy0);
                add(x, y);
            }
            PathElement::CurveTo { cx0, cy0, cx1, cy1, x, y } => {
                add(cx0, cy0);
                add(cx1, cy1);
                add(x, y);
            }
            PathElement::Close => {}
        }
    }
    bounds.iter().all(|side| side.is_finite()).then_some(bounds)
}

fn trace(outline: &[PathElement], out: &mut Rasterizer, at: impl Fn(f32, f32) -> Point) {
    let (mut start, mut last) = (point(0.0, 0.0), point(0.0, 0.0));
    for element in outline {
        let to = match *element {
            PathElement::MoveTo { x, y } => {
                start = at(x, y);
                start
            }
            PathElement::LineTo { x, y } => {
                out.draw_line(last, at(x, y));
                at(x, y)
            }
            PathElement::QuadTo { cx0, cy0, x, y } => {
                out.draw_quad(last, at(cx0, cy0), at(x, y));
                at(x, y)
            }
            PathElement::CurveTo { cx0, cy0, cx1, cy1, x, y } => {
                out.draw_cubic(last, at(cx0, cy0), at(cx1, cy1), at(x, y));
                at(x, y)
            }
            PathElement::Close => {
                out.draw_line(last, start);
                start
            }
        };
        last = to;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(x: f32, y: f32, side: f32) -> Vec<PathElement> {
        vec![
            PathElement::MoveTo { x, y },
            PathElement::LineTo { x: x + side, y },
            PathElement::LineTo { x: x + side, y: y + side },
            PathElement::LineTo { x, y: y + side },
            PathElement::Close,
        ]
    }

    #[test]
    fn a_rectangle_is_filled_where_it_stands() {
        let mut canvas = RgbImage::from_pixel(12, 12, Rgb([255; 3]));
        let rect = Rect { x: 3.0, y: 6.0, width: 4.0, height: 2.0 };
        fill_rect(&mut canvas, &rect, 72, [0; 3]);
        for (x, y, pixel) in canvas.enumerate_pixels() {
            let is_inside = (3..7).contains(&x) && (6..8).contains(&y);
            assert_eq!(pixel.0 == [0; 3], is_inside, "{x} {y}");
        }
    }

    #[test]
    fn an_outline_is_filled_with_antialiasing_and_clipped() {
        let mut canvas = RgbImage::from_pixel(4, 4, WHITE);
        fill(&mut canvas, &square(1.0, 1.0, 1.5), [0; 3]);
        let row =
            |canvas: &RgbImage, y| (0..4).map(|x| canvas.get_pixel(x, y).0[0]).collect::<Vec<_>>();
        assert_eq!(row(&canvas, 0), [255; 4]);
        assert_eq!(row(&canvas, 1), [255, 0, 128, 255]);
        assert_eq!(row(&canvas, 2), [255, 128, 191, 255]);
        fill(&mut canvas, &square(-3.0, -3.0, 4.0), [0; 3]);
        assert_eq!(row(&canvas, 0), [0, 255, 255, 255]);
        fill(&mut canvas, &[], [0; 3]);
    }

    #[test]
    fn the_bar_runs_from_the_last_colour_down_to_the_first() {
        let table = Colormap::Viridis.table();
        let bar = bar(Colormap::Viridis, 2, 256);
        assert_eq!(bar.get_pixel(1, 0).0, table[255]);
        assert_eq!(bar.get_pixel(0, 255).0, table[0]);
        assert_eq!(super::bar(Colormap::Gray, 1, 1).get_pixel(0, 0).0, [128; 3]);
    }
}
