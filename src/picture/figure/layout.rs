//! Where everything of a figure stands, in points. Pure: the same figure always gives the same plan.

use super::outline::{Ink, PlacedLine, Rect};
use super::text::{Line, Typesetter};
use super::{Caption, ColorBar, Figure, Panel, pixels};

/// The longer side of a panel: two inches.
const PANEL: f32 = 144.0;
/// The least width of a column, so that the title of a narrow panel has room.
const COLUMN_MIN: f32 = 108.0;
const MARGIN: f32 = 14.0;
const COLUMN_GAP: f32 = 10.0;
const ROW_GAP: f32 = 9.0;
/// Font sizes.
const TITLE: f32 = 12.0;
const NOTE: f32 = 8.5;
const CAPTION: f32 = 9.0;
const TICK: f32 = 7.5;
/// The distance between the baselines of two lines of notes.
const NOTE_LEADING: f32 = 11.5;
/// From a title's last baseline to what it stands above.
const ABOVE_GRID: f32 = 10.0;
const CAPTION_DESCENT: f32 = 4.5;
/// The height of the captions above a row.
const CAPTION_HEIGHT: f32 = 14.0;
/// Between a name and its amount, and between two notes on one line.
const WORD_GAP: f32 = 5.0;
const SEPARATOR: &str = " · ";
/// The colour bar: its distance from the panels, its width, and the least height.
const BAR_GAP: f32 = 12.0;
const BAR_WIDTH: f32 = 8.0;
const BAR_MIN: f32 = 72.0;
const TICK_LENGTH: f32 = 2.5;
const TICK_WIDTH: f32 = 0.5;
const TICK_GAP: f32 = 2.5;
/// Between the labels of the ticks and the bar's own.
const LABEL_GAP: f32 = 4.5;

/// A figure with everything in its place. Positions are in points, from the upper left corner.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub(super) width: f32,
    pub(super) height: f32,
    /// The panels in reading order.
    pub(super) panels: Vec<Rect>,
    pub(super) lines: Vec<PlacedLine>,
    pub(super) bar: Rect,
    pub(super) ticks: Vec<Rect>,
    /// Characters that no font has, each once.
    missing: Vec<char>,
}

/// The number of columns for so many panels: all in one row up to five, else as many, from three
/// to five, as leave the fewest empty cells.
#[must_use]
pub fn default_columns(panels: usize) -> usize {
    if panels <= 5 {
        return panels.max(1);
    }
    let empty = |columns: usize| panels.div_ceil(columns) * columns - panels;
    // Of equally good ones the first, which is the largest.
    (3..=5).rev().min_by_key(|&columns| empty(columns)).unwrap_or(5)
}

/// The most pixels, as width and height, of a figure with a title of a few lines.
#[must_use]
pub fn bound_px(rows: usize, columns: usize, dpi: u16) -> (u32, u32) {
    const HEAD: f32 = 90.0;
    const BAR: f32 = 60.0;
    let width = 2.0 * MARGIN + columns as f32 * (PANEL + COLUMN_GAP) + BAR;
    let height = 2.0 * MARGIN + HEAD + rows as f32 * (PANEL + CAPTION_HEIGHT + ROW_GAP);
    (pixels(width, dpi).ceil() as u32, pixels(height, dpi).ceil() as u32)
}

impl Plan {
    /// Plans a figure.
    #[must_use]
    pub fn new(figure: &Figure) -> Self {
        let mut planner = Planner { setter: Typesetter::new(), lines: Vec::new() };
        let grid = Grid::new(figure);
        let bar_width = planner.bar_width(&figure.bar);
        let width = 2.0 * MARGIN + grid.width() + bar_width;
        let top = planner.head(figure, width - 2.0 * MARGIN);
        let panels = planner.panels(figure, &grid, top);
        let first_row = top + grid.captions.first().copied().unwrap_or(0.0);
        let height = grid.heights.first().copied().unwrap_or(0.0).max(BAR_MIN);
        let bar =
            Rect { x: MARGIN + grid.width() + BAR_GAP, y: first_row, width: BAR_WIDTH, height };
        let ticks = planner.bar(&figure.bar, bar);
        // The labels of ticks extend by half a line beyond the bar.
        let bottom = (top + grid.height()).max(bar.bottom() + TICK / 2.0);
        let lines = planner.lines;
        let mut missing: Vec<char> =
            lines.iter().flat_map(|placed| placed.line.missing.iter().copied()).collect();
        missing.sort_unstable();
        missing.dedup();
        Self { width, height: bottom + MARGIN, panels, lines, bar, ticks, missing }
    }

    /// Characters that no font has: a box is drawn for each.
    #[must_use]
    pub fn missing(&self) -> &[char] {
        &self.missing
    }

    /// The upper left corners of the panels in pixels.
    #[cfg(test)]
    pub(crate) fn corners_px(&self, dpi: u16) -> Vec<(u32, u32)> {
        let at = |points: f32| pixels(points, dpi).round() as u32;
        self.panels.iter().map(|panel| (at(panel.x), at(panel.y))).collect()
    }

    /// The width and height in pixels.
    #[must_use]
    pub fn size_px(&self, dpi: u16) -> (u32, u32) {
        let side = |points: f32| pixels(points, dpi).ceil() as u32;
        (side(self.width), side(self.height))
    }
}

/// The sizes of a grid's columns and rows.
struct Grid {
    widths: Vec<f32>,
    heights: Vec<f32>,
    /// The height of the captions above each row; 0 if it has none.
    captions: Vec<f32>,
}

impl Grid {
    fn new(figure: &Figure) -> Self {
        let columns = figure.rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut grid = Self {
            widths: vec![COLUMN_MIN; columns],
            heights: vec![0.0; figure.rows.len()],
            captions: vec![0.0; figure.rows.len()],
        };
        for (row, column, panel) in cells(figure) {
            let (width, height) = panel_size(panel.size);
            grid.widths[column] = grid.widths[column].max(width);
            grid.heights[row] = grid.heights[row].max(height);
            if panel.caption != Caption::default() {
                grid.captions[row] = CAPTION_HEIGHT;
            }
        }
        grid
    }

    fn width(&self) -> f32 {
        let gaps = self.widths.len().saturating_sub(1) as f32 * COLUMN_GAP;
        self.widths.iter().sum::<f32>() + gaps
    }

    fn height(&self) -> f32 {
        let gaps = self.heights.len().saturating_sub(1) as f32 * ROW_GAP;
        self.heights.iter().chain(&self.captions).sum::<f32>() + gaps
    }

    fn left(&self, column: usize) -> f32 {
        MARGIN + self.widths[..column].iter().sum::<f32>() + column as f32 * COLUMN_GAP
    }

    /// The top of a row's pictures, from the top of the grid.
    fn top(&self, row: usize) -> f32 {
        let above = self.heights[..row].iter().chain(&self.captions[..=row]).sum::<f32>();
        above + row as f32 * ROW_GAP
    }
}

/// The panels with their rows and columns.
fn cells(figure: &Figure) -> impl Iterator<Item = (usize, usize, &Panel)> {
    figure.rows.iter().enumerate().flat_map(|(row, cells)| {
        let cells = cells.iter().enumerate();
        cells.filter_map(move |(column, cell)| Some((row, column, cell.as_ref()?)))
    })
}

/// The size of a panel in points; keeps the ratio of what is shown.
fn panel_size((width, height): (u32, u32)) -> (f32, f32) {
    let (width, height) = (width.max(1) as f32, height.max(1) as f32);
    let scale = PANEL / width.max(height);
    // The thinnest picture is still a line.
    ((width * scale).max(1.0), (height * scale).max(1.0))
}

/// Collects lines of text while it plans.
struct Planner {
    setter: Typesetter,
    lines: Vec<PlacedLine>,
}

impl Planner {
    fn put(&mut self, line: Line, x: f32, y: f32, ink: Ink) {
        self.lines.push(PlacedLine { line, x, y, ink, is_upwards: false });
    }

    /// The title and the notes; returns the top of the grid.
    fn head(&mut self, figure: &Figure, width: f32) -> f32 {
        let mut baseline = MARGIN + Typesetter::cap_height(TITLE);
        self.caption(&figure.title, TITLE, MARGIN, baseline, width, 0.0);
        for (index, line) in self.notes(&figure.notes, width).into_iter().enumerate() {
            baseline += if index == 0 { NOTE_LEADING + 2.5 } else { NOTE_LEADING };
            self.put(line, MARGIN, baseline, Ink::Gray);
        }
        baseline + ABOVE_GRID
    }

    /// The notes on as few lines as they fit on.
    fn notes(&mut self, notes: &[String], width: f32) -> Vec<Line> {
        let mut lines: Vec<Line> = Vec::new();
        for note in notes {
            let joined = lines.last().map(|last| format!("{}{SEPARATOR}{note}", last.text));
            let joined = joined.map(|text| self.setter.line(&text, NOTE));
            match (joined, lines.last_mut()) {
                (Some(joined), Some(last)) if joined.width <= width => *last = joined,
                _ => lines.push(self.setter.fitted(note, NOTE, width)),
            }
        }
        lines
    }

    /// A name and its amount on one line of at most `width`. `center` is 0 to start at the left,
    /// or ½ to stand in the middle.
    fn caption(
        &mut self,
        caption: &Caption,
        size: f32,
        left: f32,
        baseline: f32,
        width: f32,
        center: f32,
    ) {
        let amount = self.setter.line(&caption.amount, size);
        let has_both = !caption.name.is_empty() && !caption.amount.is_empty();
        let gap = if has_both { WORD_GAP } else { 0.0 };
        let name = self.setter.fitted(&caption.name, size, width - amount.width - gap);
        let total = name.width + gap + amount.width;
        let left = left + center * (width - total);
        let after = left + name.width + gap;
        self.put(name, left, baseline, Ink::Black);
        self.put(amount, after, baseline, Ink::Gray);
    }

    /// The panels, and their captions.
    fn panels(&mut self, figure: &Figure, grid: &Grid, top: f32) -> Vec<Rect> {
        let mut panels = Vec::new();
        for (row, column, panel) in cells(figure) {
            let (left, top) = (grid.left(column), top + grid.top(row));
            let (width, height) = panel_size(panel.size);
            // Centred in its column, close to its caption.
            let x = left + (grid.widths[column] - width) / 2.0;
            panels.push(Rect { x, y: top, width, height });
            let (baseline, room) = (top - CAPTION_DESCENT, grid.widths[column]);
            self.caption(&panel.caption, CAPTION, left, baseline, room, 0.5);
        }
        panels
    }

    /// The width that the colour bar takes, with its distance from the panels.
    fn bar_width(&mut self, bar: &ColorBar) -> f32 {
        BAR_GAP + BAR_WIDTH + TICK_LENGTH + TICK_GAP + self.widest_tick(bar) + LABEL_GAP + TICK
    }

    fn widest_tick(&mut self, bar: &ColorBar) -> f32 {
        let widths = bar.ticks.iter().map(|tick| self.setter.line(tick, TICK).width);
        widths.fold(0.0, f32::max)
    }

    /// The labels of the colour bar; returns its ticks.
    fn bar(&mut self, bar: &ColorBar, rect: Rect) -> Vec<Rect> {
        let mut ticks = Vec::new();
        let half_cap = Typesetter::cap_height(TICK) / 2.0;
        let last = bar.ticks.len().saturating_sub(1).max(1) as f32;
        let widest = self.widest_tick(bar);
        let left = rect.right() + TICK_LENGTH + TICK_GAP;
        for (index, tick) in bar.ticks.iter().enumerate() {
            let y = rect.bottom() - rect.height * index as f32 / last;
            ticks.push(Rect {
                x: rect.right(),
                y: y - TICK_WIDTH / 2.0,
                width: TICK_LENGTH,
                height: TICK_WIDTH,
            });
            let line = self.setter.line(tick, TICK);
            self.put(line, left, y + half_cap, Ink::Gray);
        }
        let label = self.setter.fitted(bar.label, TICK, rect.height);
        let y = rect.y + (rect.height + label.width) / 2.0;
        let x = left + widest + LABEL_GAP + Typesetter::cap_height(TICK);
        self.lines.push(PlacedLine { line: label, x, y, ink: Ink::Gray, is_upwards: true });
        ticks
    }
}

#[cfg(test)]
mod tests;
