//! A thin frame around the part of a picture that the model saw.

use image::{Rgb, RgbImage};

/// Smaller pictures get no frame: it would hide too much of them.
const LEAST_SIDE_PX: u32 = 64;
/// A line is one pixel for every so many pixels of the shorter side.
const PX_PER_LINE_PX: u32 = 400;
/// The inner line is dark and the outer one bright, so that the frame shows on any picture.
const LINES: [(Rgb<u8>, f32); 2] = [(Rgb([0, 0, 0]), 0.5), (Rgb([255, 255, 255]), 0.85)];

/// Draws the frame just outside of a rectangle, where the picture has pixels outside of it.
pub fn frame(picture: &mut RgbImage, left: u32, top: u32, width: u32, height: u32) {
    let shorter = picture.width().min(picture.height());
    if shorter < LEAST_SIDE_PX {
        return;
    }
    let line_px = (shorter / PX_PER_LINE_PX).max(1);
    let (right, bottom) = (left + width, top + height);
    for (x, y, pixel) in picture.enumerate_pixels_mut() {
        let beyond = |at: u32, first: u32, end: u32| {
            first.saturating_sub(at).max((at + 1).saturating_sub(end))
        };
        let distance_px = beyond(x, left, right).max(beyond(y, top, bottom));
        let line = distance_px.checked_sub(1).map(|beyond| (beyond / line_px) as usize);
        if let Some((color, opacity)) = line.and_then(|line| LINES.get(line)) {
            for (channel, line) in pixel.0.iter_mut().zip(color.0) {
                let mixed = f32::from(*channel) * (1.0 - opacity) + f32::from(line) * opacity;
                *channel = mixed.round() as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_lies_outside_the_rectangle() {
        let grey = Rgb([100, 100, 100]);
        let mut picture = RgbImage::from_pixel(80, 70, grey);
        frame(&mut picture, 10, 0, 60, 70);
        let row: Vec<u8> = (0..80).map(|x| picture.get_pixel(x, 35).0[0]).collect();
        assert_eq!(row[6..12], [100, 100, 232, 50, 100, 100]);
        assert_eq!(row[68..74], [100, 100, 50, 232, 100, 100]);
        assert_eq!(picture.get_pixel(40, 0), &grey, "the rectangle reaches this side");
    }

    #[test]
    fn lines_are_thicker_on_a_large_picture() {
        let side = 2 * PX_PER_LINE_PX;
        let mut picture = RgbImage::from_pixel(side, side, Rgb([100, 100, 100]));
        frame(&mut picture, 10, 0, side - 10, side);
        let row: Vec<u8> = (0..12).map(|x| picture.get_pixel(x, side / 2).0[0]).collect();
        assert_eq!(row, [100, 100, 100, 100, 100, 100, 232, 232, 50, 50, 100, 100]);
    }

    #[test]
    fn a_tiny_picture_gets_none() {
        let mut picture = RgbImage::new(63, 200);
        frame(&mut picture, 0, 70, 63, 60);
        assert!(picture.pixels().all(|pixel| pixel.0 == [0, 0, 0]));
    }
}
