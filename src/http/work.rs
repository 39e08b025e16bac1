//! What is done for a request once it has been read: decode, ask the model, write the answer.
//!
//! Everything here blocks and looks at its [`CancellationToken`] between steps. The server calls it
//! from threads that may block, the command line from its only one.

use std::time::Instant;

use image::RgbImage;
use ndarray::{Axis, stack};

use super::answer::{self, Answer, ImageSize, TimingMs};
use super::options::{Endpoint, Output, Question, Rendering, Size};
use super::render;
use crate::app;
use crate::engine::{CancellationToken, Model};
use crate::error::{Error, Kind, Result};
use crate::explain::options::Method;
use crate::explain::{Explanation, ProgressObserver};
use crate::picture::decode::{Limits, decode};
use crate::picture::encode::{png, png_gray};
use crate::picture::overlay::{gray, heatmap};

/// Answers one question about one image file.
///
/// # Errors
/// Those of the contract's table.
pub fn answer(
    endpoint: Endpoint,
    model: &Model,
    file: &[u8],
    question: &Question,
    limits: Limits,
    cancel: &CancellationToken,
    watch: &dyn ProgressObserver,
) -> Result<Answer> {
    let started = Instant::now();
    let image = decode(file, &limits)?;
    let job = Job { model, question, image, decode_ms: ms_since(started), cancel, watch };
    cancel.check()?;
    job.refuse(endpoint, limits)?;
    match endpoint {
        Endpoint::Explain => job.explain(),
        Endpoint::Compare => job.compare(),
        Endpoint::Predict => job.predict(),
    }
}

/// Numbers of a map that JSON may hold: some 20 MB of text. A whole photograph would be hundreds.
const JSON_NUMBERS: u64 = 2_000_000;

struct Job<'a> {
    model: &'a Model,
    question: &'a Question,
    image: RgbImage,
    decode_ms: f64,
    cancel: &'a CancellationToken,
    watch: &'a dyn ProgressObserver,
}

/// An unfinished map gets the size that the finished one will have.
impl ProgressObserver for Job<'_> {
    fn progress(&self, method: Method, done: usize, of: usize) {
        self.watch.progress(method, done, of);
    }

    fn wants_partial(&self) -> bool {
        self.watch.wants_partial()
    }

    fn partial(&self, unfinished: &Explanation, done: usize, of: usize) {
        let map = render::map(unfinished, &self.image, &self.question.rendering);
        self.watch.partial(&Explanation { map, ..unfinished.clone() }, done, of);
    }
}

impl Job<'_> {
    /// What can't be answered, told before the model runs and not after.
    fn refuse(&self, endpoint: Endpoint, limits: Limits) -> Result<()> {
        let refuse =
            |option: &str, detail: String| Err(Error::new(Kind::Option, detail).about(option));
        let classes = app::targets(self.model, &self.question.explain)?.len().max(1);
        let Rendering { output, size, .. } = self.question.rendering;
        if classes > 1 && endpoint == Endpoint::Compare {
            return refuse(
                "target",
                format!(
                    "a comparison is of one class, and 'target' names {classes}; /v1/explain takes several"
                ),
            );
        }
        if classes > 1 && output == Output::Gray {
            return refuse(
                "output",
                format!(
                    "a grey picture holds one map, and 'target' names {classes} classes; json and npy hold them all"
                ),
            );
        }
        let pixels = u64::from(self.image.width()) * u64::from(self.image.height());
        let numbers = pixels * classes as u64;
        if output == Output::Json && size == Size::Image && numbers > JSON_NUMBERS {
            return refuse(
                "size",
                format!(
                    "size=image would be {numbers} numbers here, and JSON holds at most {JSON_NUMBERS}; output=npy holds them all"
                ),
            );
        }
        if output == Output::Npy && size == Size::Image && numbers > limits.max_pixels {
            return refuse(
                "size",
                format!(
                    "size=image would be {numbers} numbers here, more than the {} of the largest image; ask for fewer classes, or for size=input",
                    limits.max_pixels
                ),
            );
        }
        Ok(())
    }

    fn explain(&self) -> Result<Answer> {
        let Self { model, image, .. } = self;
        let asked = &self.question.explain;
        let explanations = app::explain(model, image, asked, self.cancel, self)?;
        self.cancel.check()?;
        match explanations.as_slice() {
            [one] => self.one_map(one),
            several => self.several_maps(several),
        }
    }

    fn one_map(&self, explanation: &Explanation) -> Result<Answer> {
        let Self { model, image, .. } = self;
        let rendering = &self.question.rendering;
        let started = Instant::now();
        let one = std::slice::from_ref(explanation);
        let timing = || self.timing(one, started);
        if rendering.output == Output::Overlay {
            let picture =
                png(&render::overlaid(explanation, image, model.preprocess(), rendering))?;
            return Ok(answer::picture(picture, one, timing()));
        }
        let (map, range) = (render::map(explanation, image, rendering), render::range(explanation));
        match rendering.output {
            Output::Gray => Ok(answer::picture(png_gray(&gray(map.view(), range))?, one, timing())),
            Output::Npy => answer::array(&map, one, timing()),
            Output::Json => answer::explanation_json(explanation, &map, self.size(), timing()),
            Output::Heatmap | Output::Overlay | Output::Figure => {
                let picture = png(&heatmap(map.view(), range, rendering.colormap))?;
                Ok(answer::picture(picture, one, timing()))
            }
        }
    }

    /// The maps of several classes. They share their passes and so their time.
    fn several_maps(&self, explanations: &[Explanation]) -> Result<Answer> {
        let Self { model, image, .. } = self;
        let rendering = &self.question.rendering;
        let started = Instant::now();
        let timing = || self.timing(&explanations[..1], started);
        if !matches!(rendering.output, Output::Json | Output::Npy) {
            let figure = png(&render::figure_of_classes(
                explanations,
                image,
                model.preprocess(),
                rendering,
            ))?;
            return Ok(answer::picture(figure, explanations, timing()));
        }
        let maps: Vec<_> =
            explanations.iter().map(|one| render::map(one, image, rendering)).collect();
        if rendering.output == Output::Json {
            return answer::explanations_json(explanations, &maps, self.size(), timing());
        }
        let views: Vec<_> = maps.iter().map(|map| map.view()).collect();
        let maps =
            stack(Axis(0), &views).map_err(|error| Error::internal("stacking maps", error))?;
        answer::array(&maps, explanations, timing())
    }

    fn compare(&self) -> Result<Answer> {
        let Self { model, image, question, .. } = self;
        let Question { methods, explain: asked, rendering, .. } = question;
        let explanations = app::compare(model, image, methods, asked, self.cancel, self)?;
        self.cancel.check()?;
        let started = Instant::now();
        if rendering.output == Output::Json {
            let maps: Vec<_> =
                explanations.iter().map(|one| render::map(one, image, rendering)).collect();
            let timing = self.timing(&explanations, started);
            return answer::comparison_json(&explanations, &maps, self.size(), timing);
        }
        let figure = png(&render::figure_of(&explanations, image, model.preprocess(), rendering))?;
        Ok(answer::picture(figure, &explanations, self.timing(&explanations, started)))
    }

    fn predict(&self) -> Result<Answer> {
        let top_k = self.question.explain.top_k;
        let predictions = app::predict(self.model, &self.image, top_k, self.cancel)?;
        let timing = TimingMs {
            decode: self.decode_ms + predictions.timing.preprocess_ms,
            forward: predictions.timing.forward_ms,
            explain: None,
            render: None,
        };
        answer::predictions_json(predictions, self.size(), timing)
    }

    fn size(&self) -> ImageSize {
        ImageSize { width: self.image.width(), height: self.image.height() }
    }

    /// Making the picture ready counts as decoding; methods share the passes of the image itself.
    fn timing(&self, explanations: &[Explanation], rendering_since: Instant) -> TimingMs {
        let timings = || explanations.iter().map(|explanation| explanation.timing);
        let first = timings().next().unwrap_or_default();
        TimingMs {
            decode: self.decode_ms + first.preprocess_ms,
            forward: first.forward_ms,
            explain: Some(timings().map(|timing| timing.explain_ms).sum()),
            render: Some(ms_since(rendering_since)),
        }
    }
}

fn ms_since(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1e3
}
