//! The figures of a comparison and of several classes: which panels they have, and what each shows.

use image::RgbImage;

use super::{map, overlaid, range};
use crate::app::explain_options::ExplainOptions;
use crate::app::options::{Output, Rendering, Size};
use crate::error::Result;
use crate::explain::{Choice, Convention, Explanation, Prediction};
use crate::model::preprocess::Preprocess;
use crate::picture::encode::{self, Format, Metadata};
use crate::picture::figure::{
    Caption, ColorBar, Figure, Panel, Plan, bound_px, default_columns, raster, svg,
};
use crate::picture::overlay::{Range, heatmap};
use crate::picture::resize::{Filter, resize};
use crate::warning::{Warning, WarningCode};

/// What a cell of a figure shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    Input,
    /// A map, by its index, perhaps with raised contrast.
    Map {
        index: usize,
        is_raised: bool,
    },
}

type Rows = Vec<Vec<Option<Cell>>>;

/// Which figure a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::app) enum FigureKind {
    /// One class by several methods; with `is_article`, arranged as in the Keras article, which
    /// shows the input in both of its rows.
    Methods {
        /// Whether it is the article's.
        is_article: bool,
    },
    /// Several classes by one method.
    Classes,
}

impl FigureKind {
    /// The figure of several methods with these options.
    pub(in crate::app) fn of_methods(options: &ExplainOptions) -> Self {
        Self::Methods { is_article: options.convention == Convention::Article }
    }
}

/// The cells: the input, then each map; below each row of a comparison the same maps with raised
/// contrast.
fn rows(kind: FigureKind, maps: usize, columns: Option<usize>) -> Rows {
    let panels = maps + 1;
    let columns = columns.unwrap_or(match kind {
        FigureKind::Methods { is_article: true } => panels,
        _ => default_columns(panels),
    });
    let of_map = |index, is_raised| Cell::Map { index, is_raised };
    let cells: Vec<_> =
        std::iter::once(Cell::Input).chain((0..maps).map(|index| of_map(index, false))).collect();
    let mut rows = Rows::new();
    for row in cells.chunks(columns) {
        rows.push(row.iter().copied().map(Some).collect());
        let FigureKind::Methods { is_article } = kind else { continue };
        let raised = |cell: &Cell| match *cell {
            Cell::Input => is_article.then_some(Cell::Input),
            Cell::Map { index, .. } => Some(of_map(index, true)),
        };
        rows.push(row.iter().map(raised).collect());
    }
    rows.retain(|row| row.iter().any(Option::is_some));
    rows
}

/// The most pixels, as width and height, that a figure of so many maps can have.
pub(in crate::app) fn most_px(kind: FigureKind, maps: usize, rendering: &Rendering) -> (u32, u32) {
    let rows = rows(kind, maps, rendering.columns);
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    bound_px(rows.len(), columns, rendering.dpi())
}

/// A drawn figure, and what its reader must know.
pub(in crate::app) struct DrawnFigure {
    /// The file.
    pub(in crate::app) file: Vec<u8>,
    /// Its warnings.
    pub(in crate::app) warnings: Vec<Warning>,
}

/// Draws the figure of one class by several methods, or of several classes by one.
///
/// # Errors
/// [`Kind::Internal`](crate::error::Kind::Internal) when an encoder fails.
pub(in crate::app) fn draw(
    kind: FigureKind,
    explanations: &[Explanation],
    image: &RgbImage,
    preprocess: &Preprocess,
    rendering: &Rendering,
    mut metadata: Metadata,
) -> Result<DrawnFigure> {
    let rows = rows(kind, explanations.len(), rendering.columns);
    let figure = describe(kind, &rows, explanations, image, preprocess, rendering);
    let plan = Plan::new(&figure);
    let cells: Vec<Cell> = rows.iter().flatten().flatten().copied().collect();
    let mut painter = Painter { explanations, image, preprocess, rendering, base: None };
    let mut paint =
        |index: usize, width: u32, height: u32| painter.paint(cells[index], width, height);
    let dpi = rendering.dpi();
    metadata.dpi = Some(dpi);
    let file = match rendering.format {
        Format::Svg => svg::write(&figure, &plan, dpi, &metadata, &mut paint)?.into_bytes(),
        format => encode::rgb(&raster::draw(&figure, &plan, dpi, &mut paint), format, &metadata)?,
    };
    Ok(DrawnFigure { file, warnings: missing_glyphs(plan.missing()).into_iter().collect() })
}

fn missing_glyphs(missing: &[char]) -> Option<Warning> {
    const MAX_NAMED: usize = 8;
    if missing.is_empty() {
        return None;
    }
    let mut names: Vec<String> =
        missing.iter().take(MAX_NAMED).map(|c| format!("U+{:04X}", u32::from(*c))).collect();
    if missing.len() > MAX_NAMED {
        names.push(format!("{} more", missing.len() - MAX_NAMED));
    }
    let detail = format!(
        "the figure's fonts lack {}, so an empty box stands for each; the metadata and the JSON \
         response have the text itself",
        names.join(", ")
    );
    Some(Warning::new(WarningCode::GlyphsMissing, detail))
}

/// The figure's texts and arrangement.
fn describe(
    kind: FigureKind,
    rows: &Rows,
    explanations: &[Explanation],
    image: &RgbImage,
    preprocess: &Preprocess,
    rendering: &Rendering,
) -> Figure {
    let first = &explanations[0];
    let title = match kind {
        FigureKind::Methods { .. } => class(&first.target),
        FigureKind::Classes => {
            Caption { name: first.method.title().to_owned(), amount: String::new() }
        }
    };
    let mut notes = vec![
        format!("model {}", first.model),
        format!("layer {}", first.layer),
        format!("{} convention", first.convention.name()),
    ];
    notes.extend(first.contrast.as_ref().map(|class| format!("contrasted with {}", name(class))));
    notes.extend(first.negate.then(|| "evidence against the class".to_owned()));
    let panel = |cell: &Cell| match *cell {
        Cell::Input => Panel {
            caption: Caption { name: "Input".to_owned(), amount: String::new() },
            description: "The input".to_owned(),
            size: image.dimensions(),
        },
        Cell::Map { index, is_raised } => {
            let one = &explanations[index];
            let mut caption = match kind {
                FigureKind::Methods { .. } => {
                    Caption { name: one.method.title().to_owned(), amount: String::new() }
                }
                FigureKind::Classes => class(&one.target),
            };
            let mut description = format!("{} {}", caption.name, caption.amount).trim().to_owned();
            if one.empty {
                // Such a panel shows the plain image.
                caption.amount = "empty map".to_owned();
                description.push_str(", empty map");
            }
            if let Some(correlation) = one.confidence.map(|confidence| confidence.correlation) {
                if !caption.amount.is_empty() {
                    caption.amount.push_str(", ");
                }
                caption.amount.push_str(&format!("estimate, r ≈ {correlation:.2}"));
                description.push_str(", an estimate");
            }
            if is_raised {
                // It stands below the panel that has the name.
                caption = Caption { name: String::new(), amount: "emphasised".to_owned() };
                description.push_str(", emphasised");
            }
            Panel { caption, description, size: shown_size(one, image, preprocess, rendering) }
        }
    };
    let rows = rows.iter().map(|row| row.iter().map(|cell| cell.as_ref().map(panel)).collect());
    Figure { title, notes, rows: rows.collect(), bar: bar(first, rendering) }
}

fn bar(explanation: &Explanation, rendering: &Rendering) -> ColorBar {
    let (ticks, label) = match range(explanation) {
        Range::Unit => (vec!["0", "0.5", "1"], "relative importance"),
        Range::Signed => (vec!["−1", "0", "1"], "evidence against and for"),
    };
    ColorBar { colormap: rendering.colormap, ticks, label }
}

fn class(target: &Prediction) -> Caption {
    Caption { name: name(target), amount: target.amount() }
}

fn name(target: &Prediction) -> String {
    let kind = if target.value.is_some() { "output" } else { "class" };
    target.label.clone().unwrap_or_else(|| format!("{kind} {}", target.index))
}

/// The size of what a map's panel shows, in pixels.
fn shown_size(
    explanation: &Explanation,
    image: &RgbImage,
    preprocess: &Preprocess,
    rendering: &Rendering,
) -> (u32, u32) {
    match rendering.size {
        Size::Image => image.dimensions(),
        Size::Input => (preprocess.width, preprocess.height),
        Size::Layer => {
            let (height, width) = explanation.map.dim();
            (width as u32, height as u32)
        }
    }
}

/// Paints the panels.
struct Painter<'a> {
    explanations: &'a [Explanation],
    image: &'a RgbImage,
    preprocess: &'a Preprocess,
    rendering: &'a Rendering,
    /// The image at the size of the last panel.
    base: Option<RgbImage>,
}

impl Painter<'_> {
    fn paint(&mut self, cell: Cell, width: u32, height: u32) -> RgbImage {
        match cell {
            Cell::Input => self.base(width, height).clone(),
            Cell::Map { index, is_raised } => {
                let is_raised = is_raised || self.rendering.emphasize;
                let rendering = Rendering { emphasize: is_raised, ..*self.rendering };
                self.map(&self.explanations[index], &rendering, width, height)
            }
        }
    }

    /// The image at the panel's size.
    fn base(&mut self, width: u32, height: u32) -> &RgbImage {
        let known = self.base.take().filter(|base| base.dimensions() == (width, height));
        let image = self.image;
        self.base.insert(known.unwrap_or_else(|| resize(image, width, height, Filter::Bicubic)))
    }

    /// A map. At the image's size it is computed for the panel's pixels, so that it is as sharp as
    /// they are; at another size, that picture is enlarged.
    fn map(
        &mut self,
        one: &Explanation,
        rendering: &Rendering,
        width: u32,
        height: u32,
    ) -> RgbImage {
        if rendering.size != Size::Image {
            return resize(
                &self.picture(one, self.image, rendering),
                width,
                height,
                Filter::Bicubic,
            );
        }
        let across = width as f32 / self.image.width().max(1) as f32;
        let down = height as f32 / self.image.height().max(1) as f32;
        let [x, y, w, h] = one.visible_rect;
        let scaled = Explanation {
            visible_rect: [x * across, y * down, w * across, h * down],
            ..one.clone()
        };
        let base = self.base(width, height).clone();
        self.picture(&scaled, &base, rendering)
    }

    fn picture(&self, one: &Explanation, image: &RgbImage, rendering: &Rendering) -> RgbImage {
        match rendering.output {
            Output::Heatmap => {
                heatmap(map(one, image, rendering).view(), range(one), rendering.colormap)
            }
            _ => overlaid(one, image, self.preprocess, rendering),
        }
    }
}

#[cfg(test)]
mod tests;
