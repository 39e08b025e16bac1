//! `POST /v2/models/{id}/infer`, and MLServer's older `POST /explain`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use ndarray::Array2;
use serde_json::{Value, json};

use super::request::{InferRequest, is_true};
use super::response::{InferResponse, Output, Values};
use super::{Segments, Served, scores_name, served};
use crate::app::{Finding, Instance, InstanceContext, Operation, RequestOptions};
use crate::engine::Model;
use crate::error::{Error, Kind, Result};
use crate::explain::{Choice, Passes, Prediction};
use crate::http::middleware::admission::held::Held;
use crate::http::middleware::admission::upload::Upload;
use crate::http::protocols::{batch, body, options};
use crate::http::state::AppState;
use crate::picture::decode::Limits;
use crate::warning::Warning;

const HEATMAP: &str = "heatmap";
const TARGET: &str = "target";
const EXPLANATION: &str = "explanation";

/// The requested outputs, or all tensors.
pub(in crate::http::protocols) async fn infer(
    State(state): State<Arc<AppState>>,
    upload: Upload,
    segments: Segments,
    request: Request,
) -> Result<Response> {
    let (parts, request) = read(&upload, request).await?;
    let served = served(&state, segments)?;
    let inference = Inference::new(served, &parts, request)?;
    let (response, memory) = inference.run(&state, upload).await?;
    Ok(memory.until_sent(response.write()?))
}

/// The default model's explanation: the JSON itself instead of an output that holds it.
pub(in crate::http::protocols) async fn legacy_explain(
    State(state): State<Arc<AppState>>,
    upload: Upload,
    request: Request,
) -> Result<Response> {
    let (parts, request) = read(&upload, request).await?;
    let model = batch::model(&state, None)?;
    let served = Served { name: model.id().to_owned(), model, is_explainer: true };
    let mut inference = Inference::new(served, &parts, request)?;
    inference.outputs = vec![(EXPLANATION, false)];
    if inference.instances.len() != 1 {
        return Err(Error::new(Kind::Malformed, "this path explains one image"));
    }
    let (response, memory) = inference.run(&state, upload).await?;
    let texts = response.outputs.into_iter().flat_map(|output| match output.values {
        Values::Bytes(texts) => texts,
        Values::Fp32(_) | Values::Int64(_) => Vec::new(),
    });
    let text = batch::only(texts.collect())?;
    let response = ([(CONTENT_TYPE, "application/json")], text).into_response();
    Ok(memory.until_sent(response))
}

async fn read(upload: &Upload, request: Request) -> Result<(Parts, InferRequest)> {
    let reading = async {
        let (parts, bytes) = body::read(request, upload.limit_bytes()).await?;
        let headers = parts.headers.clone();
        let request = body::blocking(move || InferRequest::parse(&headers, bytes)).await?;
        Ok((parts, request))
    };
    upload.read(reading).await
}

/// An inference that has been checked against its model.
struct Inference {
    served: Served,
    id: Option<String>,
    instances: Vec<Instance>,
    options: RequestOptions,
    /// The number of predictions in an explanation.
    top_k: usize,
    /// Names, and whether each is binary.
    outputs: Vec<(&'static str, bool)>,
}

/// What one instance gave.
struct Outcome {
    finding: Option<Finding>,
    explanation: String,
    predictions: Vec<Prediction>,
    passes: Passes,
}

impl Inference {
    fn new(served: Served, parts: &Parts, mut request: InferRequest) -> Result<Self> {
        let mut pairs = options::pairs(None, parts, serde_json::Map::new())?;
        pairs.extend(request.options()?);
        if pairs.iter().any(|(name, _)| name == "model") {
            let detail = "the path names the model; there is no option 'model' here";
            return Err(Error::new(Kind::Option, detail).about("model"));
        }
        let mut options = options::parse_for_json(Operation::Explain, &pairs)?;
        let top_k = options.explain.top_k;
        // The scores of all classes are an output.
        options.explain.top_k = served.model.classes();
        let outputs = outputs(&served, &request)?;
        let model = &served.model;
        let instances =
            request.instances(model.input_name())?.into_iter().map(|raw| raw.into_instance(model));
        let instances = instances.collect::<Result<_>>()?;
        Ok(Self { id: request.id, instances, options, top_k, outputs, served })
    }

    fn wants(&self, name: &str) -> bool {
        self.outputs.iter().any(|(output, _)| *output == name)
    }

    async fn run(self, state: &AppState, upload: Upload) -> Result<(InferResponse, Held)> {
        let limits = Limits { max_pixels: state.server.max_pixels };
        let Self { served, options, instances, .. } = &self;
        let cost = batch::cost(&served.model, Operation::Explain, options, instances, limits);
        let permit = upload.queue(cost)?;
        let work = move |cancel: &_| {
            let (model, options) = (&*self.served.model, &self.options);
            let context = InstanceContext { model, options, limits, cancel };
            let outcomes =
                batch::each(&self.instances, |instance| self.outcome(instance, context))?;
            self.respond(outcomes)
        };
        let ((model, passes, response), memory) = permit.run(work).await?;
        state.metrics.passes(&model, passes);
        Ok((response, memory))
    }

    fn outcome(&self, instance: &Instance, context: InstanceContext<'_>) -> Result<Outcome> {
        let only_scores = !self.wants(HEATMAP) && !self.wants(EXPLANATION) && !self.wants(TARGET);
        if only_scores {
            let found = instance.predict(context.options.explain.top_k, context)?;
            let (predictions, passes) = (found.predictions, found.passes);
            return Ok(Outcome { finding: None, explanation: String::new(), predictions, passes });
        }
        let finding = instance.explain(context)?;
        let explanation = match self.wants(EXPLANATION) {
            true => String::from_utf8_lossy(&finding.json(self.top_k)?).into_owned(),
            false => String::new(),
        };
        let predictions = finding.explanation.predictions.clone();
        let passes = finding.explanation.passes;
        Ok(Outcome { finding: Some(finding), explanation, predictions, passes })
    }

    /// The response, with the id of the model and the passes for the metrics.
    fn respond(self, outcomes: Vec<Outcome>) -> Result<(String, Passes, InferResponse)> {
        let Self { served: Served { name, model, .. }, id, outputs, .. } = self;
        let passes = outcomes.iter().fold(Passes::default(), |sum, one| sum + one.passes);
        let parameters = parameters(&model, &outcomes, &outputs);
        let output = |(name, is_binary)| {
            let (shape, values) = values(name, &model, &outcomes)?;
            Ok(Output { name, shape, values, is_binary })
        };
        let outputs = outputs.into_iter().map(output).collect::<Result<_>>()?;
        let response = InferResponse { model_name: name, id, parameters, outputs };
        Ok((model.id().to_owned(), passes, response))
    }
}

/// The outputs of a request, and whether each is binary.
fn outputs(served: &Served, request: &InferRequest) -> Result<Vec<(&'static str, bool)>> {
    let scores = scores_name(&served.model);
    let known = [HEATMAP, TARGET, scores, EXPLANATION];
    let by_default = request.is_binary();
    let requested = request.outputs.as_ref().map(|outputs| &outputs.0);
    let Some(requested) = requested.filter(|outputs| !outputs.is_empty()) else {
        let is_explainer = served.is_explainer || request.asks_explainer();
        let names = if is_explainer { &known[3..] } else { &known[..3] };
        return Ok(names.iter().map(|name| (*name, by_default)).collect());
    };
    let mut outputs: Vec<(&'static str, bool)> = Vec::new();
    for output in requested {
        let refuse = |detail: String| Err(Error::new(Kind::Option, detail).about("outputs"));
        let Some(name) = known.into_iter().find(|name| *name == output.name) else {
            let (name, known) = (&output.name, known.join(", "));
            return refuse(format!("there is no output '{name}'; there are {known}"));
        };
        if outputs.iter().any(|(known, _)| *known == name) {
            return refuse(format!("output '{name}' is requested twice"));
        }
        if output.parameters.contains_key("classification") {
            return refuse(format!(
                "output '{name}': classification is not supported; '{EXPLANATION}' has labels"
            ));
        }
        let is_binary = match output.parameters.contains_key("binary_data") {
            true => is_true(&output.parameters, "binary_data"),
            false => by_default,
        };
        outputs.push((name, is_binary));
    }
    Ok(outputs)
}

/// The shape and values of an output.
fn values(name: &str, model: &Model, outcomes: &[Outcome]) -> Result<(Vec<usize>, Values)> {
    let count = outcomes.len();
    let findings = || outcomes.iter().filter_map(|one| one.finding.as_ref());
    Ok(match name {
        HEATMAP => {
            let maps: Vec<&Array2<f32>> = findings().map(|finding| &finding.map).collect();
            let (height, width) = maps.first().map_or((0, 0), |map| map.dim());
            if maps.iter().any(|map| map.dim() != (height, width)) {
                let detail = "with size=image, maps of images of different sizes are no one \
                              tensor; request size=layer or size=input";
                return Err(Error::new(Kind::Option, detail).about("size"));
            }
            let values = maps.into_iter().flat_map(|map| map.iter().copied()).collect();
            (vec![count, height, width], Values::Fp32(values))
        }
        TARGET => {
            let index = |finding: &Finding| i64::try_from(finding.explanation.target.index);
            let targets = findings().map(index).collect::<Result<_, _>>();
            let targets = targets.map_err(|error| Error::internal("writing a class", error))?;
            (vec![count], Values::Int64(targets))
        }
        EXPLANATION => {
            let texts = outcomes.iter().map(|one| one.explanation.clone()).collect();
            (vec![count, 1], Values::Bytes(texts))
        }
        _ => {
            let classes = model.classes();
            let mut scores = vec![0.0; count * classes];
            for (one, row) in outcomes.iter().zip(scores.chunks_exact_mut(classes.max(1))) {
                for prediction in &one.predictions {
                    let score = prediction.probability.or(prediction.value);
                    row[prediction.index] = score.unwrap_or_default();
                }
            }
            (vec![count, classes], Values::Fp32(scores))
        }
    })
}

/// The response's parameters: what made the maps, and what the reader must know.
fn parameters(model: &Model, outcomes: &[Outcome], outputs: &[(&'static str, bool)]) -> Value {
    let findings = || outcomes.iter().filter_map(|one| one.finding.as_ref());
    let of_maps = findings().flat_map(|finding| &finding.explanation.warnings);
    let warnings = Warning::each_once(model.warnings().iter().chain(of_maps));
    let warnings: Vec<String> = warnings
        .iter()
        .map(|warning| format!("{}: {}", warning.code.name(), warning.detail))
        .collect();
    // The protocol allows texts, numbers and booleans.
    let mut parameters = json!({ "warnings": warnings.join("\n") });
    if let Some(Finding { explanation, .. }) = findings().next() {
        let method = explanation.method.name();
        parameters["method"] = json!(method);
        parameters["layer"] = json!(explanation.layer);
        parameters["convention"] = json!(explanation.convention.name());
        if outputs.iter().any(|(name, _)| *name == EXPLANATION) {
            // MLServer puts these beside, and its clients look for them there.
            parameters["headers"] = json!({
                "x-seldon-alibi-type": EXPLANATION,
                "x-seldon-alibi-method": method,
            });
        }
    }
    parameters
}
