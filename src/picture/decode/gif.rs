//! Enlarges a GIF's logical screen where its first frame does not fit.
//!
//! The `image` crate shows the part of a frame that lies within the screen. Pillow and browsers
//! take such a screen for a mistake of the writer and show the whole frame.

use std::borrow::Cow;

use super::errors::unsupported;
use super::format::Format;
use crate::error::Result;

/// Where the header states the screen's width and height.
const SCREEN: std::ops::Range<usize> = 6..10;

/// The file with a logical screen that holds its first frame.
pub(super) fn with_whole_first_frame(bytes: &[u8]) -> Result<Cow<'_, [u8]>> {
    let (Some(screen), Some(frame)) = (bytes.get(SCREEN), first_frame(bytes)) else {
        return Ok(Cow::Borrowed(bytes));
    };
    let side = |at: usize| u32::from(u16::from_le_bytes([screen[at], screen[at + 1]]));
    let [left, top, width, height] = frame;
    let (screen_width, screen_height) = (side(0), side(2));
    let sides = [screen_width.max(left + width), screen_height.max(top + height)];
    if sides == [screen_width, screen_height] {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut enlarged = bytes.to_vec();
    for (side, field) in sides.into_iter().zip(enlarged[SCREEN].chunks_exact_mut(2)) {
        let side = u16::try_from(side)
            .map_err(|_| unsupported(Format::Gif, "a frame that ends behind 65535 pixels"))?;
        field.copy_from_slice(&side.to_le_bytes());
    }
    Ok(Cow::Owned(enlarged))
}

/// Left, top, width and height of the first frame (GIF89a, section 20).
fn first_frame(bytes: &[u8]) -> Option<[u32; 4]> {
    let flags = *bytes.get(10)?;
    let table = if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let mut rest = bytes.get(13 + table..)?;
    loop {
        match rest {
            [b',', descriptor @ ..] => {
                let field =
                    |at: usize| u32::from(u16::from_le_bytes([descriptor[at], descriptor[at + 1]]));
                return descriptor.get(..8).map(|_| [0, 2, 4, 6].map(field));
            }
            // An extension: its label, then blocks with their lengths up to an empty one.
            [b'!', _, blocks @ ..] => {
                rest = blocks;
                loop {
                    let (&length, blocks) = rest.split_first()?;
                    rest = blocks.get(usize::from(length)..)?;
                    if length == 0 {
                        break;
                    }
                }
            }
            _ => return None,
        }
    }
}
