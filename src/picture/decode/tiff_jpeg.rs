//! JPEG compression inside TIFF (TIFF technical note 2), decoded by libjpeg like any other JPEG.
//!
//! Each strip or tile is a JPEG datastream of its own, whose tables may stand in a tag. What the
//! samples mean is said by TIFF's tags and not by JPEG's markers, as for libtiff and therefore for
//! Pillow.

use image::{DynamicImage, GrayImage, RgbImage, RgbaImage};

use super::alpha::blend_over_white;
use super::errors::{corrupt, too_large, unsupported};
use super::format::Format;
use super::ifd::{Ifd, tags};
use super::jpeg::{self, Colours};
use super::limits::Limits;
use super::tiff::{self, BLACK_IS_ZERO, CMYK, JPEG, RGB, WHITE_IS_ZERO, YCBCR};
use crate::error::{Error, Result};

/// Setting up the decoder takes time, and many strips can share their bytes.
const MAX_PARTS: u64 = 65_535;

/// How an image is divided into strips or tiles.
struct Grid {
    /// Size of the image.
    width: u32,
    height: u32,
    /// Size of a strip or tile.
    part_width: u32,
    part_height: u32,
    /// Planes of one channel each; 1 where the channels are interleaved.
    planes: usize,
    offsets: Vec<f64>,
    byte_counts: Vec<f64>,
}

/// Decodes a file with JPEG compression. `None` for every other file.
pub(super) fn decode(bytes: &[u8], limits: Limits) -> Result<Option<RgbImage>> {
    let Some(ifd) = Ifd::first(bytes) else { return Ok(None) };
    if ifd.integer(tags::COMPRESSION) != Some(JPEG) {
        return Ok(None);
    }
    let samples = ifd.integer(tags::SAMPLES_PER_PIXEL).unwrap_or(1) as usize;
    let photometric = ifd.integer(tags::PHOTOMETRIC);
    let colours = match (photometric, samples) {
        (Some(WHITE_IS_ZERO | BLACK_IS_ZERO), 1) | (Some(RGB), 3 | 4) | (Some(CMYK), 4) => {
            Colours::AsStored
        }
        (Some(YCBCR), 3) => Colours::Rgb,
        _ => return Err(unsupported(Format::Tiff, &tiff::unsupported_feature(bytes))),
    };
    let grid = Grid::new(&ifd, samples, limits)?;
    if grid.planes > 1 && colours == Colours::Rgb {
        return Err(unsupported(Format::Tiff, "YCbCr colours in planes"));
    }
    let mut values = grid.read(&ifd, bytes, samples, colours, limits)?;
    if photometric == Some(WHITE_IS_ZERO) {
        values.iter_mut().for_each(|value| *value = 255 - *value);
    }
    let (width, height) = (grid.width, grid.height);
    let image = match (photometric, samples) {
        (Some(CMYK), _) => {
            let rgb = |ink: &[u8]| {
                jpeg::inverted_cmyk_to_rgb([0, 1, 2, 3].map(|channel| 255 - ink[channel]))
            };
            let pixels = values.chunks_exact(4).flat_map(rgb).collect();
            RgbImage::from_raw(width, height, pixels).map(DynamicImage::ImageRgb8)
        }
        (_, 1) => GrayImage::from_raw(width, height, values).map(DynamicImage::ImageLuma8),
        (_, 3) => RgbImage::from_raw(width, height, values).map(DynamicImage::ImageRgb8),
        _ => RgbaImage::from_raw(width, height, values).map(DynamicImage::ImageRgba8),
    };
    Ok(Some(blend_over_white(image.unwrap_or_default(), tiff::alpha(bytes))))
}

impl Grid {
    fn new(ifd: &Ifd<'_>, samples: usize, limits: Limits) -> Result<Self> {
        let required = |tag| ifd.integer(tag).ok_or_else(damaged);
        let (width, height) = (required(tags::IMAGE_WIDTH)?, required(tags::IMAGE_LENGTH)?);
        limits.check(width, height)?;
        let is_tiled = ifd.numbers(tags::TILE_OFFSETS).is_some();
        let (part_width, part_height) = if is_tiled {
            (required(tags::TILE_WIDTH)?, required(tags::TILE_LENGTH)?)
        } else {
            (width, ifd.integer(tags::ROWS_PER_STRIP).unwrap_or(height).min(height))
        };
        if part_width == 0 || part_height == 0 {
            return Err(damaged());
        }
        let list =
            |strips, tiles| ifd.numbers(if is_tiled { tiles } else { strips }).ok_or_else(damaged);
        let is_planar = ifd.integer(tags::PLANAR_CONFIGURATION) == Some(2);
        let grid = Self {
            width,
            height,
            part_width,
            part_height,
            planes: if is_planar { samples } else { 1 },
            offsets: list(tags::STRIP_OFFSETS, tags::TILE_OFFSETS)?,
            byte_counts: list(tags::STRIP_BYTE_COUNTS, tags::TILE_BYTE_COUNTS)?,
        };
        // Tiles reach beyond the image, and huge ones would cost more than the image itself.
        let part_pixels = u64::from(part_width) * u64::from(part_height);
        let parts = grid.parts_per_plane();
        if parts.saturating_mul(part_pixels) > limits.max_pixels.saturating_mul(2) {
            let reason = "Decoding the image needs too much memory for its size";
            return Err(too_large(reason, limits.max_pixels));
        }
        let all = parts.saturating_mul(grid.planes as u64);
        if all > MAX_PARTS {
            return Err(unsupported(Format::Tiff, &format!("{all} strips or tiles of JPEG")));
        }
        if (grid.offsets.len().min(grid.byte_counts.len()) as u64) < all {
            return Err(damaged());
        }
        Ok(grid)
    }

    fn parts_per_plane(&self) -> u64 {
        let down = u64::from(self.height.div_ceil(self.part_height));
        down * u64::from(self.width.div_ceil(self.part_width))
    }

    /// The samples of all pixels, `[H, W, C]`.
    fn read(
        &self,
        ifd: &Ifd<'_>,
        bytes: &[u8],
        samples: usize,
        colours: Colours,
        limits: Limits,
    ) -> Result<Vec<u8>> {
        let tables = ifd.bytes(tags::JPEG_TABLES).unwrap_or_default();
        let (width, height) = (self.width as usize, self.height as usize);
        let mut values = vec![0; width * height * samples];
        let per_plane = self.parts_per_plane() as usize;
        let across = self.width.div_ceil(self.part_width) as usize;
        let channels = if self.planes > 1 { 1 } else { samples };
        let places = self.offsets.iter().zip(&self.byte_counts).take(per_plane * self.planes);
        for (part, (&offset, &count)) in places.enumerate() {
            let (plane, part) = (part / per_plane, part % per_plane);
            let left = part % across * self.part_width as usize;
            let top = part / across * self.part_height as usize;
            let columns = (width - left).min(self.part_width as usize);
            let rows = (height - top).min(self.part_height as usize);

            let (start, count) = (offset as usize, count as usize);
            let stream = bytes.get(start..start.saturating_add(count)).ok_or_else(damaged)?;
            let stream = joined(tables, stream, colours).ok_or_else(damaged)?;
            let decoded = jpeg::samples(&stream, Format::Tiff, colours, limits)?;
            let (part_width, part_height) = (decoded.width as usize, decoded.height as usize);
            let is_right_size = (columns..=self.part_width as usize).contains(&part_width)
                && (rows..=self.part_height as usize).contains(&part_height);
            if !is_right_size || decoded.channels != channels {
                return Err(damaged());
            }
            let lines = decoded.values.chunks_exact(part_width * channels).take(rows);
            for (row, line) in lines.enumerate() {
                let at = ((top + row) * width + left) * samples + plane;
                let line = line[..columns * channels].chunks_exact(channels);
                for (pixel, from) in values[at..].chunks_mut(samples).zip(line) {
                    pixel[..channels].copy_from_slice(from);
                }
            }
        }
        Ok(values)
    }
}

/// One datastream of the shared tables and a strip or tile.
///
/// Markers of applications are left out: libjpeg would take the colours' meaning from them, and
/// without them from the channels' names. Adobe's says that they are YCbCr.
fn joined(tables: &[u8], part: &[u8], colours: Colours) -> Option<Vec<u8>> {
    const YCBCR: &[u8] = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\x01";
    const START: [u8; 2] = [0xff, 0xd8];
    const END: [u8; 2] = [0xff, 0xd9];
    const START_OF_SCAN: u8 = 0xda;
    let tables = tables.strip_prefix(&START).unwrap_or(tables);
    let tables = tables.strip_suffix(&END).unwrap_or(tables);
    let mut rest = part.strip_prefix(&START)?;
    let marker = if colours == Colours::Rgb { YCBCR } else { &[] };
    let mut stream = [&START, marker, tables].concat();
    loop {
        match *rest {
            [0xff, 0xff, ..] => rest = &rest[1..],
            [0xff, marker @ 0xc0..=0xfe, high, low, ..] if marker != START_OF_SCAN => {
                let length = 2 + usize::from(u16::from_be_bytes([high, low]));
                let (segment, tail) = rest.split_at_checked(length)?;
                if !(0xe0..=0xef).contains(&marker) {
                    stream.extend_from_slice(segment);
                }
                rest = tail;
            }
            _ => {
                stream.extend_from_slice(rest);
                return Some(stream);
            }
        }
    }
}

fn damaged() -> Error {
    corrupt(Format::Tiff, "it is truncated or damaged")
}
