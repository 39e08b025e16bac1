//! A file as a stranger runs it: ONNX Runtime's own session, without camlens's operators.

use std::fmt::Debug;
use std::path::Path;

use ndarray::{Array4, ArrayD};
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::{DynValue, PrimitiveTensorElementType, Tensor};

use super::Settings;
use super::runtime::Runtime;
use crate::error::{Error, Kind, Result};

/// A session of any ONNX file.
pub struct PlainSession {
    session: Session,
}

impl PlainSession {
    /// Opens a file, with all of ONNX Runtime's optimisations or with none.
    ///
    /// # Errors
    /// [`Kind::Setup`] when ONNX Runtime can't be loaded or rejects the file.
    pub fn open(path: &Path, settings: &Settings, optimise: bool) -> Result<Self> {
        let runtime = Runtime::load(settings)?;
        let level =
            if optimise { GraphOptimizationLevel::All } else { GraphOptimizationLevel::Disable };
        let recover = |error: ort::Error<SessionBuilder>| -> ort::Error { error.into() };
        let open = || {
            Session::builder(runtime.environment())?
                .with_optimization_level(level)
                .map_err(recover)?
                .with_intra_threads(runtime.threads())
                .map_err(recover)?
                .commit_from_file(path)
        };
        let session = open().map_err(|error| {
            Error::new(Kind::Setup, format!("ONNX Runtime rejects the file: {error}")).at_path(path)
        })?;
        Ok(Self { session })
    }

    /// The name of the first output.
    #[must_use]
    pub fn first_output(&self) -> String {
        self.session.outputs().first().map_or_else(String::new, |output| output.name().to_owned())
    }

    /// Runs on images, in the layout of the first input, and on further inputs of integers. Returns
    /// the outputs of these names.
    ///
    /// # Errors
    /// [`Kind::Internal`] when the run fails or an output holds no floats.
    pub fn run<T: PrimitiveTensorElementType + Copy + Debug + 'static>(
        &mut self,
        images: &Array4<T>,
        integers: &[(&str, &[i64])],
        outputs: &[String],
    ) -> Result<Vec<ArrayD<f32>>> {
        let failed = |error: ort::Error| Error::internal("running an exported file", error);
        let first = self.session.inputs().first().map(|input| input.name().to_owned());
        let values: Vec<T> = images.iter().copied().collect();
        let images = Tensor::from_array((images.shape().to_vec(), values)).map_err(failed)?;
        let mut inputs: Vec<(String, DynValue)> =
            vec![(first.unwrap_or_default(), images.into_dyn())];
        for (name, values) in integers {
            let tensor = Tensor::from_array((vec![values.len()], values.to_vec()));
            inputs.push(((*name).to_owned(), tensor.map_err(failed)?.into_dyn()));
        }
        let found = self.session.run(inputs).map_err(failed)?;
        let array = |name: &String| {
            let (shape, values) =
                found[name.as_str()].try_extract_tensor::<f32>().map_err(failed)?;
            let shape: Vec<usize> =
                shape.iter().map(|&size| usize::try_from(size).unwrap_or(0)).collect();
            ArrayD::from_shape_vec(shape, values.to_vec())
                .map_err(|error| Error::internal("running an exported file", error))
        };
        outputs.iter().map(array).collect()
    }
}
