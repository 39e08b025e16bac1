//! Draws one line of antialiased text in DejaVu Sans.
//!
//! The font is compiled in (the `dejavu` crate, 740 KiB; its licence allows embedding), so titles
//! look the same on a machine without fonts. A character that the font lacks is drawn as its
//! replacement box.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, GlyphId, ScaleFont, point};
use image::RgbImage;

static SANS: LazyLock<FontRef<'static>> = LazyLock::new(|| {
    FontRef::try_from_slice(dejavu::sans::regular())
        .unwrap_or_else(|error| unreachable!("the font is compiled in and tested: {error}"))
});

/// Font sizes to try, largest first, in pixels from ascender to descender.
const SIZES_PX: [f32; 5] = [23.0, 21.0, 19.0, 17.0, 15.0];
/// Text colour, RGB.
const INK: [f32; 3] = [34.0, 34.0, 34.0];
const ELLIPSIS: char = '…';
/// Longer titles can't fit at any size, so the rest is not even measured.
const MAX_CHARS: usize = 200;

/// A line of text with the font size at which it fits.
#[derive(Debug)]
pub(super) struct TextLine {
    text: String,
    size_px: f32,
}

impl TextLine {
    /// Chooses the largest font size at which the text fits `width_px` pixels. If it fits at none,
    /// truncates it with an ellipsis at the smallest size. Control characters become spaces.
    pub(super) fn fit(text: &str, width_px: f32) -> Self {
        let mut text: String = text
            .trim()
            .chars()
            .take(MAX_CHARS)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        if let Some(&size_px) =
            SIZES_PX.iter().find(|&&size_px| measure(&text, size_px) <= width_px)
        {
            return Self { text, size_px };
        }
        let size_px = SIZES_PX[SIZES_PX.len() - 1];
        while text.pop().is_some() {
            let truncated =
                format!("{}{ELLIPSIS}", text.trim_end_matches(|c: char| !c.is_alphanumeric()));
            if measure(&truncated, size_px) <= width_px {
                return Self { text: truncated, size_px };
            }
        }
        Self { text, size_px }
    }

    /// Draws the line centred at `center_x` on the baseline `baseline_y`, in pixels. What lies
    /// outside the image is clipped.
    pub(super) fn draw(&self, image: &mut RgbImage, center_x: f32, baseline_y: f32) {
        let left = center_x - measure(&self.text, self.size_px) / 2.0;
        for (glyph, x) in layout(&self.text, self.size_px).0 {
            let glyph = glyph.with_scale_and_position(self.size_px, point(left + x, baseline_y));
            let Some(outline) = SANS.outline_glyph(glyph) else { continue };
            let corner = outline.px_bounds().min;
            outline.draw(|x, y, coverage| {
                // A negative coordinate wraps to a huge one, which is outside the image as well.
                let (x, y) = (
                    (corner.x as i64 + i64::from(x)) as u32,
                    (corner.y as i64 + i64::from(y)) as u32,
                );
                if let Some(pixel) = image.get_pixel_mut_checked(x, y) {
                    for (channel, ink) in pixel.0.iter_mut().zip(INK) {
                        let background = f32::from(*channel);
                        *channel = (background + (ink - background) * coverage.clamp(0.0, 1.0))
                            .round() as u8;
                    }
                }
            });
        }
    }
}

/// Lays out a text: each glyph with its distance from the start, and the total width, in pixels.
fn layout(text: &str, size_px: f32) -> (Vec<(GlyphId, f32)>, f32) {
    let font = SANS.as_scaled(size_px);
    let mut previous: Option<GlyphId> = None;
    let mut x = 0.0;
    let mut placed = Vec::with_capacity(text.len());
    for c in text.chars() {
        let glyph = font.glyph_id(c);
        x += previous.map_or(0.0, |previous| font.kern(previous, glyph));
        placed.push((glyph, x));
        x += font.h_advance(glyph);
        previous = Some(glyph);
    }
    (placed, x)
}

/// The width of a text in pixels.
fn measure(text: &str, size_px: f32) -> f32 {
    layout(text, size_px).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_title_is_set_smaller_and_then_truncated() {
        let line = TextLine::fit("Grad-CAM++", 360.0);
        assert_eq!((line.text.as_str(), line.size_px), ("Grad-CAM++", 23.0));
        let line = TextLine::fit("Grad-CAM++", 100.0);
        assert_eq!((line.text.as_str(), line.size_px), ("Grad-CAM++", 17.0));
        let line = TextLine::fit("Egyptian cat, of the short-haired kind", 100.0);
        assert_eq!((line.text.as_str(), line.size_px), ("Egyptian cat…", 15.0));
        assert_eq!(TextLine::fit("anything", 1.0).text, "");
    }

    #[test]
    fn any_script_and_an_empty_text_can_be_drawn() {
        let mut image = RgbImage::from_pixel(60, 20, image::Rgb([255; 3]));
        TextLine::fit("Größe κόσμος 猫 🐈 \u{202e}\n", 60.0).draw(&mut image, 5.0, 3.0);
        TextLine::fit("", 60.0).draw(&mut image, 5.0, 3.0);
        assert!(image.pixels().any(|pixel| pixel.0 != [255; 3]));
    }
}
