//! The four inner loops, and which build of them this processor gets.
//!
//! They work through raw pointers, because several threads write disjoint parts
//! of one buffer. Each says in its `# Safety` what must hold; [`crate::stage`] and
//! [`crate::steps`] are the only ones that call them.

#![expect(
    clippy::needless_range_loop,
    reason = "short fixed ranges, whose indices are the algebra"
)]

use crate::lanes::Lanes;
use crate::simd::{Portable, Processor, Simd};
use crate::winograd::{PATCH, TILE, transform_patch, transform_tile};

/// Convolutions of up to this many input channels are computed as written: most of a block would be
/// empty.
pub(crate) const FEW_CHANNELS: usize = 8;

/// Where a tile of outputs lies: the map it belongs to and its row and column, in tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Tile {
    pub(crate) map: u32,
    pub(crate) row: u16,
    pub(crate) column: u16,
}

/// Rows and columns of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl Size {
    /// Places in a map.
    pub(crate) const fn area(self) -> usize {
        self.height * self.width
    }

    /// Rows and columns of tiles; the last of each may be part empty.
    pub(crate) const fn tiles(self) -> Self {
        Self { height: self.height.div_ceil(TILE), width: self.width.div_ceil(TILE) }
    }

    /// After a 2×2 pooling with stride 2, which drops an odd last row or column.
    pub(crate) const fn pooled(self) -> Self {
        Self { height: self.height / 2, width: self.width / 2 }
    }
}

/// Strides of a scratch buffer, in blocks: `[position][channel block][tile]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strides {
    pub(crate) position: usize,
    pub(crate) block: usize,
}

/// Patches of the input, transformed: `scratch[p][block][t] = (Bᵀ d B)[p]` for tile t.
pub(crate) struct Gather<'a> {
    pub(crate) tiles: &'a [Tile],
    pub(crate) size: Size,
    /// The first channel block of the first map; maps lie `map_stride` blocks apart.
    pub(crate) input: *const Lanes,
    pub(crate) map_stride: usize,
    /// Where the first tile of the same channel block goes, at position 0.
    pub(crate) scratch: *mut Lanes,
    pub(crate) strides: Strides,
}

/// One position's matrix product: `products[o][t] = Σ_c weights[o][c] · patches[c][t]`.
pub(crate) struct Multiply {
    /// `[out block][in channel]`, from the first out block that is wanted.
    pub(crate) weights: *const Lanes,
    pub(crate) in_blocks: usize,
    pub(crate) out_blocks: usize,
    pub(crate) tiles: usize,
    /// `[in block][tile]`.
    pub(crate) patches: *const Lanes,
    pub(crate) patches_stride: usize,
    /// `[out block][tile]`.
    pub(crate) products: *mut Lanes,
    pub(crate) products_stride: usize,
}

/// How a tile of outputs is finished and stored.
pub(crate) struct Finish {
    pub(crate) bias: Lanes,
    pub(crate) relu: bool,
    pub(crate) pool: bool,
    /// Of the convolution's output, before pooling.
    pub(crate) size: Size,
    /// The wanted channel block of the first map; maps lie `map_stride` blocks apart.
    pub(crate) output: *mut Lanes,
    pub(crate) map_stride: usize,
}

/// Products brought back to tiles of outputs, for one channel block.
pub(crate) struct Scatter<'a> {
    pub(crate) tiles: &'a [Tile],
    /// The block's products of the first tile at position 0.
    pub(crate) products: *const Lanes,
    pub(crate) position_stride: usize,
    pub(crate) finish: Finish,
}

// SAFETY: its pointer is shared by pieces of one stage, each of which writes tiles of its own.
unsafe impl Sync for Finish {}

/// Tiles of outputs from few input channels, computed as the convolution is written, for all out
/// blocks.
pub(crate) struct Direct<'a> {
    pub(crate) tiles: &'a [Tile],
    /// `[map][channel][row][column]`.
    pub(crate) input: *const f32,
    pub(crate) channels: usize,
    /// `[out block][channel][filter row][filter column]`.
    pub(crate) weights: *const Lanes,
    /// One for each out block.
    pub(crate) finishes: &'a [Finish],
    pub(crate) size: Size,
}

/// The inner loops for one kind of processor.
#[derive(Clone, Copy)]
pub(crate) struct Kernels {
    pub(crate) name: &'static str,
    pub(crate) gather: unsafe fn(&Gather<'_>),
    pub(crate) multiply: unsafe fn(&Multiply),
    pub(crate) scatter: unsafe fn(&Scatter<'_>),
    pub(crate) direct: unsafe fn(&Direct<'_>),
}

impl Kernels {
    /// Those for this kind.
    pub(crate) const fn of(processor: Processor) -> Self {
        match processor {
            Processor::Portable => portable::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Processor::Avx2 => avx2::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Processor::Avx512 => avx512::KERNELS,
            #[cfg(target_arch = "aarch64")]
            Processor::Neon => neon::KERNELS,
        }
    }

    /// The best that this processor can run.
    pub(crate) fn detect() -> Self {
        Self::of(Processor::detect())
    }

    /// All that this processor can run, for tests to hold against each other.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Self> {
        Processor::all().into_iter().map(Self::of).collect()
    }
}

/// Builds the loops for one implementation of [`Simd`]: how many out blocks and tiles the product
/// keeps in registers at once is what its register file holds.
macro_rules! kernels {
    ($module:ident, $simd:ty, $name:literal, $out_blocks:literal, [$($tiles:literal),+], $(#[$features:meta])?) => {
        mod $module {
            use super::*;

            pub(crate) const KERNELS: Kernels =
                Kernels { name: $name, gather, multiply, scatter, direct };

            $(#[$features])?
            unsafe fn gather(job: &Gather<'_>) {
                // SAFETY: the caller's promise, which includes that the processor has the features.
                unsafe { super::gather::<$simd>(job) }
            }

            $(#[$features])?
            unsafe fn scatter(job: &Scatter<'_>) {
                // SAFETY: as above.
                unsafe { super::scatter::<$simd>(job) }
            }

            $(#[$features])?
            unsafe fn direct(job: &Direct<'_>) {
                // SAFETY: as above.
                unsafe { super::direct::<$simd>(job) }
            }

            $(#[$features])?
            unsafe fn multiply(job: &Multiply) {
                const MOST: usize = [$($tiles),+].len();
                // Groups of like size: 16 tiles are 8 and 8, not 12 and 4.
                let groups = job.tiles.div_ceil(MOST).max(1);
                let mut block = 0;
                while block < job.out_blocks {
                    let blocks = $out_blocks.min(job.out_blocks - block);
                    let mut done = 0;
                    for group in 0..groups {
                        let count = (job.tiles * (group + 1)) / groups - done;
                        // SAFETY: as above; block and done stay inside the job.
                        unsafe {
                            match (blocks, count) {
                                $(($out_blocks, $tiles) => product::<$simd, $out_blocks, $tiles>(job, block, done),
                                  (_, $tiles) => product::<$simd, 1, $tiles>(job, block, done),)+
                                _ => {}
                            }
                        }
                        done += count;
                    }
                    block += blocks;
                }
            }
        }
    };
}

kernels!(portable, Portable, "portable", 2, [1, 2, 3, 4],);
#[cfg(target_arch = "x86_64")]
kernels!(avx2, crate::simd::x86::Avx2, "avx2", 1, [1, 2, 3, 4, 5, 6], #[target_feature(enable = "avx2,fma")]);
#[cfg(target_arch = "x86_64")]
kernels!(
    avx512, crate::simd::x86::Avx512, "avx512", 2, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    #[target_feature(enable = "avx512f")]
);
#[cfg(target_arch = "aarch64")]
kernels!(neon, crate::simd::arm::Neon, "neon", 1, [1, 2, 3, 4, 5, 6],);

/// # Safety
/// The processor has S's instructions; `input` holds every map of `tiles` at `size`, `scratch` a
/// block for each position and tile.
#[inline(always)]
unsafe fn gather<S: Simd>(job: &Gather<'_>) {
    let Size { height, width } = job.size;
    for (index, tile) in job.tiles.iter().enumerate() {
        // SAFETY: the caller's promise; rows and columns outside the map are not read.
        unsafe {
            let map = job.input.add(tile.map as usize * job.map_stride);
            // The patch begins one row and one column before its tile.
            let (row, column) = (TILE * usize::from(tile.row), TILE * usize::from(tile.column));
            let is_inside =
                row > 0 && column > 0 && row + PATCH - 1 <= height && column + PATCH - 1 <= width;
            let patch = if is_inside {
                let corner = map.add((row - 1) * width + column - 1);
                transform_patch::<S>(
                    #[inline(always)]
                    |y, x| S::load(corner.add(y * width + x)),
                )
            } else {
                let mut padded = [[Lanes::ZERO; PATCH]; PATCH];
                for (y, line) in
                    padded.iter_mut().enumerate().filter(|(y, _)| (1..=height).contains(&(row + y)))
                {
                    for (x, place) in line.iter_mut().enumerate() {
                        if (1..=width).contains(&(column + x)) {
                            *place = *map.add((row + y - 1) * width + column + x - 1);
                        }
                    }
                }
                transform_patch::<S>(
                    #[inline(always)]
                    |y, x| S::load(&raw const padded[y][x]),
                )
            };
            for (y, line) in patch.iter().enumerate() {
                for (x, value) in line.iter().enumerate() {
                    S::store(
                        job.scratch.add((PATCH * y + x) * job.strides.position + index),
                        *value,
                    );
                }
            }
        }
    }
}

/// `BLOCKS` out blocks of `TILES` tiles, from out block `block` and tile `first` on.
///
/// # Safety
/// The processor has S's instructions; the job's buffers hold what its strides say.
#[inline(always)]
unsafe fn product<S: Simd, const BLOCKS: usize, const TILES: usize>(
    job: &Multiply,
    block: usize,
    first: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let channels = job.in_blocks * Lanes::COUNT;
        let mut sums = [[S::splat(0.0); TILES]; BLOCKS];
        let mut weights = job.weights.add(block * channels);
        for in_block in 0..job.in_blocks {
            let patches: *const f32 = job.patches.add(in_block * job.patches_stride + first).cast();
            for lane in 0..Lanes::COUNT {
                let mut columns = [S::splat(0.0); BLOCKS];
                for (b, column) in columns.iter_mut().enumerate() {
                    *column = S::load(weights.add(b * channels));
                }
                for t in 0..TILES {
                    let value = S::splat(*patches.add(t * Lanes::COUNT + lane));
                    for b in 0..BLOCKS {
                        sums[b][t] = S::mul_add(columns[b], value, sums[b][t]);
                    }
                }
                weights = weights.add(1);
            }
        }
        for (b, line) in sums.iter().enumerate() {
            let to = job.products.add((block + b) * job.products_stride + first);
            for (t, sum) in line.iter().enumerate() {
                S::store(to.add(t), *sum);
            }
        }
    }
}

/// # Safety
/// The processor has S's instructions; `products` holds all positions of all tiles, the output
/// every map.
#[inline(always)]
unsafe fn scatter<S: Simd>(job: &Scatter<'_>) {
    for (index, tile) in job.tiles.iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe {
            let outputs = transform_tile::<S>(job.products.add(index), job.position_stride);
            finish_tile::<S>(&job.finish, *tile, outputs);
        }
    }
}

/// Adds the bias, takes the ReLU, pools if asked to, and stores what lies inside the map.
///
/// # Safety
/// The processor has S's instructions; the output holds the tile's map.
#[inline(always)]
unsafe fn finish_tile<S: Simd>(job: &Finish, tile: Tile, mut outputs: [[S::V; TILE]; TILE]) {
    // SAFETY: the caller's promise; what lies outside the map is not written.
    unsafe {
        let (bias, zero) = (S::load(&raw const job.bias), S::splat(0.0));
        for value in outputs.as_flattened_mut() {
            *value = S::add(*value, bias);
            if job.relu {
                *value = S::max(zero, *value);
            }
        }
        let map = job.output.add(tile.map as usize * job.map_stride);
        let (row, column) = (TILE * usize::from(tile.row), TILE * usize::from(tile.column));
        if job.pool {
            let Size { height, width } = job.size.pooled();
            for y in 0..TILE / 2 {
                for x in 0..TILE / 2 {
                    if row / 2 + y < height && column / 2 + x < width {
                        let above = S::max(outputs[2 * y][2 * x], outputs[2 * y][2 * x + 1]);
                        let below =
                            S::max(outputs[2 * y + 1][2 * x], outputs[2 * y + 1][2 * x + 1]);
                        S::store(
                            map.add((row / 2 + y) * width + column / 2 + x),
                            S::max(above, below),
                        );
                    }
                }
            }
        } else {
            let Size { height, width } = job.size;
            for (y, line) in outputs.iter().enumerate().filter(|(y, _)| row + y < height) {
                for (x, value) in line.iter().enumerate().filter(|(x, _)| column + x < width) {
                    S::store(map.add((row + y) * width + column + x), *value);
                }
            }
        }
    }
}

/// # Safety
/// The processor has S's instructions; `input` holds every map of `tiles`, `weights` nine blocks
/// for each channel and out block; there are at most [`FEW_CHANNELS`] channels.
#[inline(always)]
unsafe fn direct<S: Simd>(job: &Direct<'_>) {
    let Size { height, width } = job.size;
    for tile in job.tiles {
        let (row, column) = (TILE * usize::from(tile.row), TILE * usize::from(tile.column));
        // What lies outside the map stays zero, in every tile of it the same places.
        let mut patch = [[[0.0_f32; PATCH]; PATCH]; FEW_CHANNELS];
        let rows = row.saturating_sub(1)..(row + PATCH - 1).min(height);
        let (left, right) = (column.saturating_sub(1), (column + PATCH - 1).min(width));
        for (channel, plane) in patch.iter_mut().enumerate().take(job.channels) {
            for from in rows.clone() {
                // SAFETY: the caller's promise, and rows and columns inside the map.
                let line = unsafe {
                    let map = job
                        .input
                        .add((tile.map as usize * job.channels + channel) * height * width);
                    std::slice::from_raw_parts(map.add(from * width + left), right - left)
                };
                plane[from + 1 - row][left + 1 - column..right + 1 - column].copy_from_slice(line);
            }
        }
        for (block, finish) in job.finishes.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe {
                let mut sums = [[S::splat(0.0); TILE]; TILE];
                for (channel, plane) in patch.iter().enumerate().take(job.channels) {
                    let weights = job.weights.add(9 * (block * job.channels + channel));
                    for filter_y in 0..3 {
                        for filter_x in 0..3 {
                            let weight = S::load(weights.add(3 * filter_y + filter_x));
                            for y in 0..TILE {
                                for x in 0..TILE {
                                    let value = S::splat(plane[y + filter_y][x + filter_x]);
                                    sums[y][x] = S::mul_add(weight, value, sums[y][x]);
                                }
                            }
                        }
                    }
                }
                finish_tile::<S>(finish, *tile, sums);
            }
        }
    }
}
