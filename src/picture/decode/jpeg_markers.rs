//! Scans the markers of a JPEG file (ITU-T T.81, annex B) without decoding it.
//!
//! Like a browser, the decoder fills the missing part of a truncated file with grey and reports
//! success. The scan detects truncation instead: the segments must lead to the end-of-image
//! marker. Pillow applies the same rule.

/// The result of a scan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Markers {
    /// The segments lead to an end-of-image marker.
    pub(super) has_end_of_image: bool,
    /// Bytes that belong to no segment lie between those of the header. Decoders skip them.
    pub(super) has_stray_bytes: bool,
}

const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;

/// Scans from the start-of-image marker to the end-of-image marker. A thumbnail inside a segment
/// is skipped, and data that cameras append after the end is ignored.
pub(super) fn scan(bytes: &[u8]) -> Markers {
    let mut markers = Markers::default();
    let mut position = 2;
    let mut in_entropy_coded_data = false;
    // Every iteration advances `position`, so the scan is linear in the file's size.
    while let Some(skipped) =
        bytes.get(position..).and_then(|rest| rest.iter().position(|&byte| byte == 0xff))
    {
        markers.has_stray_bytes |= skipped > 0 && !in_entropy_coded_data;
        position += skipped + 1;
        let Some(&marker) = bytes.get(position) else { break };
        match marker {
            // Fill bytes: the marker is the next byte that is not 0xff.
            0xff => continue,
            // In entropy-coded data a byte 0xff is followed by 0. Restart markers, TEM and SOI
            // have no length field.
            0x00 | 0x01 | 0xd0..=0xd7 | SOI => position += 1,
            EOI => {
                markers.has_end_of_image = true;
                break;
            }
            _ => {
                let Some(&[high, low]) = bytes.get(position + 1..position + 3) else { break };
                let length = usize::from(u16::from_be_bytes([high, low]));
                position += 1 + length;
                in_entropy_coded_data = marker == SOS;
            }
        }
    }
    markers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_image_is_found_after_fill_bytes_restart_markers_and_a_thumbnail() {
        let file = [
            &[0xff, SOI][..],
            &[0xff, 0xe1, 0, 6, 0xff, SOI, 0xff, EOI], // a thumbnail in APP1
            &[0xff, 0xff, 0xee, 0, 4, 5, 6],
            &[0xff, SOS, 0, 2, 1, 2, 0xff, 0, 3, 0xff, 0xd0, 4],
            &[0xff, EOI, 9, 9],
        ]
        .concat();
        assert_eq!(scan(&file), Markers { has_end_of_image: true, has_stray_bytes: false });
        for length in 0..file.len() - 2 {
            assert!(!scan(&file[..length]).has_end_of_image, "complete after {length} bytes");
        }
    }

    #[test]
    fn stray_bytes_between_segments_are_detected() {
        assert!(scan(&[0xff, SOI, 7, 7, 0xff, SOS, 0, 2, 0xff, EOI]).has_stray_bytes);
    }
}
