//! Maps in NumPy's archive.

use std::fs::File;
use std::io::BufWriter;

use ndarray_npy::{NpzWriter, WriteNpzError};

use super::MapRow;

/// Writes each map, float32 `[h, w]`, under the number of its row.
pub(super) fn write(file: &File, rows: &[MapRow<'_>]) -> Result<(), WriteNpzError> {
    let mut archive = NpzWriter::new(BufWriter::new(file));
    for (row, MapRow { map, .. }) in rows.iter().enumerate() {
        archive.add_array(row.to_string(), *map)?;
    }
    archive.finish()?;
    Ok(())
}
