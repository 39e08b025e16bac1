//! Scans the markers of a JPEG file (ITU-T T.81, annex B) without decoding it.
//!
//! Like a browser, libjpeg fills the missing part of a truncated file with grey and reports
//! success. The scan detects truncation instead: the segments must lead to the end-of-image
//! marker. Pillow applies the same rule. The scan also finds what libjpeg does not decode, so that
//! the error can name it.

/// The result of a scan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Markers {
    /// The segments lead to an end-of-image marker.
    pub(super) has_end_of_image: bool,
    /// The first frame header.
    pub(super) frame: Option<Frame>,
    /// The number of scans.
    pub(super) scans: usize,
}

/// A frame header (T.81, B.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Its marker, SOF0 to SOF15 (0xc0 to 0xcf) or JPEG-LS's SOF55 (0xf7), says how the pixels are
    /// coded.
    pub(super) marker: u8,
    /// Bits per sample.
    pub(super) precision: u8,
    pub(super) height: u16,
    pub(super) components: u8,
}

const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;

/// Scans from the start-of-image marker to the end-of-image marker. A thumbnail inside a segment
/// is skipped, and data that cameras append after the end is ignored.
pub(super) fn scan(bytes: &[u8]) -> Markers {
    let mut markers = Markers::default();
    for (marker, body) in segments(bytes) {
        match marker {
            EOI => markers.has_end_of_image = true,
            SOS => markers.scans += 1,
            // 0xc4, 0xc8 and 0xcc are tables and an extension.
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf | 0xf7 => {
                if let (None, &[precision, high, low, _, _, components, ..]) = (markers.frame, body)
                {
                    let height = u16::from_be_bytes([high, low]);
                    markers.frame = Some(Frame { marker, precision, height, components });
                }
            }
            _ => {}
        }
    }
    markers
}

/// The segments of a file up to the end-of-image marker: marker and body without its length.
/// Entropy-coded data and stray bytes between segments are skipped.
pub(super) fn segments(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut position = 2;
    let mut ended = false;
    // Every iteration advances `position`, so the walk is linear in the file's size.
    std::iter::from_fn(move || {
        while !ended {
            position += bytes.get(position..)?.iter().position(|&byte| byte == 0xff)? + 1;
            match *bytes.get(position)? {
                // Fill bytes: the marker is the next byte that is not 0xff.
                0xff => {}
                // In entropy-coded data a byte 0xff is followed by 0. Restart markers, TEM and SOI
                // have no length field.
                0x00 | 0x01 | 0xd0..=0xd7 | SOI => position += 1,
                EOI => {
                    ended = true;
                    return Some((EOI, &[][..]));
                }
                marker => {
                    let &[high, low] = bytes.get(position + 1..position + 3)? else { return None };
                    let length = usize::from(u16::from_be_bytes([high, low]));
                    let body = bytes.get(position + 3..position + 1 + length);
                    position += 1 + length;
                    return Some((marker, body.unwrap_or_default()));
                }
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_image_is_found_after_fill_bytes_restart_markers_and_a_thumbnail() {
        let file = [
            &[0xff, SOI][..],
            &[0xff, 0xe1, 0, 6, 0xff, SOI, 0xff, EOI], // a thumbnail in APP1
            &[7, 7],                                   // stray bytes
            &[0xff, 0xff, 0xee, 0, 4, 5, 6],
            &[0xff, 0xc1, 0, 8, 8, 0, 13, 0, 17, 3],
            &[0xff, SOS, 0, 2, 1, 2, 0xff, 0, 3, 0xff, 0xd0, 4],
            &[0xff, EOI, 9, 9],
        ]
        .concat();
        let frame = Frame { marker: 0xc1, precision: 8, height: 13, components: 3 };
        assert_eq!(scan(&file), Markers { has_end_of_image: true, frame: Some(frame), scans: 1 });
        for length in 0..file.len() - 2 {
            assert!(!scan(&file[..length]).has_end_of_image, "complete after {length} bytes");
        }
    }
}
