//! A plain server, the yardstick of `make load`: axum, one ONNX Runtime session, and nothing else.
//!
//! `plain_server ADDRESS RUNTIME MODEL THREADS` loads EfficientNet-Lite0's file. It answers
//! `POST /predict`, whose body is an image, with the five most probable classes. It limits nothing:
//! no queue, no memory budget, no time limits, no size of a body or an image.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use image::imageops::FilterType;
use ndarray::{Array4, ArrayView1, s};
use ort::session::Session;
use ort::value::TensorRef;
use serde_json::{Value, json};

/// Width and height of the model's input.
const SIZE: u32 = 224;
/// ImageNet's mean and standard deviation, by colour.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];
const TOP_K: usize = 5;

type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
type Shared = Arc<Mutex<Session>>;

#[tokio::main]
async fn main() -> Fallible<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, runtime, model, threads] = arguments.as_slice() else {
        return Err("usage: plain_server ADDRESS RUNTIME MODEL THREADS".into());
    };
    let environment = ort::init_from(runtime)?.build()?;
    let session = Session::builder(&environment)?
        .with_intra_threads(threads.parse()?)
        .map_err(|error| error.to_string())?
        .commit_from_file(model)?;
    let router = Router::new()
        .route("/health/live", get(|| async { "live" }))
        .route("/predict", post(predict))
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::new(Mutex::new(session)));
    axum::serve(tokio::net::TcpListener::bind(address).await?, router).await?;
    Ok(())
}

async fn predict(State(session): State<Shared>, body: Bytes) -> (StatusCode, Json<Value>) {
    match tokio::task::spawn_blocking(move || classify(&session, &body)).await {
        Ok(Ok(classes)) => (StatusCode::OK, Json(classes)),
        Ok(Err(error)) => (StatusCode::BAD_REQUEST, Json(json!({ "error": error.to_string() }))),
        Err(panic) => {
            (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({ "error": panic.to_string() })))
        }
    }
}

fn classify(session: &Mutex<Session>, body: &[u8]) -> Fallible<Value> {
    let input = input_tensor(body)?;
    let mut session = session.lock().unwrap_or_else(PoisonError::into_inner);
    let outputs = session.run(ort::inputs![TensorRef::from_array_view(&input)?])?;
    let (_, logits) = outputs[0].try_extract_tensor::<f32>()?;
    Ok(most_probable(ArrayView1::from(logits)))
}

/// The middle square of an image at the model's size, normalised: `[1, 3, 224, 224]`.
fn input_tensor(body: &[u8]) -> Fallible<Array4<f32>> {
    let image =
        image::load_from_memory(body)?.resize_to_fill(SIZE, SIZE, FilterType::Triangle).into_rgb8();
    let mut input = Array4::zeros((1, 3, SIZE as usize, SIZE as usize));
    for (x, y, pixel) in image.enumerate_pixels() {
        let mut place = input.slice_mut(s![0, .., y as usize, x as usize]);
        for (channel, value) in place.iter_mut().enumerate() {
            *value = (f32::from(pixel[channel]) / 255.0 - MEAN[channel]) / STD[channel];
        }
    }
    Ok(input)
}

/// The classes with the largest logits, and their softmax.
fn most_probable(logits: ArrayView1<'_, f32>) -> Value {
    let largest = logits.fold(f32::NEG_INFINITY, |largest, &logit| largest.max(logit));
    let exponentials = logits.mapv(|logit| (logit - largest).exp());
    let probabilities = &exponentials / exponentials.sum();
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    let class = |&index: &usize| json!({ "index": index, "probability": probabilities[index] });
    json!({ "predictions": order.iter().take(TOP_K).map(class).collect::<Vec<_>>() })
}
