//! One run of a chain: every stage in turn, through buffers that are used again.

use std::ops::Range;

use super::{Batch, Chain, Rest, Tap, Taps, lock};
use crate::lanes::Lanes;
use crate::layout::{pool_maps, to_blocks, to_planes};
use crate::loops::Tile;
use crate::pool::Pool;
use crate::stage::{Means, Source, Stage, Stopped};
use crate::support::{Outline, Work};
use crate::weights::Form;

/// Stages with at least this many tiles an image are run image by image: their maps are large and
/// their weights small. The others are run on the whole batch, which shares one reading of large
/// weights.
const MANY_TILES: usize = 256;

/// One run of a chain.
pub(super) struct Run<'a> {
    pub(super) chain: &'a Chain,
    pub(super) outlines: &'a [Outline],
    /// For each image, for each stage.
    pub(super) works: &'a [Vec<Work>],
    pub(super) rest: Option<&'a Rest>,
    pub(super) means: Means<'a>,
    pub(super) threads: &'a dyn Pool,
}

impl Run<'_> {
    /// Runs all stages on a batch and writes the tensor of each tap.
    pub(super) fn all(&self, batch: Batch<'_>, taps: &mut Taps<'_>) -> Result<(), Stopped> {
        let links = self.outlines.len();
        let is_small = |outline: &Outline| {
            let tiles = outline.size.tiles();
            tiles.height * tiles.width < MANY_TILES
        };
        let split = self.outlines.iter().position(is_small).unwrap_or(links);
        let mut between = self.take();
        if split > 0 {
            let blocks = self.stored_blocks(split - 1);
            fit(&mut between, batch.images * blocks);
            let image_len = batch.data.len() / batch.images.max(1);
            for (image, planes) in batch.data.chunks_exact(image_len.max(1)).enumerate() {
                let one = Batch { data: planes, images: 1, ..batch };
                let to = &mut between[image * blocks..(image + 1) * blocks];
                self.stages(0..split, Feed::Planes(one), image..image + 1, to, taps)?;
            }
        }
        let result = if split < links {
            let mut last = self.take();
            fit(&mut last, batch.images * self.stored_blocks(links - 1));
            let feed = if split > 0 { Feed::Blocks(&between) } else { Feed::Planes(batch) };
            let result = self.stages(split..links, feed, 0..batch.images, &mut last, taps);
            self.give(last);
            result
        } else {
            Ok(())
        };
        self.give(between);
        result
    }

    /// Runs some stages on some images; the last stage's output goes to `output`, tapped ones to
    /// `taps` too.
    fn stages(
        &self,
        range: Range<usize>,
        feed: Feed<'_>,
        images: Range<usize>,
        output: &mut [Lanes],
        taps: &mut Taps<'_>,
    ) -> Result<(), Stopped> {
        let (mut from, mut to, mut unpooled) = (self.take(), self.take(), self.take());
        let mut result = Ok(());
        for index in range.clone() {
            let link = &self.chain.links[index];
            let outline = self.outlines[index];
            let source = match feed {
                _ if index > range.start => Source::Blocks(&from),
                Feed::Blocks(blocks) => Source::Blocks(blocks),
                Feed::Planes(batch) => match &link.weights.form {
                    Form::Direct(_) => Source::Planes(batch.data),
                    Form::Winograd(_) => {
                        fit(
                            &mut from,
                            batch.images * link.weights.in_blocks() * outline.size.area(),
                        );
                        to_blocks(batch, link.weights.in_channels, &mut from, self.threads);
                        Source::Blocks(&from)
                    }
                },
            };
            let stage = Stage {
                weights: &link.weights,
                relu: link.relu,
                pool: outline.stores_pooled(),
                size: outline.size,
                source,
                compute: &self.tiles(index, &images, |work| &work.compute),
                copy: &self.tiles(index, &images, |work| &work.copy),
                rest: self.rest.map(|rest| rest[index].as_slice()),
            };
            let next = if index + 1 == range.end {
                &mut *output
            } else {
                fit(&mut to, images.len() * self.stored_blocks(index));
                &mut to[..]
            };
            let stored = if outline.is_read_unpooled {
                fit(&mut unpooled, images.len() * link.weights.out_blocks() * outline.size.area());
                &mut unpooled[..]
            } else {
                &mut *next
            };
            result = stage.run(stored, self.threads, &self.means);
            if result.is_err() {
                break;
            }
            self.tap(Tap { link: index, is_pooled: stage.pool }, stored, &images, taps);
            if outline.is_read_unpooled {
                pool_maps(&unpooled, outline.size, images.len() * link.weights.out_blocks(), next);
                self.tap(Tap { link: index, is_pooled: true }, next, &images, taps);
            }
            std::mem::swap(&mut from, &mut to);
        }
        [from, to, unpooled].into_iter().for_each(|buffer| self.give(buffer));
        result
    }

    /// A stage's tiles of some kind, of these images, which are its maps.
    fn tiles(
        &self,
        stage: usize,
        images: &Range<usize>,
        kind: fn(&Work) -> &Vec<Tile>,
    ) -> Vec<Tile> {
        let of_map = |(map, work): (usize, &Vec<Work>)| {
            let place = move |tile: &Tile| Tile { map: map as u32, ..*tile };
            kind(&work[stage]).iter().map(place).collect::<Vec<_>>()
        };
        self.works[images.clone()].iter().enumerate().flat_map(of_map).collect()
    }

    /// Runs one image through all stages and keeps what every one of them stores.
    pub(super) fn every_stage(&self, batch: Batch<'_>) -> Result<Rest, Stopped> {
        let mut rest: Rest = Vec::with_capacity(self.outlines.len());
        for index in 0..self.outlines.len() {
            let mut stored = vec![Lanes::ZERO; self.stored_blocks(index)];
            let feed = rest.last().map_or(Feed::Planes(batch), |blocks| Feed::Blocks(blocks));
            self.stages(index..index + 1, feed, 0..1, &mut stored, &mut [])?;
            rest.push(stored);
        }
        Ok(rest)
    }

    /// Blocks of one image that a stage hands to the next.
    fn stored_blocks(&self, index: usize) -> usize {
        let link = &self.chain.links[index];
        link.weights.out_blocks() * link.after(self.outlines[index].size).area()
    }

    /// Hands out what stands at a place in the chain to whoever wants it.
    fn tap(&self, at: Tap, blocks: &[Lanes], images: &Range<usize>, taps: &mut Taps<'_>) {
        let link = &self.chain.links[at.link];
        let size = self.outlines[at.link].size;
        let size = if at.is_pooled { size.pooled() } else { size };
        let channels = link.weights.out_channels;
        let len = channels * size.area();
        for (tap, to) in taps.iter_mut().filter(|(tap, _)| tap.link == at.link) {
            if !link.pool || tap.is_pooled == at.is_pooled {
                let to = &mut to[images.start * len..images.end * len];
                to_planes(blocks, size, channels, to, self.threads);
            }
        }
    }

    fn take(&self) -> Vec<Lanes> {
        lock(&self.chain.maps).pop().unwrap_or_default()
    }

    fn give(&self, buffer: Vec<Lanes>) {
        lock(&self.chain.maps).push(buffer);
    }
}

/// The input of a range of stages.
#[derive(Clone, Copy)]
enum Feed<'a> {
    Planes(Batch<'a>),
    Blocks(&'a [Lanes]),
}

/// Makes a buffer at least so long; what it held is of no use.
fn fit(buffer: &mut Vec<Lanes>, blocks: usize) {
    if buffer.len() < blocks {
        *buffer = vec![Lanes::ZERO; blocks];
    }
}
