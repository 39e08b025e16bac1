//! One line of text in DejaVu Sans, drawn with its edges smoothed.
//!
//! The font is compiled in (the `dejavu` crate, 740 KiB; the fonts are free to embed), so a
//! title looks the same on a machine without any fonts. A character that the font lacks
//! shows as its empty box.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, GlyphId, ScaleFont, point};
use image::RgbImage;

static SANS: LazyLock<FontRef<'static>> = LazyLock::new(|| {
    FontRef::try_from_slice(dejavu::sans::regular())
        .unwrap_or_else(|error| unreachable!("the font is compiled in and tested: {error}"))
});

/// Heights that a title is tried at, in pixels from ascender to descender.
const SIZES: [f32; 5] = [23.0, 21.0, 19.0, 17.0, 15.0];
const INK: [f32; 3] = [34.0, 34.0, 34.0];
const ELLIPSIS: char = '…';
/// Longer titles cannot fit at any size; they are not even measured to their end.
const MAX_CHARS: usize = 200;

/// A line that fits its place.
#[derive(Debug)]
pub(super) struct Line {
    text: String,
    size: f32,
}

impl Line {
    /// The text at the largest size that fits `width` pixels; at the smallest, cut with an
    /// ellipsis.
    pub(super) fn fit(text: &str, width: f32) -> Self {
        let mut text: String = text
            .trim()
            .chars()
            .take(MAX_CHARS)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        if let Some(&size) = SIZES.iter().find(|&&size| measure(&text, size) <= width) {
            return Self { text, size };
        }
        let size = SIZES[SIZES.len() - 1];
        while text.pop().is_some() {
            let cut =
                format!("{}{ELLIPSIS}", text.trim_end_matches(|c: char| !c.is_alphanumeric()));
            if measure(&cut, size) <= width {
                return Self { text: cut, size };
            }
        }
        Self { text, size }
    }

    /// Draws the line with its middle at `middle` and its feet on `baseline`, in pixels.
    pub(super) fn draw(&self, image: &mut RgbImage, middle: f32, baseline: f32) {
        let left = middle - measure(&self.text, self.size) / 2.0;
        for (glyph, at) in glyphs(&self.text, self.size).0 {
            let glyph = glyph.with_scale_and_position(self.size, point(left + at, baseline));
            let Some(outline) = SANS.outline_glyph(glyph) else { continue };
            let corner = outline.px_bounds().min;
            outline.draw(|x, y, coverage| {
                // A negative coordinate becomes a huge one here, which is no pixel either.
                let (x, y) = (
                    (corner.x as i64 + i64::from(x)) as u32,
                    (corner.y as i64 + i64::from(y)) as u32,
                );
                if let Some(pixel) = image.get_pixel_mut_checked(x, y) {
                    for (channel, ink) in pixel.0.iter_mut().zip(INK) {
                        let paper = f32::from(*channel);
                        *channel = (paper + (ink - paper) * coverage.clamp(0.0, 1.0)).round() as u8;
                    }
                }
            });
        }
    }
}

/// The glyphs of a text with their distances from its start, and its width, in pixels.
fn glyphs(text: &str, size: f32) -> (Vec<(GlyphId, f32)>, f32) {
    let font = SANS.as_scaled(size);
    let mut before: Option<GlyphId> = None;
    let mut at = 0.0;
    let mut placed = Vec::with_capacity(text.len());
    for c in text.chars() {
        let glyph = font.glyph_id(c);
        at += before.map_or(0.0, |before| font.kern(before, glyph));
        placed.push((glyph, at));
        at += font.h_advance(glyph);
        before = Some(glyph);
    }
    (placed, at)
}

fn measure(text: &str, size: f32) -> f32 {
    glyphs(text, size).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_title_shrinks_and_then_is_cut() {
        let line = Line::fit("Grad-CAM++", 360.0);
        assert_eq!((line.text.as_str(), line.size), ("Grad-CAM++", 23.0));
        let line = Line::fit("Grad-CAM++", 100.0);
        assert_eq!((line.text.as_str(), line.size), ("Grad-CAM++", 17.0));
        let line = Line::fit("Egyptian cat, of the short-haired kind", 100.0);
        assert_eq!((line.text.as_str(), line.size), ("Egyptian cat…", 15.0));
        assert_eq!(Line::fit("anything", 1.0).text, "");
    }

    #[test]
    fn letters_from_everywhere_and_none_are_drawn() {
        let mut image = RgbImage::from_pixel(60, 20, image::Rgb([255; 3]));
        Line::fit("Größe κόσμος 猫 🐈 \u{202e}\n", 60.0).draw(&mut image, 5.0, 3.0);
        Line::fit("", 60.0).draw(&mut image, 5.0, 3.0);
        assert!(image.pixels().any(|pixel| pixel.0 != [255; 3]));
    }
}
