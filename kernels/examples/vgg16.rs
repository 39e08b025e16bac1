//! Times VGG16's convolutions, a line a link: `cargo run --release --example vgg16 -- [batch] [threads]`.
#![expect(clippy::print_stdout)]

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use kernels::{Batch, Chain, Link, Scoped, Settings, Tap, Weights};

fn main() -> Result<(), String> {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<usize>().ok());
    let (images, threads) = (numbers.next().unwrap_or(1), numbers.next().unwrap_or(2));
    let plan = [64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0];
    let mut links = Vec::new();
    let mut channels = 3;
    for (index, &width) in plan.iter().enumerate() {
        if width > 0 {
            let scale = (2.0 / (9.0 * channels as f32)).sqrt() * 2.0;
            let weights: Vec<f32> = (0..channels * width * 9).map(|i| scale * noise(i)).collect();
            let weights = Arc::new(Weights::new(&weights, None, width, channels)?);
            links.push(Link { weights, relu: true, pool: plan[index + 1] == 0 });
            channels = width;
        }
    }
    let (stop, side) = (AtomicBool::new(false), 224);
    let data: Vec<f32> = (0..images * 3 * side * side).map(noise).collect();
    let settings = Settings { stop: &stop, skip_rest: false };
    let time = |links: Vec<Link>, data: &[f32], side: usize, with_output: bool| -> Result<f64, String> {
        let tap = Tap { link: links.len() - 1, is_pooled: true };
        let chain = Chain::new(links)?;
        let shape = chain.shape(tap, side, side);
        let mut output = vec![0.0; images * shape.iter().product::<usize>()];
        let batch = Batch { data, images, height: side, width: side };
        let mut times: Vec<f64> = (0..9)
            .map(|_| {
                let started = Instant::now();
                let mut taps = [(tap, output.as_mut_slice())];
                let taps = if with_output { &mut taps[..] } else { &mut [] };
                let _ = chain.run(batch, taps, &Scoped(threads), settings);
                started.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        times.sort_by(f64::total_cmp);
        Ok(times[0])
    };
    println!("the chain: {:.1} ms an image", time(links.clone(), &data, side, true)? / images as f64);
    let mut size = side;
    let mut channels = 3;
    for (index, link) in links.into_iter().enumerate() {
        let data: Vec<f32> = (0..images * channels * size * size).map(noise).collect();
        let pool = link.pool;
        let out = plan.iter().filter(|&&width| width > 0).nth(index).copied().unwrap_or(0);
        let ms = time(vec![link], &data, size, false)? / images as f64;
        let macs = (size * size * channels * out * 9) as f64;
        println!(
            "{channels:4} → {out:4}, {size:3}²: {ms:6.2} ms, {:6.1} Gmac/s of those as written",
            macs / ms / 1e6
        );
        channels = out;
        size = if pool { size / 2 } else { size };
    }
    Ok(())
}

/// Numbers between −1 and 1.
fn noise(index: usize) -> f32 {
    let mixed = (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((mixed ^ mixed >> 29) >> 40) as f32 / (1 << 23) as f32 - 1.0
}
