//! A walk along a JPEG's segments, without decoding anything.
//!
//! The decoder, like a browser, fills what a truncated file lacks with grey and calls it
//! done. Whether the file is whole is told here instead: its segments must lead to the end
//! marker. That is Pillow's rule too.

/// What the walk found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// The end-of-image marker was reached.
    pub(super) ended: bool,
    /// Bytes that belong to nothing lie between the header's segments. Every decoder skips them.
    pub(super) stray: bool,
}

const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;

/// Walks from the start marker to the end marker. A thumbnail within a segment is stepped
/// over, and what cameras append after the end is not looked at.
pub(super) fn scan(bytes: &[u8]) -> Scan {
    let mut found = Scan::default();
    let mut at = 2;
    let mut in_scan = false;
    // Each turn leaves `at` further on, so the walk is linear in the file.
    while let Some(skipped) =
        bytes.get(at..).and_then(|rest| rest.iter().position(|&byte| byte == 0xff))
    {
        found.stray |= skipped > 0 && !in_scan;
        at += skipped + 1;
        let Some(&marker) = bytes.get(at) else { break };
        match marker {
            // Fill bytes: the marker is the next byte that is not 0xff.
            0xff => continue,
            // A data byte 0xff in a scan is followed by 0; restart markers, TEM and SOI stand
            // alone.
            0x00 | 0x01 | 0xd0..=0xd7 | SOI => at += 1,
            EOI => {
                found.ended = true;
                break;
            }
            _ => {
                let Some(&[high, low]) = bytes.get(at + 1..at + 3) else { break };
                let length = usize::from(u16::from_be_bytes([high, low]));
                at += 1 + length;
                in_scan = marker == SOS;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_behind_fill_restarts_and_a_thumbnail() {
        let file = [
            &[0xff, SOI][..],
            &[0xff, 0xe1, 0, 6, 0xff, SOI, 0xff, EOI], // a thumbnail in APP1
            &[0xff, 0xff, 0xee, 0, 4, 5, 6],
            &[0xff, SOS, 0, 2, 1, 2, 0xff, 0, 3, 0xff, 0xd0, 4],
            &[0xff, EOI, 9, 9],
        ]
        .concat();
        assert_eq!(scan(&file), Scan { ended: true, stray: false });
        for length in 0..file.len() - 2 {
            assert!(!scan(&file[..length]).ended, "whole after {length} bytes");
        }
    }

    #[test]
    fn stray_bytes_between_segments_are_told() {
        assert!(scan(&[0xff, SOI, 7, 7, 0xff, SOS, 0, 2, 0xff, EOI]).stray);
    }
}
