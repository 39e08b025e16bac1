//! A small EXIF block: description, software and resolution. JPEG and WebP carry one.

use super::Metadata;

const IMAGE_DESCRIPTION: u16 = 0x010e;
const X_RESOLUTION: u16 = 0x011a;
const Y_RESOLUTION: u16 = 0x011b;
const RESOLUTION_UNIT: u16 = 0x0128;
const SOFTWARE: u16 = 0x0131;

const ASCII: u16 = 2;
const SHORT: u16 = 3;
const RATIONAL: u16 = 5;
const INCH: u32 = 2;

/// The block, in little-endian order: a TIFF header, one directory, and the values too long for it.
/// The entries are lines `name: value` of the description, in UTF-8.
pub(super) fn block(metadata: &Metadata) -> Vec<u8> {
    let line =
        |(name, value): &(&str, String)| format!("{name}: {}", value.replace(['\0', '\n'], " "));
    let description = metadata.entries.iter().map(line).collect::<Vec<_>>().join("\n");
    let software = format!("camlens {}", env!("CARGO_PKG_VERSION"));
    let text = |text: &str| [text.as_bytes(), b"\0"].concat();

    let mut fields: Vec<(u16, u16, Vec<u8>)> = Vec::new();
    if !description.is_empty() {
        fields.push((IMAGE_DESCRIPTION, ASCII, text(&description)));
    }
    if let Some(dpi) = metadata.dpi {
        let ratio = [u32::from(dpi).to_le_bytes(), 1_u32.to_le_bytes()].concat();
        fields.push((X_RESOLUTION, RATIONAL, ratio.clone()));
        fields.push((Y_RESOLUTION, RATIONAL, ratio));
        fields.push((RESOLUTION_UNIT, SHORT, INCH.to_le_bytes()[..2].to_vec()));
    }
    fields.push((SOFTWARE, ASCII, text(&software)));
    directory(&fields)
}

/// A TIFF file of one directory. The fields are in order of their tags.
fn directory(fields: &[(u16, u16, Vec<u8>)]) -> Vec<u8> {
    const HEADER: &[u8] = b"II*\0\x08\0\0\0";
    const FIELD_BYTES: usize = 12;
    let values_at = HEADER.len() + 2 + fields.len() * FIELD_BYTES + 4;
    let (mut out, mut values) = (HEADER.to_vec(), Vec::new());
    out.extend((fields.len() as u16).to_le_bytes());
    for (tag, kind, value) in fields {
        let unit = match *kind {
            RATIONAL => 8,
            SHORT => 2,
            _ => 1,
        };
        out.extend(tag.to_le_bytes());
        out.extend(kind.to_le_bytes());
        out.extend(((value.len() / unit) as u32).to_le_bytes());
        if value.len() <= 4 {
            out.extend(value);
            out.extend(std::iter::repeat_n(0, 4 - value.len()));
        } else {
            out.extend(((values_at + values.len()) as u32).to_le_bytes());
            values.extend(value);
            // Values start at even offsets.
            values.extend(std::iter::repeat_n(0, value.len() % 2));
        }
    }
    // There is no further directory.
    out.extend([0; 4]);
    out.extend(values);
    out
}
