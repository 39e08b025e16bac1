//! Lines of text as outlines: shaping, choice of fonts, and shortening.
//!
//! cosmic-text shapes: it orders right-to-left runs, joins Arabic letters and picks a font for each
//! script. The fonts are compiled in ([`fonts`]), so that a figure looks the same on a machine
//! without fonts. A line ends up as one outline in points, which both back ends draw alike.

mod fonts;
mod shorten;

use std::sync::Arc;

use super::outline::moved;
use cosmic_text::skrifa::instance::{LocationRef, Size};
use cosmic_text::skrifa::outline::DrawSettings;
use cosmic_text::skrifa::outline::pen::PathElement;
use cosmic_text::skrifa::{FontRef, GlyphId, MetadataProvider};
use cosmic_text::{
    Attrs, AttrsList, Font, FontSystem, Hinting, LayoutGlyph, ShapeLine, Shaping, Wrap,
};

/// A line of text as it is drawn.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Line {
    /// The text, shortened where it had to be.
    pub(super) text: String,
    /// The width in points.
    pub(super) width: f32,
    /// The glyphs in points, y downwards, from the start of the baseline.
    pub(super) outline: Vec<PathElement>,
    /// The glyphs' numbers in their fonts, from left to right. 0 is the box for a missing one.
    pub(super) glyphs: Vec<u16>,
    /// Characters that no font has.
    pub(super) missing: Vec<char>,
}

/// Sets lines of text.
pub(super) struct Typesetter {
    fonts: FontSystem,
}

impl Typesetter {
    pub(super) fn new() -> Self {
        Self { fonts: fonts::system() }
    }

    /// Sets a line at a size in points. Control characters become spaces.
    pub(super) fn line(&mut self, text: &str, size: f32) -> Line {
        let text = shorten::printable(text);
        self.set(&text, size)
    }

    /// Sets a line that is at most `width` points wide; a longer text loses its middle.
    pub(super) fn fitted(&mut self, text: &str, size: f32, width: f32) -> Line {
        let text = shorten::printable(text);
        let whole = self.set(&text, size);
        if whole.width <= width {
            return whole;
        }
        let fits = |text: &str| self.set(text, size).width <= width;
        let short = shorten::in_the_middle(&text, fits);
        Line { missing: whole.missing, ..self.set(&short, size) }
    }

    /// The number of points from the baseline to the top of a capital letter.
    pub(super) fn cap_height(size: f32) -> f32 {
        fonts::CAP_HEIGHT * size
    }

    fn set(&mut self, text: &str, size: f32) -> Line {
        let mut line = Line { text: text.to_owned(), ..Line::default() };
        if text.is_empty() {
            return line;
        }
        let attributes = Attrs::new().family(fonts::family(text));
        let attributes = AttrsList::new(&attributes);
        let shaped = ShapeLine::new(&mut self.fonts, text, &attributes, Shaping::Advanced, 1);
        let lines = shaped.layout(size, None, Wrap::None, None, None, Hinting::Disabled);
        let Some(mut laid_out) = lines.into_iter().next() else { return line };
        // Inside a right-to-left run they come in the order of the text.
        laid_out.glyphs.sort_by(|a, b| a.x.total_cmp(&b.x));
        line.width = laid_out.w;
        for glyph in &laid_out.glyphs {
            line.glyphs.push(glyph.glyph_id);
            if glyph.glyph_id == 0 {
                let cluster = text.get(glyph.start..glyph.end).unwrap_or_default();
                line.missing.extend(cluster.chars());
            }
            let font = self.fonts.get_font(glyph.font_id, glyph.font_weight);
            if let Some(font) = font {
                line.outline.extend(outline(&font, glyph));
            }
        }
        line.missing.sort_unstable();
        line.missing.dedup();
        line
    }
}

/// A glyph's outline at its place in the line.
fn outline(font: &Arc<Font>, glyph: &LayoutGlyph) -> Vec<PathElement> {
    let mut elements = Vec::new();
    // Every embedded file holds one face.
    let face = FontRef::from_index(font.data(), 0).ok();
    let found =
        face.and_then(|face| face.outline_glyphs().get(GlyphId::new(glyph.glyph_id.into())));
    let Some(found) = found else { return elements };
    let settings = DrawSettings::unhinted(Size::new(glyph.font_size), LocationRef::default());
    // A glyph that is broken in the font is blank; the fonts are ours, and tested.
    if found.draw(settings, &mut elements).is_err() {
        return Vec::new();
    }
    let left = glyph.x + glyph.font_size * glyph.x_offset;
    let up = glyph.font_size * glyph.y_offset - glyph.y;
    elements.into_iter().map(|element| moved(element, &|x, y| (left + x, -(up + y)))).collect()
}

#[cfg(test)]
mod tests;
