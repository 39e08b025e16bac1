//! A chain of convolutions, run from the outer world's layout to the outer world's layout.
//!
//! A [`Chain`] knows its links and what they give for an image of zeros; before each run it plans
//! which tiles of which stage are computed (`support`), and then runs them (`run`).

mod run;

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::run::Run;
use crate::lanes::Lanes;
use crate::loops::{Kernels, Size};
use crate::pool::Pool;
use crate::stage::{Means, Stopped};
use crate::support::{Outline, Places, Work, plan};
use crate::weights::{Form, Weights};

/// One convolution of a chain, and what follows it.
#[derive(Clone)]
pub struct Link {
    /// The convolution: 3×3, stride 1, padding 1.
    pub weights: Arc<Weights>,
    /// `max(0, x)` follows.
    pub relu: bool,
    /// A 2×2 maximum with stride 2 follows, after the ReLU.
    pub pool: bool,
}

impl Link {
    /// The size of what the next link reads, for a convolution of this size.
    fn after(&self, size: Size) -> Size {
        if self.pool { size.pooled() } else { size }
    }
}

/// A place in a chain whose tensor is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tap {
    /// The link.
    pub link: usize,
    /// Behind its pooling, if it has one, or before.
    pub is_pooled: bool,
}

/// A batch of images, `[N, C, H, W]`.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The numbers.
    pub data: &'a [f32],
    /// N.
    pub images: usize,
    /// H.
    pub height: usize,
    /// W.
    pub width: usize,
}

/// What is wanted besides the numbers.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// Raised to stop the work between two pieces of a stage.
    pub stop: &'a AtomicBool,
    /// Leave out what an image's zeros can't change.
    pub skip_rest: bool,
}

/// A chain of convolutions, ready to run; shared by all who run it.
pub struct Chain {
    links: Vec<Link>,
    kernels: Kernels,
    /// The outputs of every stage for an image of zeros, by the image's size.
    rest: Mutex<HashMap<(usize, usize), Arc<Rest>>>,
    scratch: Mutex<Vec<Vec<Lanes>>>,
    maps: Mutex<Vec<Vec<Lanes>>>,
}

/// `[1][out block][row][column]` of every stage.
type Rest = Vec<Vec<Lanes>>;

/// The places whose tensors are wanted, each with where it goes.
type Taps<'t> = [(Tap, &'t mut [f32])];

impl Chain {
    /// Makes a chain.
    ///
    /// # Errors
    /// When there is no link, or a link does not take what the one before it gives.
    pub fn new(links: Vec<Link>) -> Result<Self, String> {
        if links.is_empty() {
            return Err("a chain without links".into());
        }
        for pair in links.windows(2) {
            let (gives, takes) = (pair[0].weights.out_channels, pair[1].weights.in_channels);
            if gives != takes || matches!(pair[1].weights.form, Form::Direct(_)) {
                return Err(format!("a link of {takes} channels after one of {gives}"));
            }
        }
        Ok(Self {
            links,
            kernels: Kernels::detect(),
            rest: Mutex::default(),
            scratch: Mutex::default(),
            maps: Mutex::default(),
        })
    }

    /// The instructions that this processor runs it with.
    #[must_use]
    pub fn instructions(&self) -> &'static str {
        self.kernels.name
    }

    /// `[C, H, W]` at a tap, for images of this height and width.
    #[must_use]
    pub fn shape(&self, tap: Tap, height: usize, width: usize) -> [usize; 3] {
        let mut size = Size { height, width };
        for link in &self.links[..tap.link] {
            size = link.after(size);
        }
        if tap.is_pooled {
            size = self.links[tap.link].after(size);
        }
        [self.links[tap.link].weights.out_channels, size.height, size.width]
    }

    /// Runs the chain and writes the tensor of each tap, `[N, C, H, W]`.
    ///
    /// # Errors
    /// [`Stopped`] when the settings' flag was raised.
    ///
    /// # Panics
    /// When a slice is not as long as its shape says.
    pub fn run(
        &self,
        batch: Batch<'_>,
        taps: &mut [(Tap, &mut [f32])],
        threads: &dyn Pool,
        settings: Settings<'_>,
    ) -> Result<(), Stopped> {
        let size = Size { height: batch.height, width: batch.width };
        let channels = self.links[0].weights.in_channels;
        assert_eq!(batch.data.len(), batch.images * channels * size.area(), "the input's length");
        for (tap, to) in taps.iter() {
            let shape = self.shape(*tap, batch.height, batch.width);
            assert_eq!(to.len(), batch.images * shape.iter().product::<usize>(), "a tap's length");
        }
        let means = Means { kernels: self.kernels, stop: settings.stop, scratch: &self.scratch };
        let outlines = self.outlines(size, taps);
        let works: Vec<Vec<Work>> = (batch.data.chunks_exact((channels * size.area()).max(1)))
            .map(|image| {
                let places = if settings.skip_rest {
                    Places::not_zero(image, size)
                } else {
                    Places::all(size)
                };
                plan(&outlines, &places)
            })
            .collect();
        let has_rest = works.iter().flatten().any(|work| !work.copy.is_empty());
        let rest = if has_rest { Some(self.rest(size, threads, settings.stop)?) } else { None };
        let run = Run {
            chain: self,
            outlines: &outlines,
            works: &works,
            rest: rest.as_deref(),
            means,
            threads,
        };
        run.all(batch, taps)
    }

    /// Every stage as planning sees it. What is tapped before its pooling is stored unpooled and
    /// pooled after.
    fn outlines(&self, size: Size, taps: &Taps<'_>) -> Vec<Outline> {
        let mut size = size;
        let mut outlines = Vec::with_capacity(self.links.len());
        for (index, link) in self.links.iter().enumerate() {
            let mut of_link = taps.iter().filter(|(tap, _)| tap.link == index);
            let is_last = index + 1 == self.links.len();
            let is_read_unpooled = of_link.clone().any(|(tap, _)| link.pool && !tap.is_pooled);
            // What the last stage stores is whole in any case.
            let is_read_whole = is_read_unpooled || (!is_last && of_link.next().is_some());
            outlines.push(Outline { size, pool: link.pool, is_read_whole, is_read_unpooled });
            size = link.after(size);
        }
        outlines
    }

    /// The state at rest, computed when it is first needed.
    fn rest(
        &self,
        size: Size,
        threads: &dyn Pool,
        stop: &AtomicBool,
    ) -> Result<Arc<Rest>, Stopped> {
        let key = (size.height, size.width);
        if let Some(rest) = lock(&self.rest).get(&key) {
            return Ok(Arc::clone(rest));
        }
        let zeros = vec![0.0; self.links[0].weights.in_channels * size.area()];
        let batch = Batch { data: &zeros, images: 1, height: size.height, width: size.width };
        let outlines = self.outlines(size, &[]);
        let works = [plan(&outlines, &Places::all(size))];
        let means = Means { kernels: self.kernels, stop, scratch: &self.scratch };
        let run =
            Run { chain: self, outlines: &outlines, works: &works, rest: None, means, threads };
        let rest = Arc::new(run.every_stage(batch)?);
        lock(&self.rest).insert(key, Arc::clone(&rest));
        Ok(rest)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Serial;

    const SIZE: Size = Size { height: 24, width: 40 };

    fn chain(kernels: Kernels) -> Chain {
        let value = |index: usize| ((index * 37 % 101) as f32 / 101.0 - 0.5) / 6.0;
        let link = |outs: usize, ins: usize, pool: bool| {
            let weights: Vec<f32> = (0..outs * ins * 9).map(value).collect();
            let bias: Vec<f32> = (0..outs).map(|index| 0.1 + value(index)).collect();
            let weights = Weights::new(&weights, Some(&bias), outs, ins).unwrap();
            Link { weights: Arc::new(weights), relu: true, pool }
        };
        let links = vec![link(16, 3, false), link(32, 16, true), link(16, 32, false)];
        Chain { kernels, ..Chain::new(links).unwrap() }
    }

    /// Something between columns 10 and 20, and nothing elsewhere.
    fn image() -> Vec<f32> {
        let value = |index: usize| {
            if (10..20).contains(&(index % SIZE.width)) { 1.0 + (index % 7) as f32 } else { 0.0 }
        };
        (0..3 * SIZE.area()).map(value).collect()
    }

    /// The end of the chain, planned as if these were the image's places that are not zero.
    fn run(chain: &Chain, places: &Places) -> Vec<f32> {
        let (data, stop) = (image(), AtomicBool::new(false));
        let batch = Batch { data: &data, images: 1, height: SIZE.height, width: SIZE.width };
        let tap = Tap { link: 2, is_pooled: false };
        let mut output = vec![f32::NAN; chain.shape(tap, SIZE.height, SIZE.width).iter().product()];
        let mut taps = [(tap, output.as_mut_slice())];
        let outlines = chain.outlines(SIZE, &taps);
        let works = [plan(&outlines, places)];
        let rest = chain.rest(SIZE, &Serial, &stop).unwrap();
        let means = Means { kernels: chain.kernels, stop: &stop, scratch: &chain.scratch };
        let run = Run {
            chain,
            outlines: &outlines,
            works: &works,
            rest: Some(&rest),
            means,
            threads: &Serial,
        };
        run.all(batch, &mut taps).unwrap();
        output
    }

    fn difference(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).fold(0.0, |most, (a, b)| most.max((a - b).abs()))
    }

    #[test]
    fn a_plan_that_misses_part_of_the_image_shows() {
        let chain = chain(Kernels::detect());
        let whole = run(&chain, &Places::all(SIZE));
        assert!(difference(&whole, &run(&chain, &Places::not_zero(&image(), SIZE))) < 1e-5);
        // The same image with its last columns taken for zeros: the control that must fail.
        let cut: Vec<f32> = image()
            .iter()
            .enumerate()
            .map(|(i, &v)| if i % SIZE.width >= 14 { 0.0 } else { v })
            .collect();
        assert!(difference(&whole, &run(&chain, &Places::not_zero(&cut, SIZE))) > 1e-2);
    }

    #[test]
    fn all_kinds_of_instructions_give_the_same() {
        let places = Places::not_zero(&image(), SIZE);
        let portable = run(&chain(Kernels::all()[0]), &places);
        for kernels in Kernels::all() {
            let name = kernels.name;
            assert!(difference(&portable, &run(&chain(kernels), &places)) < 1e-5, "{name}");
        }
    }
}
