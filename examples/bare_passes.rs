//! Passes of a model's default layer and nothing else, the yardstick of `make batch-bench`.
//!
//! `bare_passes FOLDER SECONDS LOOPS` loads the model in a folder as `camlens batch` does. LOOPS
//! threads run the program that Grad-CAM++ runs, again and again, on one tensor. It prints the
//! passes per second.
#![expect(clippy::print_stdout, reason = "the figure is the program's output")]

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use camlens::engine::{CancellationToken, JobClass, Model, ModelRegistry, PassRequest, Settings};
use camlens::graph::program_io::GradientOf;
use camlens::model::ModelFolder;
use ndarray::Array4;

type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> Fallible<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, seconds, loops] = arguments.as_slice() else {
        return Err("usage: bare_passes FOLDER SECONDS LOOPS".into());
    };
    let duration = Duration::from_secs_f64(seconds.parse()?);
    let loops: usize = loops.parse()?;
    let settings = Settings { side_by_side: None, ..Settings::default() };
    let model = ModelRegistry::load_one(ModelFolder::read(Path::new(folder))?, &settings)?;
    // The first passes allocate memory.
    measure(&model, loops, Duration::from_secs(1))?;
    println!("{:.3}", measure(&model, loops, duration)?);
    Ok(())
}

/// The passes per second.
fn measure(model: &Model, loops: usize, duration: Duration) -> Fallible<f64> {
    let started = Instant::now();
    let passes = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let run = || -> Fallible<()> {
            // Several loops run small models' passes side by side, as several requests do.
            let _in_work = model.begin(JobClass::Short);
            while started.elapsed() < duration {
                model.run(model.default_layer(), pass(model), &CancellationToken::default())?;
                passes.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        };
        let threads: Vec<_> = (0..loops).map(|_| scope.spawn(run)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a panic")?)
    })?;
    Ok(passes.into_inner() as f64 / started.elapsed().as_secs_f64())
}

/// A pass with the gradient of the predicted class's logit. Its input is not 0, which kernels would
/// skip.
fn pass(model: &Model) -> PassRequest {
    let [first, second, third] = model.preprocess().shape();
    let value = |(_, a, b, c): (usize, usize, usize, usize)| ((a * 7 + b * 3 + c * 5) % 11) as f32;
    PassRequest {
        gradient_of: GradientOf::Logit,
        activation: true,
        ..PassRequest::new(Array4::from_shape_fn((1, first, second, third), value))
    }
}
