//! The article's figure: pictures in rows and columns, each with its title above it.
//!
//! The article shows two rows of four: the input, then one column a method, the second row
//! with raised contrast. The grid here takes any number of either, and empty places. It
//! always gives an image, whatever the titles and the sizes of the pictures.

mod text;

use image::{Rgb, RgbImage, imageops};

use self::text::Line;
use super::resize::{Filter, resize};

/// One picture of a figure.
#[derive(Clone, Copy, Debug)]
pub struct Panel<'a> {
    /// The words above it; may be empty. What does not fit is made smaller, then cut.
    pub title: &'a str,
    /// The picture, of any size.
    pub image: &'a RgbImage,
}

/// The longer side of a large picture once it is in the figure, in pixels.
const PANEL_MAX_PX: u32 = 360;
/// The same for a small one, which would drown below its title.
const PANEL_MIN_PX: u32 = 180;
/// A column for pictures that are narrower still; room for a title.
const COLUMN_MIN_PX: u32 = 136;
const MARGIN_PX: u32 = 28;
const GAP_PX: u32 = 24;
/// From a row's top to its pictures, where the row has titles.
const TITLE_PX: u32 = 34;
const WHITE: Rgb<u8> = Rgb([255; 3]);

/// The figure on white. Rows may have different lengths; `None` leaves a place empty.
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
            let (width, height) = fit(panel.image.dimensions());
            widths[x] = widths[x].max(width);
            heights[y] = heights[y].max(height);
            if !panel.title.trim().is_empty() {
                titles[y] = TITLE_PX;
            }
        }
    }

    let gaps = |count: usize| 2 * MARGIN_PX + GAP_PX * (count.max(1) as u32 - 1);
    let width = gaps(columns) + widths.iter().sum::<u32>();
    let height = gaps(rows.len()) + heights.iter().chain(&titles).sum::<u32>();
    let mut out = RgbImage::from_pixel(width, height, WHITE);
    for (x, y, panel) in panels() {
        let Some(panel) = panel else { continue };
        let left = MARGIN_PX + x as u32 * GAP_PX + widths[..x].iter().sum::<u32>();
        let top =
            MARGIN_PX + y as u32 * GAP_PX + heights[..y].iter().chain(&titles[..y]).sum::<u32>();
        let (panel_width, panel_height) = fit(panel.image.dimensions());
        let picture = resize(panel.image, panel_width, panel_height, Filter::Bicubic);
        // Centred in its column, at the row's top, so that it stays close to its title.
        let picture_left = left + (widths[x] - panel_width) / 2;
        imageops::replace(&mut out, &picture, picture_left.into(), (top + titles[y]).into());
        // A title may stand over half the gap on either side, no more.
        let title = Line::fit(panel.title, (widths[x] + GAP_PX / 2) as f32);
        let middle = left as f32 + widths[x] as f32 / 2.0;
        title.draw(&mut out, middle, (top + titles[y]) as f32 - 11.0);
    }
    out
}

/// The size in the figure of a picture of this size; the aspect is kept.
fn fit((width, height): (u32, u32)) -> (u32, u32) {
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
    fn pictures_keep_their_aspect_and_stay_within_360() {
        assert_eq!(fit((451, 300)), (360, 239));
        assert_eq!(fit((300, 600)), (180, 360));
        assert_eq!(fit((224, 224)), (224, 224));
        assert_eq!(fit((28, 14)), (180, 90));
        assert_eq!(fit((100_000, 1)), (360, 1));
        assert_eq!(fit((0, 9)), (0, 9));
    }

    #[test]
    fn the_article_s_figure_has_two_rows_of_four() {
        let picture = RgbImage::from_pixel(360, 240, Rgb([9, 9, 9]));
        let panel = |title| Some(Panel { title, image: &picture });
        let titles = ["Input", "Grad-CAM", "Grad-CAM++", "Score-CAM"];
        let rows = [titles.map(panel).to_vec(), vec![None, panel(""), panel(""), panel("")]];
        let out = figure(&rows);
        assert_eq!(out.dimensions(), (2 * 28 + 3 * 24 + 4 * 360, 2 * 28 + 24 + 34 + 2 * 240));
        // The second row has no titles and so no room for them; its first place is empty.
        assert_eq!(out.get_pixel(28 + 360 + 24, 28 + 34 + 240 + 24).0, [9, 9, 9]);
        assert_eq!(*out.get_pixel(28, 28 + 34 + 240 + 24), WHITE);
        let title = imageops::crop_imm(&out, 28, 0, 360, 28 + 34).to_image();
        assert!(!is_blank(&title));
    }

    #[test]
    fn nothing_gives_a_white_sheet() {
        assert!(is_blank(&figure(&[])));
        assert!(is_blank(&figure(&[vec![], vec![None, None]])));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_title_and_size_gives_a_figure(title in "\\PC{0,60}", control in "[\\x00-\\x1f]{0,3}", w in 0u32..400, h in 0u32..400) {
            let image = RgbImage::new(w, h);
            let title = title + &control;
            let out = figure(&[vec![Some(Panel { title: &title, image: &image })]]);
            prop_assert!(out.width() <= 2 * MARGIN_PX + PANEL_MAX_PX);
        }
    }
}
