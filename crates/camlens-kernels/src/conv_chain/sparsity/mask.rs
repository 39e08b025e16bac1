//! A set of map positions as a bit mask, 64 columns per word.

use std::ops::Range;

use crate::conv_chain::geometry::MapSize;

/// A set of positions of a map, one bit each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PositionMask {
    size: MapSize,
    words: usize,
    bits: Vec<u64>,
}

impl PositionMask {
    pub(crate) fn none(size: MapSize) -> Self {
        let words = size.width.div_ceil(64);
        Self { size, words, bits: vec![0; words * size.height] }
    }

    pub(crate) fn all(size: MapSize) -> Self {
        let mut mask = Self::none(size);
        (0..size.height).for_each(|row| mask.add(row, 0, size.width));
        mask
    }

    /// The positions where any channel of an image `[C, H, W]` is not zero.
    pub(crate) fn non_zero(image: &[f32], size: MapSize) -> Self {
        let mut mask = Self::none(size);
        for channel in image.chunks_exact(size.area()) {
            for (row, line) in channel.chunks_exact(size.width).enumerate() {
                for (word, values) in line.chunks(64).enumerate() {
                    let bits = values
                        .iter()
                        .enumerate()
                        .fold(0, |bits, (bit, &value)| bits | (u64::from(value != 0.0) << bit));
                    mask.bits[row * mask.words + word] |= bits;
                }
            }
        }
        mask
    }

    fn row(&self, row: usize) -> &[u64] {
        &self.bits[row * self.words..(row + 1) * self.words]
    }

    #[cfg(test)]
    fn contains(&self, row: usize, column: usize) -> bool {
        self.row(row)[column / 64] >> (column % 64) & 1 == 1
    }

    /// Adds columns `first..end` of a row.
    pub(super) fn add(&mut self, row: usize, first: usize, end: usize) {
        for column in first..end.min(self.size.width) {
            self.bits[row * self.words + column / 64] |= 1 << (column % 64);
        }
    }

    /// Dilates the set by one position in every direction: the outputs of a 3×3 filter that read
    /// any of these positions.
    pub(super) fn dilated(&self) -> Self {
        let mut wide = self.clone();
        for row in 0..self.size.height {
            let line = self.row(row);
            for word in 0..self.words {
                let left = if word > 0 { line[word - 1] >> 63 } else { 0 };
                let right = line.get(word + 1).map_or(0, |next| next << 63);
                wide.bits[row * self.words + word] =
                    line[word] | (line[word] << 1 | left) | (line[word] >> 1 | right);
            }
            // Clear the bits past the last column.
            if !self.size.width.is_multiple_of(64) {
                wide.bits[(row + 1) * self.words - 1] &= (1 << (self.size.width % 64)) - 1;
            }
        }
        let mut dilated = wide.clone();
        for row in 0..self.size.height {
            for word in 0..self.words {
                let at = |row: usize| wide.bits[row * self.words + word];
                let above = if row > 0 { at(row - 1) } else { 0 };
                let below = if row + 1 < self.size.height { at(row + 1) } else { 0 };
                dilated.bits[row * self.words + word] |= above | below;
            }
        }
        dilated
    }

    /// The positions after 2×2 pooling whose windows contain any of these.
    pub(super) fn pooled(&self) -> Self {
        let mut pooled = Self::none(self.size.pooled());
        for row in 0..pooled.size.height {
            for column in 0..pooled.size.width {
                let word = column / 32;
                let pair = 3 << (2 * column % 64);
                if (self.row(2 * row)[word] | self.row(2 * row + 1)[word]) & pair != 0 {
                    pooled.add(row, column, column + 1);
                }
            }
        }
        pooled
    }

    /// Whether the set contains any position of a rectangle, which may reach past the map.
    pub(super) fn intersects(&self, rows: Range<usize>, first: usize, end: usize) -> bool {
        let end = end.min(self.size.width);
        if first >= end {
            return false;
        }
        let (word, last) = (first / 64, (end - 1) / 64);
        let from = u64::MAX << (first % 64);
        let to = u64::MAX >> (63 - (end - 1) % 64);
        (rows.start..rows.end.min(self.size.height)).any(|row| {
            let line = self.row(row);
            if word == last {
                line[word] & from & to != 0
            } else {
                line[word] & from != 0
                    || line[last] & to != 0
                    || line[word + 1..last].iter().any(|&w| w != 0)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: MapSize = MapSize { height: 70, width: 150 };

    fn single(row: usize, column: usize) -> PositionMask {
        let mut mask = PositionMask::none(SIZE);
        mask.add(row, column, column + 1);
        mask
    }

    #[test]
    fn dilation_reaches_neighbours_across_words_and_stays_inside_the_map() {
        for (row, column) in [(0, 0), (5, 63), (5, 64), (69, 149), (30, 127)] {
            let dilated = single(row, column).dilated();
            for y in 0..SIZE.height {
                for x in 0..SIZE.width {
                    let near = y.abs_diff(row) <= 1 && x.abs_diff(column) <= 1;
                    assert_eq!(dilated.contains(y, x), near, "({y}, {x}) from ({row}, {column})");
                }
            }
            assert!(!dilated.intersects(0..SIZE.height, SIZE.width, SIZE.width + 9));
        }
    }

    #[test]
    fn a_rectangle_intersects_positions_on_either_side_of_a_word_boundary() {
        let mask = single(9, 64);
        assert!(
            mask.intersects(8..12, 60, 65)
                && mask.intersects(9..10, 64, 66)
                && mask.intersects(0..70, 0, 150)
        );
        assert!(
            !mask.intersects(8..12, 60, 64)
                && !mask.intersects(10..12, 60, 70)
                && !mask.intersects(8..12, 65, 150)
        );
    }
}
