//! Images in a column of a Parquet file, as datasets on model hubs have them.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{ConvertedType as Converted, Type as Physical};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::TreeBuilder;
use parquet::record::{Field, Row};
use parquet::schema::types::{SchemaDescriptor, Type, TypePtr};

use super::{Content, Visitor, open};
use crate::error::{Error, Kind, Result};

/// Columns that hold images, by the names that datasets give them.
const IMAGE_COLUMNS: [&str; 6] = ["image", "img", "picture", "jpg", "png", "image_bytes"];

/// Rows are decoded this many at a time: each holds an image.
const ROWS_AT_A_TIME: usize = 8;

/// Which columns of a table are read.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// The images; when absent, the column whose name or type says so.
    pub image: Option<String>,
    /// The ids; when absent, rows are counted.
    pub id: Option<String>,
}

/// A Parquet file.
#[derive(Debug)]
pub struct Table {
    path: PathBuf,
    image: String,
    id: Option<String>,
}

impl Table {
    /// Finds the columns.
    ///
    /// # Errors
    /// [`Kind::Malformed`] if the file can't be read, or has no such columns.
    pub(super) fn open(path: &Path, columns: &Columns) -> Result<Self> {
        let table = |image: String| Self { path: path.to_owned(), image, id: columns.id.clone() };
        let reader = table(String::new()).reader()?;
        let fields = root(&reader).get_fields();
        let names: Vec<&str> = fields.iter().map(|field| field.name()).collect();
        let refused = |what: String, option: &str| {
            let detail = format!("{what}; its columns are {} ({option})", names.join(", "));
            Error::new(Kind::Malformed, detail).at_path(path)
        };
        if reader.metadata().file_metadata().num_rows() == 0 {
            return Err(Error::new(Kind::Malformed, "the table has no rows").at_path(path));
        }
        let column = |name: &str| fields.iter().find(|field| field.name() == name);
        if let Some(id) = &columns.id {
            match column(id) {
                Some(field) if is_id(field) => {}
                Some(_) => {
                    let what = format!("column '{id}' holds neither texts nor whole numbers");
                    return Err(refused(what, "--id-column"));
                }
                None => {
                    return Err(refused(format!("the table has no column '{id}'"), "--id-column"));
                }
            }
        }
        let image = match &columns.image {
            Some(name) if names.contains(&name.as_str()) => name.clone(),
            Some(name) => {
                return Err(refused(format!("the table has no column '{name}'"), "--image-column"));
            }
            None => {
                let named = IMAGE_COLUMNS.iter().find(|name| names.contains(name));
                let mut binary = fields.iter().filter(|field| is_binary(field));
                match (named, binary.next(), binary.next()) {
                    (Some(name), ..) => (*name).to_owned(),
                    (None, Some(only), None) => only.name().to_owned(),
                    _ => {
                        let what = "the table has no column that is clearly one of images";
                        return Err(refused(what.to_owned(), "--image-column names it"));
                    }
                }
            }
        };
        if !column(&image).is_some_and(holds_images) {
            let what = format!(
                "column '{image}' holds no images: neither bytes, nor {{bytes, path}}, nor the names \
                 of files"
            );
            return Err(refused(what, "--image-column"));
        }
        Ok(table(image))
    }

    /// Calls `each` with the id of every row.
    pub(super) fn ids(&self, each: &mut dyn FnMut(&str)) -> Result<()> {
        let reader = self.reader()?;
        let mut before = 0;
        for group in 0..reader.num_row_groups() {
            let ids = self.ids_of(&reader, group, &mut before)?;
            ids.iter().for_each(|id| each(id));
        }
        Ok(())
    }

    pub(super) fn visit(&self, visitor: &mut dyn Visitor) -> Result<ControlFlow<()>> {
        let reader = self.reader()?;
        let mut before = 0;
        for group in 0..reader.num_row_groups() {
            let ids = self.ids_of(&reader, group, &mut before)?;
            let wanted: Vec<bool> = ids.iter().map(|id| visitor.wants(id)).collect();
            // Images are not even decompressed where none is wanted.
            if !wanted.contains(&true) {
                continue;
            }
            for ((id, row), is_wanted) in
                ids.into_iter().zip(self.rows(&reader, group, &self.image)?).zip(wanted)
            {
                let row = row?;
                if is_wanted && visitor.take(id, self.content(&row)).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn reader(&self) -> Result<SerializedFileReader<File>> {
        SerializedFileReader::new(open(&self.path)?).map_err(|error| self.fault(&error))
    }

    /// The ids of one row group; `before` counts the rows of those before it.
    fn ids_of(
        &self,
        reader: &SerializedFileReader<File>,
        group: usize,
        before: &mut usize,
    ) -> Result<Vec<String>> {
        let count = reader.metadata().row_group(group).num_rows();
        let count = usize::try_from(count).unwrap_or(0);
        let first = *before;
        *before += count;
        let path = super::id_of(&self.path);
        let Some(column) = &self.id else {
            return Ok((first..first + count).map(|row| format!("{path}#{row}")).collect());
        };
        let mut ids = Vec::with_capacity(count);
        for row in self.rows(reader, group, column)? {
            ids.push(match row?.get_column_iter().next() {
                Some((_, Field::Str(text))) => text.clone(),
                Some((_, Field::Bytes(bytes))) => {
                    String::from_utf8_lossy(bytes.data()).into_owned()
                }
                // Without an id, the row's number.
                Some((_, Field::Null)) | None => format!("{path}#{}", first + ids.len()),
                Some((_, field)) => field.to_string(),
            });
        }
        Ok(ids)
    }

    /// The values of one column in one row group.
    fn rows(
        &self,
        reader: &SerializedFileReader<File>,
        group: usize,
        column: &str,
    ) -> Result<impl Iterator<Item = Result<Row>>> {
        let schema = root(reader);
        let field = schema.get_fields().iter().find(|field| field.name() == column).cloned();
        let projection = Type::group_type_builder(schema.name())
            .with_fields(field.into_iter().collect())
            .build()
            .map_err(|error| self.fault(&error))?;
        let descriptor = Arc::new(SchemaDescriptor::new(Arc::new(projection)));
        let rows = reader.get_row_group(group).and_then(|group| {
            TreeBuilder::new().with_batch_size(ROWS_AT_A_TIME).as_iter(descriptor, &*group)
        });
        let rows = rows.map_err(|error| self.fault(&error))?;
        Ok(rows.map(|row| row.map_err(|error| self.fault(&error))))
    }

    /// The image of a row: its bytes, `{bytes, path}` as Hugging Face writes it, or the path of a
    /// file beside the table.
    fn content(&self, row: &Row) -> Result<Content> {
        let fields = row.get_column_iter().flat_map(|(_, field)| match field {
            Field::Group(group) => group.get_column_iter().collect(),
            field => vec![(&self.image, field)],
        });
        let mut path = None;
        for (name, field) in fields {
            match field {
                Field::Bytes(bytes) => {
                    return Ok(Content::Bytes(Bytes::copy_from_slice(bytes.data())));
                }
                Field::Str(text) if *name == self.image || name == "path" => path = Some(text),
                _ => {}
            }
        }
        match path {
            Some(path) => Ok(Content::File(self.path.with_file_name(path))),
            None => {
                let detail = format!("column '{}' has no image in this row", self.image);
                Err(Error::new(Kind::Malformed, detail))
            }
        }
    }

    fn fault(&self, error: &ParquetError) -> Error {
        let detail = format!("the table can't be read: {error}");
        Error::new(Kind::Malformed, detail).at_path(&self.path)
    }
}

fn root(reader: &SerializedFileReader<File>) -> &Type {
    reader.metadata().file_metadata().schema()
}

fn is_bytes_or_text(field: &TypePtr) -> bool {
    field.is_primitive() && field.get_physical_type() == Physical::BYTE_ARRAY
}

fn is_text(field: &TypePtr) -> bool {
    let info = field.get_basic_info();
    let is_marked = info.logical_type_ref().is_some() || info.converted_type() == Converted::UTF8;
    is_bytes_or_text(field) && is_marked
}

/// Whether a column holds bytes that are no text, or Hugging Face's group with such a column.
fn is_binary(field: &TypePtr) -> bool {
    if field.is_group() {
        return field.get_fields().iter().any(|inner| inner.name() == "bytes" && is_binary(inner));
    }
    is_bytes_or_text(field) && !is_text(field)
}

/// Whether a column can hold images, or the names of files.
fn holds_images(field: &TypePtr) -> bool {
    match field.is_group() {
        true => field
            .get_fields()
            .iter()
            .any(|inner| ["bytes", "path"].contains(&inner.name()) && is_bytes_or_text(inner)),
        false => is_bytes_or_text(field),
    }
}

fn is_id(field: &TypePtr) -> bool {
    let is_whole = |field: &TypePtr| {
        field.is_primitive()
            && matches!(field.get_physical_type(), Physical::INT32 | Physical::INT64)
    };
    is_text(field) || is_whole(field)
}
