//! Reads tags of the first image file directory of a TIFF structure (TIFF 6.0, section 2).
//!
//! EXIF metadata in every format has this structure, and so has a TIFF file itself. Both byte
//! orders and BigTIFF are read. A tag that is damaged is absent; nothing here fails.

/// Tag numbers (TIFF 6.0, appendix A).
pub(super) mod tags {
    pub(in super::super) const IMAGE_WIDTH: u16 = 256;
    pub(in super::super) const IMAGE_LENGTH: u16 = 257;
    pub(in super::super) const BITS_PER_SAMPLE: u16 = 258;
    pub(in super::super) const COMPRESSION: u16 = 259;
    pub(in super::super) const PHOTOMETRIC: u16 = 262;
    pub(in super::super) const FILL_ORDER: u16 = 266;
    pub(in super::super) const STRIP_OFFSETS: u16 = 273;
    pub(in super::super) const ORIENTATION: u16 = 274;
    pub(in super::super) const SAMPLES_PER_PIXEL: u16 = 277;
    pub(in super::super) const ROWS_PER_STRIP: u16 = 278;
    pub(in super::super) const STRIP_BYTE_COUNTS: u16 = 279;
    pub(in super::super) const PLANAR_CONFIGURATION: u16 = 284;
    pub(in super::super) const PREDICTOR: u16 = 317;
    pub(in super::super) const TILE_WIDTH: u16 = 322;
    pub(in super::super) const TILE_LENGTH: u16 = 323;
    pub(in super::super) const TILE_OFFSETS: u16 = 324;
    pub(in super::super) const TILE_BYTE_COUNTS: u16 = 325;
    pub(in super::super) const EXTRA_SAMPLES: u16 = 338;
    pub(in super::super) const SAMPLE_FORMAT: u16 = 339;
    pub(in super::super) const JPEG_TABLES: u16 = 347;
    pub(in super::super) const XMP: u16 = 700;
}

/// The first directory of a TIFF structure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ifd<'a> {
    bytes: &'a [u8],
    big_endian: bool,
    big_tiff: bool,
    /// Offset of the first entry.
    entries: usize,
    count: u64,
}

impl<'a> Ifd<'a> {
    /// Finds the first directory of a TIFF structure, which starts with its byte order.
    pub(super) fn first(bytes: &'a [u8]) -> Option<Self> {
        let (big_endian, version) = match *bytes.get(..4)? {
            // Some writers store the version in the other byte order; Pillow reads those, too.
            [b'I', b'I', a, b] => (false, a.max(b)),
            [b'M', b'M', a, b] => (true, a.max(b)),
            _ => return None,
        };
        let big_tiff = match version {
            42 => false,
            43 => true,
            _ => return None,
        };
        let mut ifd = Self { bytes, big_endian, big_tiff, entries: 0, count: 0 };
        let start = ifd.unsigned(if big_tiff { 8 } else { 4 }, ifd.offset_size())?;
        let start = usize::try_from(start).ok()?;
        let count_size = if big_tiff { 8 } else { 2 };
        ifd.count = ifd.unsigned(start, count_size)?;
        ifd.entries = start.checked_add(count_size)?;
        Some(ifd)
    }

    /// The numeric values of a tag.
    ///
    /// `None` where the tag is absent or damaged, and where its values are no numbers: text, or
    /// bytes of the types BYTE and UNDEFINED, which Pillow does not read as numbers, either.
    pub(super) fn numbers(&self, tag: u16) -> Option<Vec<f64>> {
        let (kind, values) = self.find(tag)?;
        let size = size_of_type(kind)?;
        values.chunks_exact(size).map(|value| self.number(kind, value)).collect()
    }

    /// The first value of a tag, if that is a whole number.
    pub(super) fn integer(&self, tag: u16) -> Option<u32> {
        let value = *self.numbers(tag)?.first()?;
        let is_whole = value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&value);
        is_whole.then_some(value as u32)
    }

    /// The bytes of a tag's values, whatever their type.
    pub(super) fn bytes(&self, tag: u16) -> Option<&'a [u8]> {
        self.find(tag).map(|(_, values)| values)
    }

    /// The type of a tag and the bytes of its values. The first entry counts where a tag is there
    /// twice, as for Pillow 13.
    fn find(&self, tag: u16) -> Option<(u16, &'a [u8])> {
        let entry_size = if self.big_tiff { 20 } else { 12 };
        let entries = self.bytes.get(self.entries..)?.chunks_exact(entry_size);
        let count = usize::try_from(self.count).ok()?;
        let mut entries = entries.take(count).enumerate();
        let (index, _) = entries.find(|(_, entry)| self.u16(entry) == Some(tag))?;
        let entry = self.entries + index * entry_size;
        let kind = self.unsigned(entry + 2, 2)? as u16;
        let count = usize::try_from(self.unsigned(entry + 4, self.offset_size())?).ok()?;
        let length = count.checked_mul(size_of_type(kind)?)?;
        let inline = entry + 4 + self.offset_size();
        let start = if length <= self.offset_size() {
            inline
        } else {
            usize::try_from(self.unsigned(inline, self.offset_size())?).ok()?
        };
        Some((kind, self.bytes.get(start..start.checked_add(length)?)?))
    }

    fn number(&self, kind: u16, value: &[u8]) -> Option<f64> {
        let bits = self.read(value);
        let half = value.len() / 2;
        Some(match kind {
            3 | 4 | 13 | 16 | 18 => bits as f64,
            6 => f64::from(bits as i8),
            8 => f64::from(bits as i16),
            9 => f64::from(bits as i32),
            17 => bits as i64 as f64,
            5 => self.read(&value[..half]) as f64 / self.read(&value[half..]) as f64,
            10 => {
                f64::from(self.read(&value[..half]) as i32)
                    / f64::from(self.read(&value[half..]) as i32)
            }
            11 => f64::from(f32::from_bits(bits as u32)),
            12 => f64::from_bits(bits),
            _ => return None,
        })
    }

    const fn offset_size(&self) -> usize {
        if self.big_tiff { 8 } else { 4 }
    }

    fn u16(&self, bytes: &[u8]) -> Option<u16> {
        Some(self.read(bytes.get(..2)?) as u16)
    }

    fn unsigned(&self, at: usize, size: usize) -> Option<u64> {
        Some(self.read(self.bytes.get(at..at.checked_add(size)?)?))
    }

    /// An unsigned number of up to eight bytes.
    fn read(&self, bytes: &[u8]) -> u64 {
        let append = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        if self.big_endian {
            bytes.iter().fold(0, append)
        } else {
            bytes.iter().rev().fold(0, append)
        }
    }
}

/// Bytes per value of a type (TIFF 6.0, section 2; BigTIFF adds 16 to 18).
const fn size_of_type(kind: u16) -> Option<usize> {
    Some(match kind {
        1 | 2 | 6 | 7 => 1,
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16 | 17 | 18 => 8,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_type_are_read() {
        let of = |kind, value: &[u8]| {
            let ifd = Ifd { bytes: &[], big_endian: true, big_tiff: false, entries: 0, count: 0 };
            ifd.number(kind, value)
        };
        assert_eq!(of(3, &[1, 2]), Some(258.0));
        assert_eq!(of(5, &[0, 0, 0, 3, 0, 0, 0, 2]), Some(1.5));
        assert_eq!(of(6, &[0xff]), Some(-1.0));
        assert_eq!(of(8, &[0xff, 0xfe]), Some(-2.0));
        assert_eq!(of(9, &[0xff, 0xff, 0xff, 0xfd]), Some(-3.0));
        assert_eq!(of(10, &[0xff, 0xff, 0xff, 0xfd, 0, 0, 0, 2]), Some(-1.5));
        assert_eq!(of(11, &1.25_f32.to_be_bytes()), Some(1.25));
        assert_eq!(of(12, &2.5_f64.to_be_bytes()), Some(2.5));
        assert_eq!(of(17, &(-7_i64).to_be_bytes()), Some(-7.0));
        assert_eq!(of(2, b"text"), None);
    }
}
