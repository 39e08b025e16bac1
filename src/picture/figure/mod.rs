//! Figures for a paper: titled panels in a grid, a title above them and a colour bar beside them.
//!
//! A figure is planned once, in points ([`Plan`]), and drawn by one of two back ends: [`raster`]
//! as pixels at a resolution, [`svg`] as outlines with the panels' pictures inside. A panel's
//! picture is asked for when it is drawn, at the size it is drawn at, so that it is computed there
//! and never resized again, and only one is in memory at a time.

mod layout;
mod outline;
pub mod raster;
pub mod svg;
mod text;

use image::RgbImage;

pub use self::layout::{Plan, bound_px, default_columns};
use super::colormap::Colormap;

/// Points per inch.
const POINTS_PER_INCH: f32 = 72.0;

/// What a figure shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// The line above everything.
    pub title: Caption,
    /// What else a reader must know, in parts that are kept together.
    pub notes: Vec<String>,
    /// The grid. `None` leaves a cell empty.
    pub rows: Vec<Vec<Option<Panel>>>,
    /// The meaning of the colours.
    pub bar: ColorBar,
}

/// A title: a name, which is shortened if there is no room for it, and an amount, which is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caption {
    /// The name; may be empty.
    pub name: String,
    /// What follows it, in gray; may be empty.
    pub amount: String,
}

/// One picture of a figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panel {
    /// The title above it.
    pub caption: Caption,
    /// What it shows, for those who can't see it.
    pub description: String,
    /// The width and height of what is shown; their ratio is the panel's.
    pub size: (u32, u32),
}

/// The colour bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColorBar {
    /// The colours, from the lower end to the upper.
    pub colormap: Colormap,
    /// The labels of the lower end, the middle if it has one, and the upper end.
    pub ticks: Vec<&'static str>,
    /// What the colours stand for.
    pub label: &'static str,
}

impl Figure {
    /// The panels in reading order.
    pub fn panels(&self) -> impl Iterator<Item = &Panel> {
        self.rows.iter().flatten().flatten()
    }
}

/// Makes the picture of a panel, by its index in reading order, of the given width and height.
pub type DrawPanel<'a> = dyn FnMut(usize, u32, u32) -> RgbImage + 'a;

/// A length in points as pixels at a resolution.
fn pixels(points: f32, dpi: u16) -> f32 {
    points * f32::from(dpi) / POINTS_PER_INCH
}

/// A side of a panel in whole pixels.
fn side_px(points: f32, dpi: u16) -> u32 {
    pixels(points, dpi).round().max(1.0) as u32
}
