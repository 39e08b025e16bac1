//! Maps in a Parquet file.

use std::fs::File;
use std::sync::Arc;

use half::f16;
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, FixedLenByteArray, FixedLenByteArrayType,
    FloatType, Int32Type,
};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;

use super::{MapRow, MapType};

/// The columns. `map` has the rows of a map one after the other.
fn schema(kind: MapType) -> String {
    let element = match kind {
        MapType::Float32 => "float element",
        MapType::Float16 => "fixed_len_byte_array (2) element (FLOAT16)",
    };
    format!(
        "message maps {{
            required binary id (STRING);
            required binary method (STRING);
            required binary layer (STRING);
            required int32 target;
            optional binary label (STRING);
            optional float probability;
            required boolean empty;
            required int32 height;
            required int32 width;
            required group map (LIST) {{ repeated group list {{ required {element}; }} }}
        }}"
    )
}

/// Writes all maps as one row group.
pub(super) fn write(file: &File, kind: MapType, rows: &[MapRow<'_>]) -> Result<()> {
    let schema = Arc::new(parse_message_type(&schema(kind))?);
    // Numbers of maps hardly repeat, and nobody looks for one.
    let map = ColumnPath::from(["map", "list", "element"].map(str::to_owned).to_vec());
    let properties = WriterProperties::builder()
        .set_created_by(concat!("camlens ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_column_dictionary_enabled(map.clone(), false)
        .set_column_statistics_enabled(map, EnabledStatistics::None)
        .build();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties))?;
    let mut group = writer.next_row_group()?;

    let bytes = |text: &str| ByteArray::from(text.as_bytes().to_vec());
    required::<ByteArrayType>(&mut group, rows, |row| Ok(bytes(row.id)))?;
    required::<ByteArrayType>(&mut group, rows, |row| Ok(bytes(row.record.method)))?;
    required::<ByteArrayType>(&mut group, rows, |row| Ok(bytes(&row.record.layer)))?;
    required::<Int32Type>(&mut group, rows, |row| integer(row.record.target.index))?;
    optional::<ByteArrayType>(&mut group, rows, |row| {
        row.record.target.label.as_deref().map(bytes)
    })?;
    optional::<FloatType>(&mut group, rows, |row| row.record.target.probability)?;
    required::<BoolType>(&mut group, rows, |row| Ok(row.record.empty))?;
    required::<Int32Type>(&mut group, rows, |row| integer(row.map.nrows()))?;
    required::<Int32Type>(&mut group, rows, |row| integer(row.map.ncols()))?;
    match kind {
        MapType::Float32 => elements::<FloatType>(&mut group, rows, |value| value)?,
        MapType::Float16 => elements::<FixedLenByteArrayType>(&mut group, rows, |value| {
            let half = f16::from_f32(value).to_le_bytes().to_vec();
            FixedLenByteArray::from(ByteArray::from(half))
        })?,
    }
    group.close()?;
    writer.close()?;
    Ok(())
}

fn integer(value: usize) -> Result<i32> {
    i32::try_from(value).map_err(|error| ParquetError::External(Box::new(error)))
}

type Group<'a, 'f> = SerializedRowGroupWriter<'a, &'f File>;

/// Writes the next column.
fn column<T: DataType>(
    group: &mut Group<'_, '_>,
    values: &[T::T],
    definitions: Option<&[i16]>,
    repetitions: Option<&[i16]>,
) -> Result<()> {
    let next = group.next_column()?;
    let mut column = next.ok_or_else(|| ParquetError::General("too many columns".to_owned()))?;
    column.typed::<T>().write_batch(values, definitions, repetitions)?;
    column.close()
}

fn required<T: DataType>(
    group: &mut Group<'_, '_>,
    rows: &[MapRow<'_>],
    value: impl Fn(&MapRow<'_>) -> Result<T::T>,
) -> Result<()> {
    let values = rows.iter().map(value).collect::<Result<Vec<_>>>()?;
    column::<T>(group, &values, None, None)
}

fn optional<T: DataType>(
    group: &mut Group<'_, '_>,
    rows: &[MapRow<'_>],
    value: impl Fn(&MapRow<'_>) -> Option<T::T>,
) -> Result<()> {
    let values: Vec<Option<T::T>> = rows.iter().map(value).collect();
    let definitions: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    let values: Vec<T::T> = values.into_iter().flatten().collect();
    column::<T>(group, &values, Some(&definitions), None)
}

/// The numbers of all maps, of which none is without an element.
fn elements<T: DataType>(
    group: &mut Group<'_, '_>,
    rows: &[MapRow<'_>],
    value: impl Fn(f32) -> T::T,
) -> Result<()> {
    let values: Vec<T::T> =
        rows.iter().flat_map(|row| row.map.iter().map(|&element| value(element))).collect();
    let definitions = vec![1; values.len()];
    // A list begins where the level is 0.
    let repetitions: Vec<i16> =
        rows.iter().flat_map(|row| (0..row.map.len()).map(|index| i16::from(index > 0))).collect();
    column::<T>(group, &values, Some(&definitions), Some(&repetitions))
}
