//! Equal patches: which positions of a layer see exactly the same values.
//!
//! The outputs of a tile are rounded differently at its different positions, so two positions with
//! equal input patches get outputs that differ in the last digit. A flat background is full of such
//! positions, and max pooling then picks one of them at random instead of the first. Where a run
//! asks for it, every position gets the output of the first position with an equal patch.
//!
//! Which patches are equal follows from the image: a position of a layer is identified by a hash of
//! the identities that it reads. The plan is made before anything is computed.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::geometry::MapSize;
use super::sparsity::LayerTraits;
use crate::block16::Block16;
use crate::executor::Executor;
use crate::shared_mut::SharedMut;

/// For one image and one layer, the positions that repeat an earlier one, as `[from, to]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LayerRepeats {
    /// In the convolution's output.
    pub(super) unpooled: Vec<[u32; 2]>,
    /// In the output of the layer's max pooling.
    pub(super) pooled: Vec<[u32; 2]>,
}

/// Which of a layer's outputs the caller reads, before and after its max pooling.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ReadOutputs {
    pub(super) unpooled: bool,
    pub(super) pooled: bool,
}

/// Finds the repeats of the outputs that are read, for one image `[C, H, W]`.
pub(super) fn repeats(
    layers: &[(LayerTraits, ReadOutputs)],
    image: &[f32],
    size: MapSize,
) -> Vec<LayerRepeats> {
    let mut repeats = vec![LayerRepeats::default(); layers.len()];
    let Some(last) = layers.iter().rposition(|(_, read)| read.unpooled || read.pooled) else {
        return repeats;
    };
    let mut ids = PatchIds::of_image(image, size);
    for (found, (layer, read)) in repeats.iter_mut().zip(&layers[..=last]) {
        ids = ids.convolved();
        if read.unpooled {
            found.unpooled = ids.repeats();
            // Patches that all differ lead to patches that all differ.
            if found.unpooled.is_empty() {
                break;
            }
        }
        if layer.max_pool {
            ids = ids.pooled();
            if read.pooled {
                found.pooled = ids.repeats();
                if found.pooled.is_empty() {
                    break;
                }
            }
        }
    }
    repeats
}

/// Copies the outputs of earlier positions to those that repeat them, in `blocks` channel blocks of
/// `area` positions.
pub(super) fn copy_repeats(
    repeats: &[[u32; 2]],
    maps: &mut [Block16],
    area: usize,
    executor: &dyn Executor,
) {
    if repeats.is_empty() {
        return;
    }
    let blocks = maps.len() / area;
    let maps = SharedMut::new(maps);
    executor.run(blocks, &|block| {
        // SAFETY: each task takes a channel block of its own, inside the maps.
        let map = unsafe { std::slice::from_raw_parts_mut(maps.get().add(block * area), area) };
        for &[from, to] in repeats {
            map[to as usize] = map[from as usize];
        }
    });
}

/// Odd factors with well-spread bits: the fractional parts of square roots of primes.
const FACTORS: [u64; 4] =
    [0x6A09_E667_F3BC_C909, 0xBB67_AE85_84CA_A73B, 0x3C6E_F372_FE94_F82B, 0xA54F_F53A_5F1D_36F1];

/// Spreads every bit of a value over all bits.
fn mixed(value: u64) -> u64 {
    let value = (value ^ value >> 32).wrapping_mul(FACTORS[3]);
    value ^ value >> 29
}

/// The identity of three neighbours in order.
fn joined(three: [u64; 3]) -> u64 {
    let sum = |sum: u64, (id, factor): (u64, &u64)| sum.wrapping_add(id.wrapping_mul(*factor));
    mixed(three.into_iter().zip(&FACTORS).fold(0, sum))
}

/// An identity for each position of a map: equal where the values in all channels are.
struct PatchIds {
    size: MapSize,
    ids: Vec<u64>,
    /// The identity of the padding around the map.
    padding: u64,
}

impl PatchIds {
    fn of_image(image: &[f32], size: MapSize) -> Self {
        let mut ids = vec![0_u64; size.area()];
        let mut padding = 0;
        let next = |id: u64, value: f32| {
            // Adding zero makes the two zeros one.
            mixed(id.wrapping_mul(FACTORS[0]).wrapping_add(u64::from((value + 0.0).to_bits()) + 1))
        };
        for channel in image.chunks_exact(size.area().max(1)) {
            ids.iter_mut().zip(channel).for_each(|(id, &value)| *id = next(*id, value));
            // An image's zeros are like its padding.
            padding = next(padding, 0.0);
        }
        Self { size, ids, padding }
    }

    /// The identities of the 3×3 patches around each position.
    fn convolved(&self) -> Self {
        let MapSize { height, width } = self.size;
        let mut rows = Vec::with_capacity(self.ids.len());
        for line in self.ids.chunks_exact(width.max(1)) {
            let at = |column: usize| line.get(column).copied().unwrap_or(self.padding);
            rows.push(joined([self.padding, at(0), at(1)]));
            rows.extend(line.array_windows().map(|&three: &[u64; 3]| joined(three)));
            if width > 1 {
                rows.push(joined([at(width - 2), at(width - 1), self.padding]));
            }
        }
        let outside = vec![joined([self.padding; 3]); width];
        let line = |row: usize| rows.get(row * width..(row + 1) * width).unwrap_or(&outside);
        let mut ids = Vec::with_capacity(self.ids.len());
        for row in 0..height {
            let above = if row > 0 { line(row - 1) } else { &outside };
            let lines = above.iter().zip(line(row)).zip(line(row + 1));
            ids.extend(lines.map(|((&above, &at), &below)| joined([above, at, below])));
        }
        // No output of this layer is known to be zero, as the next layer's padding is.
        Self { size: self.size, ids, padding: 0 }
    }

    /// The identities after 2×2 pooling with stride 2.
    fn pooled(&self) -> Self {
        let size = self.size.pooled();
        let mut ids = Vec::with_capacity(size.area());
        for row in 0..size.height {
            let [above, below] = [0, 1].map(|half| {
                let start = (2 * row + half) * self.size.width;
                self.ids[start..start + self.size.width].as_chunks::<2>().0
            });
            ids.extend(
                above
                    .iter()
                    .zip(below)
                    .map(|(&[a, b], &[c, d])| joined([joined([a, b, 0]), joined([c, d, 0]), 1])),
            );
        }
        Self { size, ids, padding: self.padding }
    }

    /// The positions whose identity occurred before, each with the first such position.
    fn repeats(&self) -> Vec<[u32; 2]> {
        let mut first = HashMap::with_capacity_and_hasher(
            self.ids.len(),
            BuildHasherDefault::<IdentityHasher>::default(),
        );
        let mut repeats = Vec::new();
        for (position, &id) in (0_u32..).zip(&self.ids) {
            let from = *first.entry(id).or_insert(position);
            if from != position {
                repeats.push([from, position]);
            }
        }
        repeats
    }
}

/// Takes the identities as hashes, which they are.
#[derive(Default)]
struct IdentityHasher(u64);

impl Hasher for IdentityHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = mixed(self.0 ^ u64::from(byte));
        }
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = id;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: MapSize = MapSize { height: 6, width: 9 };

    /// Whether two positions of a layer have the same identity.
    fn are_equal(ids: &PatchIds, [a, b]: [[usize; 2]; 2]) -> bool {
        let at = |[row, column]: [usize; 2]| ids.ids[row * ids.size.width + column];
        at(a) == at(b)
    }

    #[test]
    fn patches_are_equal_where_all_nine_values_are() {
        // Two channels, zero but for one value in the second.
        let mut image = vec![0.0; 2 * SIZE.area()];
        image[SIZE.area() + 2 * SIZE.width + 3] = 1.0;
        image[5 * SIZE.width + 8] = -0.0;
        let one = PatchIds::of_image(&image, SIZE).convolved();
        for position in 0..SIZE.area() {
            let (row, column) = (position / SIZE.width, position % SIZE.width);
            let is_near = row.abs_diff(2) <= 1 && column.abs_diff(3) <= 1;
            assert_eq!(are_equal(&one, [[5, 8], [row, column]]), !is_near, "({row}, {column})");
        }
        // The first layer's padding is like the image's zeros; the second's is not.
        let two = one.convolved();
        assert!(are_equal(&two, [[3, 6], [4, 7]]));
        assert!(!are_equal(&two, [[3, 6], [3, 8]]));
        assert!(are_equal(&two, [[3, 8], [4, 8]]));
    }

    #[test]
    fn repeats_name_the_first_equal_position() {
        let traits = LayerTraits {
            size: SIZE,
            max_pool: true,
            is_output: true,
            is_output_before_pooling: true,
        };
        let read = ReadOutputs { unpooled: true, pooled: true };
        let image: Vec<f32> = (0..SIZE.area()).map(|i| (i / SIZE.width) as f32).collect();
        let found = repeats(&[(traits, read)], &image, SIZE);
        // Every row but its first and last position repeats its second.
        let expected: Vec<[u32; 2]> =
            (0..6).flat_map(|row| (2..8).map(move |x| [9 * row + 1, 9 * row + x])).collect();
        assert_eq!(found[0].unpooled, expected);
        assert_eq!(found[0].pooled, [[1, 2], [1, 3], [5, 6], [5, 7], [9, 10], [9, 11]]);
        let noise: Vec<f32> = (0..SIZE.area()).map(|i| i as f32).collect();
        assert_eq!(repeats(&[(traits, read)], &noise, SIZE), [LayerRepeats::default()]);
    }
}
