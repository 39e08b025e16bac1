//! Which tiles of each stage an image can change at all.
//!
//! Where an image is zero, and far enough from where it is not, every stage
//! computes what it computes for an image of zeros: its state at rest. So those tiles are not
//! computed but copied, and of them only the ones that the next stage reads. The
//! plan is made from the image's zeros alone, before anything is computed.

use crate::loops::{Size, Tile};
use crate::winograd::TILE;

/// A set of places of a map, a bit each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    size: Size,
    words: usize,
    bits: Vec<u64>,
}

impl Places {
    pub(crate) fn none(size: Size) -> Self {
        let words = size.width.div_ceil(64);
        Self { size, words, bits: vec![0; words * size.height] }
    }

    pub(crate) fn all(size: Size) -> Self {
        let mut places = Self::none(size);
        (0..size.height).for_each(|row| places.add(row, 0, size.width));
        places
    }

    /// The places where any of an image's `channels` is not zero; `image` is `[channels, height,
    /// width]`.
    pub(crate) fn not_zero(image: &[f32], size: Size) -> Self {
        let mut places = Self::none(size);
        for channel in image.chunks_exact(size.area()) {
            for (row, line) in channel.chunks_exact(size.width).enumerate() {
                for (word, values) in line.chunks(64).enumerate() {
                    let bits = values
                        .iter()
                        .enumerate()
                        .fold(0, |bits, (bit, &value)| bits | (u64::from(value != 0.0) << bit));
                    places.bits[row * places.words + word] |= bits;
                }
            }
        }
        places
    }

    fn row(&self, row: usize) -> &[u64] {
        &self.bits[row * self.words..(row + 1) * self.words]
    }

    #[cfg(test)]
    fn has(&self, row: usize, column: usize) -> bool {
        self.row(row)[column / 64] >> (column % 64) & 1 == 1
    }

    /// Adds the places of a row from column `first` up to, not including, `end`.
    fn add(&mut self, row: usize, first: usize, end: usize) {
        for column in first..end.min(self.size.width) {
            self.bits[row * self.words + column / 64] |= 1 << (column % 64);
        }
    }

    /// What a 3×3 filter sees of these places: they and their eight neighbours.
    pub(crate) fn grown(&self) -> Self {
        let mut wide = self.clone();
        for row in 0..self.size.height {
            let line = self.row(row);
            for word in 0..self.words {
                let left = if word > 0 { line[word - 1] >> 63 } else { 0 };
                let right = line.get(word + 1).map_or(0, |next| next << 63);
                wide.bits[row * self.words + word] =
                    line[word] | (line[word] << 1 | left) | (line[word] >> 1 | right);
            }
            // Past the last column there is nothing.
            if !self.size.width.is_multiple_of(64) {
                wide.bits[(row + 1) * self.words - 1] &= (1 << (self.size.width % 64)) - 1;
            }
        }
        let mut grown = wide.clone();
        for row in 0..self.size.height {
            for word in 0..self.words {
                let at = |row: usize| wide.bits[row * self.words + word];
                let above = if row > 0 { at(row - 1) } else { 0 };
                let below = if row + 1 < self.size.height { at(row + 1) } else { 0 };
                grown.bits[row * self.words + word] |= above | below;
            }
        }
        grown
    }

    /// The places after a 2×2 pooling that see any of these.
    fn pooled(&self) -> Self {
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

    /// True when any place of a rectangle is in the set; it may reach past the map.
    fn meets(&self, rows: std::ops::Range<usize>, first: usize, end: usize) -> bool {
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

/// What a stage does for one image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// Tiles that the image can change.
    pub(crate) compute: Vec<Tile>,
    /// Tiles at rest that somebody reads.
    pub(crate) copy: Vec<Tile>,
}

/// What planning has to know of a stage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outline {
    /// Of the convolution's output.
    pub(crate) size: Size,
    /// A pooling follows, before the next stage.
    pub(crate) pool: bool,
    /// All of the stage's output is read from outside.
    pub(crate) is_read_whole: bool,
    /// It is read before the pooling, which so can't be part of the stage.
    pub(crate) is_read_unpooled: bool,
}

impl Outline {
    /// The stage itself stores its output pooled.
    pub(crate) fn stores_pooled(&self) -> bool {
        self.pool && !self.is_read_unpooled
    }
}

/// Plans one image, whose places that are not zero are given, through all stages.
pub(crate) fn plan(stages: &[Outline], image: &Places) -> Vec<Work> {
    let mut works = Vec::with_capacity(stages.len());
    let mut changed = image.clone();
    for stage in stages {
        changed = changed.grown();
        let tiles = stage.size.tiles();
        let all = (0..tiles.height).flat_map(|row| {
            (0..tiles.width).map(move |column| Tile {
                map: 0,
                row: row as u16,
                column: column as u16,
            })
        });
        let is_changed = |tile: &Tile| {
            let (row, column) = (TILE * usize::from(tile.row), TILE * usize::from(tile.column));
            stage.is_read_whole || changed.meets(row..row + TILE, column, column + TILE)
        };
        let (compute, copy) = all.partition(is_changed);
        works.push(Work { compute, copy });
        if stage.pool {
            changed = changed.pooled();
        }
    }
    // Of the tiles at rest, keep what the next stage's patches reach; the last stage's are all
    // read.
    for index in 1..stages.len() {
        let needed = reached(&works[index].compute, stages[index].size);
        let before = &stages[index - 1];
        let side = if before.pool { TILE / 2 } else { TILE };
        works[index - 1].copy.retain(|tile| {
            let (row, column) = (side * usize::from(tile.row), side * usize::from(tile.column));
            needed.meets(row..row + side, column, column + side)
        });
    }
    works
}

/// The places of a stage's input that the patches of some tiles cover.
fn reached(tiles: &[Tile], size: Size) -> Places {
    let mut reached = Places::none(size);
    for tile in tiles {
        let (row, column) = (TILE * usize::from(tile.row), TILE * usize::from(tile.column));
        for row in row.saturating_sub(1)..(row + TILE + 1).min(size.height) {
            reached.add(row, column.saturating_sub(1), column + TILE + 1);
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { height: 70, width: 150 };

    fn spot(row: usize, column: usize) -> Places {
        let mut places = Places::none(SIZE);
        places.add(row, column, column + 1);
        places
    }

    #[test]
    fn a_place_grows_to_its_neighbours_across_words_and_not_past_the_edge() {
        for (row, column) in [(0, 0), (5, 63), (5, 64), (69, 149), (30, 127)] {
            let grown = spot(row, column).grown();
            for y in 0..SIZE.height {
                for x in 0..SIZE.width {
                    let near = y.abs_diff(row) <= 1 && x.abs_diff(column) <= 1;
                    assert_eq!(grown.has(y, x), near, "{y},{x} from {row},{column}");
                }
            }
            assert!(!grown.meets(0..SIZE.height, SIZE.width, SIZE.width + 9));
        }
    }

    #[test]
    fn rectangles_meet_places_on_either_side_of_a_word() {
        let places = spot(9, 64);
        assert!(
            places.meets(8..12, 60, 65)
                && places.meets(9..10, 64, 66)
                && places.meets(0..70, 0, 150)
        );
        assert!(
            !places.meets(8..12, 60, 64)
                && !places.meets(10..12, 60, 70)
                && !places.meets(8..12, 65, 150)
        );
    }

    #[test]
    fn only_what_an_image_can_change_is_computed_and_only_what_is_read_is_copied() {
        let size = Size { height: 32, width: 32 };
        let outline =
            |size, pool| Outline { size, pool, is_read_whole: false, is_read_unpooled: false };
        let stages = [outline(size, false), outline(size, true), outline(size.pooled(), false)];
        let mut image = Places::none(size);
        image.add(9, 9, 10);
        let works = plan(&stages, &image);
        let at = |row, column| Tile { map: 0, row, column };
        // Stage 1 changes rows and columns 8..=10, stage 2 7..=11, stage 3 (pooled: 3..=5) 2..=6.
        assert_eq!(works[0].compute, [at(2, 2)]);
        assert_eq!(works[1].compute, [at(1, 1), at(1, 2), at(2, 1), at(2, 2)]);
        assert_eq!(works[2].compute, [at(0, 0), at(0, 1), at(1, 0), at(1, 1)]);
        // Stage 2's patches cover 3..=12 of stage 1: tiles 0 to 3 each way, but the computed one.
        assert_eq!(works[0].copy.len(), 4 * 4 - 1);
        // Stage 3's cover 0..=8 of stage 2 pooled, whose tiles are 2 wide: 0 to 4 each way.
        assert_eq!(works[1].copy.len(), 5 * 5 - 4);
        assert_eq!(works[2].copy.len(), 4 * 4 - 4);
    }

    #[test]
    fn what_is_read_whole_is_computed_whole() {
        let size = Size { height: 8, width: 8 };
        let stage = Outline { size, pool: true, is_read_whole: true, is_read_unpooled: true };
        let works = plan(&[stage], &Places::none(size));
        assert_eq!((works[0].compute.len(), works[0].copy.len()), (4, 0));
    }
}
