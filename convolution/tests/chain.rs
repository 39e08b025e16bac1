//! Chains held against the convolution as it is written.
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use convolution::{Batch, Chain, Link, Pool, Scoped, Serial, Settings, Tap, Weights};

fn noise(seed: usize) -> impl FnMut() -> f32 {
    let mut state = seed as u64 * 2 + 1;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// One link as plain numbers.
#[derive(Clone)]
struct Plain {
    ins: usize,
    outs: usize,
    weights: Vec<f32>,
    bias: Vec<f32>,
    relu: bool,
    pool: bool,
}

/// `[C, H, W]` with its sides.
struct Map {
    data: Vec<f32>,
    channels: usize,
    height: usize,
    width: usize,
}

impl Plain {
    fn apply(&self, map: &Map) -> (Map, Map) {
        let (h, w) = (map.height, map.width);
        let mut out = vec![0.0; self.outs * h * w];
        for o in 0..self.outs {
            for y in 0..h {
                for x in 0..w {
                    let mut sum = f64::from(self.bias[o]);
                    for c in 0..self.ins {
                        for i in 0..9 {
                            let (yy, xx) = (y + i / 3, x + i % 3);
                            if (1..=h).contains(&yy) && (1..=w).contains(&xx) {
                                sum += f64::from(self.weights[(o * self.ins + c) * 9 + i])
                                    * f64::from(map.data[(c * h + yy - 1) * w + xx - 1]);
                            }
                        }
                    }
                    out[(o * h + y) * w + x] = if self.relu { sum.max(0.0) as f32 } else { sum as f32 };
                }
            }
        }
        let unpooled = Map { data: out, channels: self.outs, height: h, width: w };
        let (ph, pw) = if self.pool { (h / 2, w / 2) } else { (h, w) };
        let mut data = vec![0.0; self.outs * ph * pw];
        for o in 0..self.outs {
            for y in 0..ph {
                for x in 0..pw {
                    let at = |y: usize, x: usize| unpooled.data[(o * h + y) * w + x];
                    data[(o * ph + y) * pw + x] = if self.pool {
                        at(2 * y, 2 * x)
                            .max(at(2 * y, 2 * x + 1))
                            .max(at(2 * y + 1, 2 * x))
                            .max(at(2 * y + 1, 2 * x + 1))
                    } else {
                        at(y, x)
                    };
                }
            }
        }
        (unpooled, Map { data, channels: self.outs, height: ph, width: pw })
    }
}

fn chain(widths: &[usize], pools: &[bool], seed: usize) -> (Chain, Vec<Plain>) {
    let mut next = noise(seed);
    let plain: Vec<Plain> = widths
        .windows(2)
        .zip(pools)
        .map(|(pair, &pool)| {
            let (ins, outs) = (pair[0], pair[1]);
            let scale = (6.0 / (9.0 * ins as f32)).sqrt();
            Plain {
                ins,
                outs,
                weights: (0..ins * outs * 9).map(|_| scale * next()).collect(),
                bias: (0..outs).map(|_| 0.1 * next()).collect(),
                relu: true,
                pool,
            }
        })
        .collect();
    let links = plain
        .iter()
        .map(|p| Link {
            weights: Arc::new(Weights::new(&p.weights, Some(&p.bias), p.outs, p.ins).unwrap()),
            relu: p.relu,
            pool: p.pool,
        })
        .collect();
    (Chain::new(links).unwrap(), plain)
}

fn run(
    chain: &Chain,
    data: &[f32],
    images: usize,
    height: usize,
    width: usize,
    taps: &[Tap],
    skip_rest: bool,
    threads: &dyn Pool,
) -> Vec<Vec<f32>> {
    let mut outputs: Vec<Vec<f32>> = taps
        .iter()
        .map(|tap| vec![f32::NAN; images * chain.shape(*tap, height, width).iter().product::<usize>()])
        .collect();
    let mut wanted: Vec<(Tap, &mut [f32])> =
        taps.iter().copied().zip(outputs.iter_mut().map(Vec::as_mut_slice)).collect();
    let stop = AtomicBool::new(false);
    chain
        .run(Batch { data, images, height, width }, &mut wanted, threads, Settings { stop: &stop, skip_rest })
        .unwrap();
    outputs
}

fn compare(
    widths: &[usize],
    pools: &[bool],
    images: usize,
    height: usize,
    width: usize,
    mask: bool,
    threads: &dyn Pool,
) {
    let (chain, plain) = chain(widths, pools, height * 31 + width);
    let mut next = noise(images + 7);
    let mut data: Vec<f32> = (0..images * widths[0] * height * width).map(|_| next()).collect();
    if mask {
        for (index, value) in data.iter_mut().enumerate() {
            let (y, x) = (index / width % height, index % width);
            let image = index / (widths[0] * height * width);
            if y > height / 4 + image || x < width / 2 {
                *value = 0.0;
            }
        }
    }
    let taps: Vec<Tap> = (0..plain.len())
        .flat_map(|link| [Tap { link, is_pooled: false }, Tap { link, is_pooled: true }])
        .collect();
    let last = [Tap { link: plain.len() - 1, is_pooled: true }];
    let all = run(&chain, &data, images, height, width, &taps, true, threads);
    let only = run(&chain, &data, images, height, width, &last, true, threads);
    let again = run(&chain, &data, images, height, width, &last, true, threads);
    for image in 0..images {
        let len = widths[0] * height * width;
        let mut map =
            Map { data: data[image * len..(image + 1) * len].to_vec(), channels: widths[0], height, width };
        for (index, link) in plain.iter().enumerate() {
            let (unpooled, pooled) = link.apply(&map);
            for (expected, output) in [(&unpooled, &all[2 * index]), (&pooled, &all[2 * index + 1])] {
                close(expected, &output[image * expected.data.len()..(image + 1) * expected.data.len()]);
            }
            map = pooled;
        }
        for output in [&only[0], &again[0]] {
            close(&map, &output[image * map.data.len()..(image + 1) * map.data.len()]);
        }
    }
}

fn close(expected: &Map, output: &[f32]) {
    let largest = expected.data.iter().fold(1e-6_f32, |l, v| l.max(v.abs()));
    for (index, (a, b)) in expected.data.iter().zip(output).enumerate() {
        assert!(
            (a - b).abs() <= 1e-5 * largest,
            "{index}: {a} against {b}, largest {largest}, {}x{}x{}",
            expected.channels,
            expected.height,
            expected.width
        );
    }
}

#[test]
fn small() {
    for (h, w) in [(1, 1), (4, 4), (5, 7), (13, 9), (16, 17), (32, 33)] {
        for mask in [false, true] {
            compare(&[3, 16, 24, 40], &[false, true, false], 2, h, w, mask, &Serial);
            compare(&[20, 33, 16], &[false, false], 3, h, w, mask, &Scoped(3));
        }
    }
}
#[test]
fn large() {
    compare(&[3, 16, 32], &[true, false], 2, 70, 80, true, &Scoped(2));
    compare(&[128, 256, 320], &[false, false], 2, 20, 16, true, &Scoped(2));
    compare(&[128, 256], &[true], 1, 20, 16, false, &Scoped(2));
}
