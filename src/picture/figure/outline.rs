//! What a back end draws of a line of text or a tick: an outline at its place.

use cosmic_text::skrifa::outline::pen::PathElement;

use super::text::Line;

/// A rectangle in points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rect {
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) width: f32,
    pub(super) height: f32,
}

impl Rect {
    pub(super) fn right(&self) -> f32 {
        self.x + self.width
    }

    pub(super) fn bottom(&self) -> f32 {
        self.y + self.height
    }
}

/// The colours of text and ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    Black,
    Gray,
}

impl Ink {
    pub(super) const fn rgb(self) -> [u8; 3] {
        match self {
            Self::Black => [26, 26, 26],
            Self::Gray => [89, 89, 89],
        }
    }
}

/// A line of text at its place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PlacedLine {
    pub(super) line: Line,
    /// The start of the baseline, in points.
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) ink: Ink,
    /// Whether it reads upwards.
    pub(super) is_upwards: bool,
}

impl PlacedLine {
    /// The outline in points of the figure.
    pub(super) fn outline(&self) -> impl Iterator<Item = PathElement> {
        let place = move |x: f32, y: f32| match self.is_upwards {
            false => (self.x + x, self.y + y),
            true => (self.x + y, self.y - x),
        };
        self.line.outline.iter().map(move |element| moved(*element, &place))
    }
}

/// An element with each of its points moved.
pub(super) fn moved(element: PathElement, to: &impl Fn(f32, f32) -> (f32, f32)) -> PathElement {
    match element {
        PathElement::MoveTo { x, y } => {
            let (x, y) = to(x, y);
            PathElement::MoveTo { x, y }
        }
        PathElement::LineTo { x, y } => {
            let (x, y) = to(x, y);
            PathElement::LineTo { x, y }
        }
        PathElement::QuadTo { cx0, cy0, x, y } => {
            let ((cx0, cy0), (x, y)) = (to(cx0, cy0), to(x, y));
            PathElement::QuadTo { cx0, cy0, x, y }
        }
        PathElement::CurveTo { cx0, cy0, cx1, cy1, x, y } => {
            let ((cx0, cy0), (cx1, cy1), (x, y)) = (to(cx0, cy0), to(cx1, cy1), to(x, y));
            PathElement::CurveTo { cx0, cy0, cx1, cy1, x, y }
        }
        PathElement::Close => PathElement::Close,
    }
}
