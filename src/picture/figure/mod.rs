//! A figure: images in a grid, each with a title above it.
//!
//! The Keras article shows two rows of four: the input, then one column per method, the second row
//! with raised contrast. This grid takes any number of rows and columns, with empty cells. It
//! renders every combination of titles and image sizes without an error.

mod text;

use image::{Rgb, RgbImage, imageops};

use self::text::TextLine;
use super::resize::{Filter, resize};

/// One cell of a figure.
#[derive(Clone, Copy, Debug)]
pub struct Panel<'a> {
    /// The title above the image; may be empty. A long one is set smaller, then truncated.
    pub title: &'a str,
    /// The image, of any size.
    pub image: &'a RgbImage,
}

/// Larger images are scaled down to this longer side.
const PANEL_MAX_PX: u32 = 360;
/// Smaller images are scaled up to this longer side, so that they are not dwarfed by their titles.
const PANEL_MIN_PX: u32 = 180;
/// Minimum width of a column, so that a title fits.
const COLUMN_MIN_PX: u32 = 136;
const MARGIN_PX: u32 = 28;
const GAP_PX: u32 = 24;
/// Height of the titles above a row that has any.
const TITLE_PX: u32 = 34;
/// From a title's baseline to the image below it.
const BASELINE_PX: u32 = 11;
const WHITE: Rgb<u8> = Rgb([255; 3]);

/// Renders the figure on white. Rows may have different lengths; `None` leaves a cell empty.
#[must_use]
pub fn figure(rows: &[Vec<Option<Panel<'_>>>]) -> RgbImage {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let panels = || {
        rows.iter()
            .enumerate()
            .flat_map(|(y, row)| row.iter().enumerate().map(move |(x, p)| (x, y, p)))
    };

    let mut widths = vec![COLUMN_MIN_PX; columns];
    let mut heights = vec![0; rows.len()];
    let mut titles = vec![0; rows.len()];
    for (x, y, panel) in panels() {
        if let Some(panel) = panel {
            let (width, height) = panel_size(panel.image.dimensions());
            widths[x] = widths[x].max(width);
            heights[y] = heights[y].max(height);
            if !panel.title.trim().is_empty() {
                titles[y] = TITLE_PX;
            }
        }
    }

    let margins_and_gaps = |count: usize| 2 * MARGIN_PX + GAP_PX * (count.max(1) as u32 - 1);
    let width = margins_and_gaps(columns) + widths.iter().sum::<u32>();
    let height = margins_and_gaps(rows.len()) + heights.iter().chain(&titles).sum::<u32>();
    let mut out = RgbImage::from_pixel(width, height, WHITE);
    for (x, y, panel) in panels() {
        let Some(panel) = panel else { continue };
        let left = MARGIN_PX + x as u32 * GAP_PX + widths[..x].iter().sum::<u32>();
        let top =
            MARGIN_PX + y as u32 * GAP_PX + heights[..y].iter().chain(&titles[..y]).sum::<u32>();
        let (panel_width, panel_height) = panel_size(panel.image.dimensions());
        let image = resize(panel.image, panel_width, panel_height, Filter::Bicubic);
        // Centred in its column and aligned to the row's top, close to its title.
        let image_left = left + (widths[x] - panel_width) / 2;
        imageops::replace(&mut out, &image, image_left.into(), (top + titles[y]).into());
        // A title may extend into a quarter of the gap on either side.
        let title = TextLine::fit(panel.title, (widths[x] + GAP_PX / 2) as f32);
        let center_x = left as f32 + widths[x] as f32 / 2.0;
        title.draw(&mut out, center_x, (top + titles[y] - BASELINE_PX) as f32);
    }
    out
}

/// The size at which an image of the given size is shown; keeps the aspect ratio.
fn panel_size((width, height): (u32, u32)) -> (u32, u32) {
    let longer = width.max(height);
    if width == 0 || height == 0 || (PANEL_MIN_PX..=PANEL_MAX_PX).contains(&longer) {
        return (width.min(PANEL_MAX_PX), height.min(PANEL_MAX_PX));
    }
    let scale = f64::from(longer.clamp(PANEL_MIN_PX, PANEL_MAX_PX)) / f64::from(longer);
    let side = |length: u32| (f64::from(length) * scale).round().max(1.0) as u32;
    (side(width), side(height))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_blank(image: &RgbImage) -> bool {
        image.pixels().all(|&pixel| pixel == WHITE)
    }

    #[test]
    fn images_keep_their_aspect_ratio_within_180_to_360_pixels() {
        assert_eq!(panel_size((451, 300)), (360, 239));
        assert_eq!(panel_size((300, 600)), (180, 360));
        assert_eq!(panel_size((224, 224)), (224, 224));
        assert_eq!(panel_size((28, 14)), (180, 90));
        assert_eq!(panel_size((100_000, 1)), (360, 1));
        assert_eq!(panel_size((0, 9)), (0, 9));
    }

    #[test]
    fn a_figure_of_two_rows_of_four_has_the_expected_layout() {
        let image = RgbImage::from_pixel(360, 240, Rgb([9, 9, 9]));
        let panel = |title| Some(Panel { title, image: &image });
        let titles = ["Input", "Grad-CAM", "Grad-CAM++", "Score-CAM"];
        let rows = [titles.map(panel).to_vec(), vec![None, panel(""), panel(""), panel("")]];
        let out = figure(&rows);
        assert_eq!(out.dimensions(), (2 * 28 + 3 * 24 + 4 * 360, 2 * 28 + 24 + 34 + 2 * 240));
        // The second row has no titles, so no space for them; its first cell is empty.
        assert_eq!(out.get_pixel(28 + 360 + 24, 28 + 34 + 240 + 24).0, [9, 9, 9]);
        assert_eq!(*out.get_pixel(28, 28 + 34 + 240 + 24), WHITE);
        let title = imageops::crop_imm(&out, 28, 0, 360, 28 + 34).to_image();
        assert!(!is_blank(&title));
    }

    #[test]
    fn an_empty_figure_is_white() {
        assert!(is_blank(&figure(&[])));
        assert!(is_blank(&figure(&[vec![], vec![None, None]])));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_title_and_image_size_can_be_rendered(
            title in "\\PC{0,60}", control in "[\\x00-\\x1f]{0,3}", w in 0u32..400, h in 0u32..400,
        ) {
            let image = RgbImage::new(w, h);
            let title = title + &control;
            let out = figure(&[vec![Some(Panel { title: &title, image: &image })]]);
            prop_assert!(out.width() <= 2 * MARGIN_PX + PANEL_MAX_PX);
        }
    }
}
