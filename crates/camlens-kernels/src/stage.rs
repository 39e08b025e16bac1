//! One convolution of a chain, run on a list of tiles.
//!
//! Small weights stay in a core's cache, so each thread takes a few tiles through
//! all three steps of Winograd's algorithm. Large ones are read from memory, so
//! many tiles take each step together, and the weights are read once for all of them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::lanes::Lanes;
use crate::loops::{Direct, Finish, Kernels, Size, Tile};
use crate::pool::{Pool, Shared};
use crate::steps::{Operands, Steps};
use crate::weights::{Form, Weights};
use crate::winograd::{POSITIONS, TILE};

/// Weights of up to this many bytes stay in a core's cache.
const CACHED_WEIGHTS_BYTES: usize = 3 << 20;
/// What a thread's patches and products may take of it besides.
const CACHED_SCRATCH_BYTES: usize = 640 << 10;
/// Tiles that share one reading of large weights, at most: what is gained by more is little, the
/// memory is not.
const MOST_TILES: usize = 192;
/// Tiles of a piece of direct convolution.
const DIRECT_TILES: usize = 64;

/// The work was told to stop; what it has written so far means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// A stage's input.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// `[map][channel][row][column]`, as the outer world stores maps.
    Planes(&'a [f32]),
    /// `[map][channel block][row][column]`.
    Blocks(&'a [Lanes]),
}

/// One stage's work.
pub(crate) struct Stage<'a> {
    pub(crate) weights: &'a Weights,
    pub(crate) relu: bool,
    /// Store the output pooled.
    pub(crate) pool: bool,
    /// Of the convolution's input and output.
    pub(crate) size: Size,
    pub(crate) source: Source<'a>,
    /// Tiles to compute.
    pub(crate) compute: &'a [Tile],
    /// Tiles to copy from the state at rest.
    pub(crate) copy: &'a [Tile],
    /// The output of an image of zeros: `[1][out block][row][column]`.
    pub(crate) rest: Option<&'a [Lanes]>,
}

/// What running a stage needs besides.
pub(crate) struct Means<'a> {
    pub(crate) kernels: Kernels,
    pub(crate) stop: &'a AtomicBool,
    /// Scratch buffers that are free; they only grow.
    pub(crate) scratch: &'a Mutex<Vec<Vec<Lanes>>>,
}

impl Means<'_> {
    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Runs pieces of work, of which none begins once the flag is raised.
    fn run(&self, threads: &dyn Pool, count: usize, piece: &(dyn Fn(usize) + Sync)) {
        threads.run(count, &|index| {
            if !self.is_stopped() {
                piece(index);
            }
        });
    }

    fn with_scratch(&self, blocks: usize, work: impl FnOnce(&mut [Lanes])) {
        let take = || self.scratch.lock().ok()?.pop();
        let mut buffer = take().unwrap_or_default();
        if buffer.len() < blocks {
            // A new buffer, not a grown one: nothing of the old is worth copying.
            buffer = vec![Lanes::ZERO; blocks];
        }
        work(&mut buffer[..blocks]);
        if let Ok(mut free) = self.scratch.lock() {
            free.push(buffer);
        }
    }
}

impl Stage<'_> {
    /// Of what is stored.
    pub(crate) fn stored(&self) -> Size {
        if self.pool { self.size.pooled() } else { self.size }
    }

    /// Computes and copies its tiles of `output`, `[map][out block][row][column]`.
    ///
    /// # Panics
    /// When a tile lies outside what the source or the output holds; the caller's fault.
    pub(crate) fn run(
        &self,
        output: &mut [Lanes],
        threads: &dyn Pool,
        means: &Means<'_>,
    ) -> Result<(), Stopped> {
        let maps = 1 + self
            .compute
            .iter()
            .chain(self.copy)
            .map(|tile| tile.map as usize)
            .max()
            .unwrap_or(0);
        let is_inside = |tile: &Tile| {
            let tiles = self.size.tiles();
            usize::from(tile.row) < tiles.height && usize::from(tile.column) < tiles.width
        };
        assert!(self.compute.iter().chain(self.copy).all(is_inside), "a tile outside its map");
        assert!(
            output.len() >= maps * self.weights.out_blocks() * self.stored().area(),
            "a short output"
        );
        match self.source {
            Source::Planes(input) => {
                assert!(
                    input.len() >= maps * self.weights.in_channels * self.size.area(),
                    "a short input"
                );
            }
            Source::Blocks(input) => {
                assert!(
                    input.len() >= maps * self.weights.in_blocks() * self.size.area(),
                    "a short input"
                );
            }
        }
        self.copy_rest(output, maps);
        let output = Shared::new(output);
        match (&self.weights.form, self.source) {
            (Form::Direct(weights), Source::Planes(input)) => {
                self.direct(weights, input, output, threads, means);
            }
            (Form::Winograd(weights), Source::Blocks(input)) => {
                let operands = Operands { weights, input, output };
                if self.weights.bytes() <= CACHED_WEIGHTS_BYTES {
                    self.tile_by_tile(operands, threads, means);
                } else {
                    self.step_by_step(operands, threads, means);
                }
            }
            _ => unreachable!("a stage is given its input in the form of its weights"),
        }
        if means.is_stopped() { Err(Stopped) } else { Ok(()) }
    }

    fn copy_rest(&self, output: &mut [Lanes], maps: usize) {
        let Some(rest) = self.rest.filter(|_| !self.copy.is_empty()) else { return };
        let Size { height, width } = self.stored();
        let side = if self.pool { TILE / 2 } else { TILE };
        let area = height * width;
        let out_blocks = self.weights.out_blocks();
        debug_assert!(maps * out_blocks * area <= output.len());
        for tile in self.copy {
            let (top, left) = (side * usize::from(tile.row), side * usize::from(tile.column));
            let columns = left.min(width)..(left + side).min(width);
            for block in 0..out_blocks {
                let map = (tile.map as usize * out_blocks + block) * area;
                for row in top..(top + side).min(height) {
                    let from = block * area + row * width;
                    let to = map + row * width;
                    output[to + columns.start..to + columns.end]
                        .copy_from_slice(&rest[from + columns.start..from + columns.end]);
                }
            }
        }
    }

    /// How tiles of one out block are finished.
    pub(crate) fn finish(&self, block: usize, output: Shared<Lanes>) -> Finish {
        let area = self.stored().area();
        Finish {
            bias: self.weights.bias[block],
            relu: self.relu,
            pool: self.pool,
            size: self.size,
            // Inside the output: `run` has checked its length.
            output: output.get().wrapping_add(block * area),
            map_stride: self.weights.out_blocks() * area,
        }
    }

    fn direct(
        &self,
        weights: &[Lanes],
        input: &[f32],
        output: Shared<Lanes>,
        threads: &dyn Pool,
        means: &Means<'_>,
    ) {
        let channels = self.weights.in_channels;
        let pieces = self.compute.len().div_ceil(DIRECT_TILES);
        let finishes: Vec<Finish> =
            (0..self.weights.out_blocks()).map(|block| self.finish(block, output)).collect();
        means.run(threads, pieces, &|piece| {
            let first = piece * DIRECT_TILES;
            let tiles = &self.compute[first..self.compute.len().min(first + DIRECT_TILES)];
            let job = Direct {
                tiles,
                input: input.as_ptr(),
                channels,
                weights: weights.as_ptr(),
                finishes: &finishes,
                size: self.size,
            };
            // SAFETY: `run` has checked both buffers; no two pieces have a tile in common.
            unsafe { (means.kernels.direct)(&job) };
        });
    }

    /// The tiles of one of `parts` parts of like size, so that none is left with a few tiles.
    fn part(&self, index: usize, parts: usize) -> &[Tile] {
        let count = self.compute.len();
        &self.compute[index * count / parts..(index + 1) * count / parts]
    }

    /// Takes some tiles through Winograd's steps.
    fn with_steps(
        &self,
        operands: Operands<'_>,
        tiles: &[Tile],
        means: &Means<'_>,
        work: impl FnOnce(&Steps<'_>),
    ) {
        means.with_scratch(Steps::scratch(self, tiles), |scratch| {
            work(&Steps::new(self, operands, tiles, scratch, means.kernels));
        });
    }

    /// Each piece takes some tiles from patches to outputs.
    fn tile_by_tile(&self, operands: Operands<'_>, threads: &dyn Pool, means: &Means<'_>) {
        let (ins, outs) = (self.weights.in_blocks(), self.weights.out_blocks());
        let room = CACHED_SCRATCH_BYTES / (POSITIONS * (ins + outs) * size_of::<Lanes>());
        let most = (room / 12 * 12).clamp(12, 96);
        let pieces = self.compute.len().div_ceil(most);
        means.run(threads, pieces, &|piece| {
            self.with_steps(operands, self.part(piece, pieces), means, |steps| {
                (0..ins).for_each(|block| steps.gather(block));
                (0..POSITIONS).for_each(|position| steps.multiply(position, 0..outs));
                (0..outs).for_each(|block| steps.scatter(block));
            });
        });
    }

    /// All pieces take one step of many tiles, then the next.
    fn step_by_step(&self, operands: Operands<'_>, threads: &dyn Pool, means: &Means<'_>) {
        let (ins, outs) = (self.weights.in_blocks(), self.weights.out_blocks());
        // Each thread takes its share of the out blocks; pairs stay together, since the product
        // takes them two at a time.
        let shares = if outs >= 2 * threads.threads() { threads.threads() } else { 1 };
        let cut = |share: usize| (outs.div_ceil(2) * share / shares * 2).min(outs);
        let rounds = self.compute.len().div_ceil(MOST_TILES);
        for round in (0..rounds).take_while(|_| !means.is_stopped()) {
            self.with_steps(operands, self.part(round, rounds), means, |steps| {
                means.run(threads, ins, &|block| steps.gather(block));
                means.run(threads, POSITIONS * shares, &|piece| {
                    let (position, share) = (piece / shares, piece % shares);
                    steps.multiply(position, cut(share)..cut(share + 1));
                });
                means.run(threads, outs, &|block| steps.scatter(block));
            });
        }
    }
}
