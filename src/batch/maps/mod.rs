//! Files of maps.

mod npz;
mod parquet;

use std::fs::File;

use ndarray::Array2;

use super::record::MapRecord;
use crate::error::{Error, Kind, Result};

/// The form of the files that maps are written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapFormat {
    /// Parquet: one row a map.
    Parquet,
    /// NumPy's archive: one array a map, named by its row.
    Npz,
}

/// The numbers of maps in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapType {
    /// 32 bits.
    Float32,
    /// 16 bits: values of 0..1 differ by at most 2.5e-4. Parquet alone has them.
    Float16,
}

impl MapFormat {
    /// The extension of the files.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Npz => "npz",
        }
    }
}

/// A map with the facts that stand beside it.
pub(super) struct MapRow<'a> {
    pub(super) id: &'a str,
    pub(super) record: &'a MapRecord,
    pub(super) map: &'a Array2<f32>,
}

/// Writes maps to a new file.
///
/// # Errors
/// [`Kind::Setup`] if it can't be written.
pub(super) fn write(
    file: &File,
    format: MapFormat,
    kind: MapType,
    rows: &[MapRow<'_>],
) -> Result<()> {
    let failed = |error: String| Error::new(Kind::Setup, error);
    match format {
        MapFormat::Parquet => {
            parquet::write(file, kind, rows).map_err(|error| failed(error.to_string()))
        }
        MapFormat::Npz => npz::write(file, rows).map_err(|error| failed(error.to_string())),
    }
}
