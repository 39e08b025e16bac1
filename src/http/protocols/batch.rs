//! Runs the instances of one request, one after another, under the request's one permit.

use std::sync::Arc;

use bytes::Bytes;

use super::errors::model_error;
use super::instances::RawInstance;
use crate::app::{Cost, ExplainResponse, Instance, InstanceContext, Operation, RequestOptions};
use crate::engine::Model;
use crate::error::{Error, Kind, Result};
use crate::http::middleware::admission::held::Held;
use crate::http::middleware::admission::upload::Upload;
use crate::http::state::AppState;
use crate::picture::decode::Limits;

/// The largest response to several instances. One instance has limits of its own.
const MAX_RESPONSE_BYTES: usize = 64 << 20;

/// Instances for one model.
pub(super) struct Batch {
    pub(super) model: Arc<Model>,
    pub(super) options: RequestOptions,
    pub(super) instances: Vec<Instance>,
}

impl Batch {
    /// Finds the model of a request, and reads its instances for it.
    ///
    /// # Errors
    /// Those of [`model`] and [`RawInstance::into_instance`].
    pub(super) fn new(
        state: &AppState,
        options: RequestOptions,
        instances: Vec<RawInstance>,
    ) -> Result<Self> {
        let model = model(state, options.model.as_deref())?;
        let instance = |raw: RawInstance| raw.into_instance(&model);
        let instances = instances.into_iter().map(instance).collect::<Result<_>>()?;
        Ok(Self { model, options, instances })
    }

    /// Runs an operation on each instance; one response per instance, and the memory to hold until
    /// they are sent.
    ///
    /// # Errors
    /// [`Kind::Busy`], and those of the first instance that fails, which say which one it is.
    pub(super) async fn execute(
        self,
        state: &AppState,
        upload: Upload,
        operation: Operation,
    ) -> Result<(Vec<ExplainResponse>, Held)> {
        let limits = Limits { max_pixels: state.server.max_pixels };
        let permit = upload.queue(self.cost(operation, limits))?;
        let Self { model, options, instances } = self;
        let work = move |cancel: &_| {
            let context = InstanceContext { model: &model, options: &options, limits, cancel };
            let mut left_bytes = MAX_RESPONSE_BYTES;
            each(&instances, |instance| {
                let response = instance.execute(operation, context)?;
                left_bytes =
                    left_bytes.checked_sub(response.body.len()).ok_or_else(response_too_large)?;
                Ok(response)
            })
        };
        let (responses, memory) = permit.run(work).await?;
        for response in &responses {
            state.metrics.passes(&response.facts.model, response.facts.passes);
        }
        Ok((responses, memory))
    }

    /// What all instances will cost.
    pub(super) fn cost(&self, operation: Operation, limits: Limits) -> Cost {
        cost(&self.model, operation, &self.options, &self.instances, limits)
    }
}

/// What instances of a model will cost.
pub(super) fn cost(
    model: &Model,
    operation: Operation,
    options: &RequestOptions,
    instances: &[Instance],
    limits: Limits,
) -> Cost {
    let file = |instance: &'_ Instance| match instance {
        Instance::Image(file) => file.clone(),
        Instance::Tensor(_) => Bytes::new(),
    };
    let files: Vec<Bytes> = instances.iter().map(file).collect();
    Cost::of_images(model, operation, options, files.iter().map(AsRef::as_ref), limits)
}

/// Calls `work` for each instance.
///
/// # Errors
/// The first error; with several instances its message names the instance.
pub(super) fn each<T>(
    instances: &[Instance],
    mut work: impl FnMut(&Instance) -> Result<T>,
) -> Result<Vec<T>> {
    let one = |(index, instance): (usize, &Instance)| {
        work(instance).map_err(|error| match instances.len() {
            1 => error,
            _ => error.prefixed(format!("instance {index}")),
        })
    };
    instances.iter().enumerate().map(one).collect()
}

/// The error for maps that are too large together.
pub(super) fn response_too_large() -> Error {
    let detail = format!(
        "the response would be over {MAX_RESPONSE_BYTES} bytes; request fewer instances or \
         size=layer"
    );
    Error::new(Kind::Option, detail).about("size")
}

/// The model of a name, or the default one. The messages are KServe's.
///
/// # Errors
/// [`Kind::UnknownModel`] or [`Kind::NotReady`].
pub(super) fn model(state: &AppState, name: Option<&str>) -> Result<Arc<Model>> {
    let named = name.unwrap_or_else(|| state.models.default_id());
    state.model(name).map_err(|error| match model_error(error.kind(), named) {
        // These protocols have no other status for a model that failed to load.
        Some(detail) if error.kind() == Kind::ModelFailed => {
            Error::new(Kind::NotReady, detail).caused_by(error)
        }
        Some(detail) => Error::new(error.kind(), detail),
        None => error,
    })
}

/// A JSON object with one list, `{"name": [body, body, …]}`, of bodies that are JSON already.
pub(super) fn list(name: &str, responses: &[ExplainResponse]) -> Bytes {
    let bytes: usize = responses.iter().map(|response| response.body.len() + 1).sum();
    let mut body = Vec::with_capacity(bytes + name.len() + 8);
    body.extend_from_slice(format!("{{\"{name}\":[").as_bytes());
    for (index, response) in responses.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&response.body);
    }
    body.extend_from_slice(b"]}");
    body.into()
}

/// The only one of several results.
///
/// # Errors
/// [`Kind::Internal`] if there is not exactly one.
pub(super) fn only<T>(results: Vec<T>) -> Result<T> {
    let [one] = <[T; 1]>::try_from(results).map_err(|others| {
        Error::internal("responding to one instance", others.len().to_string())
    })?;
    Ok(one)
}
