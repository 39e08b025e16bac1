//! The options of a request: one row per option in [`table`], from which everything else derives.
//!
//! A row holds an option's name, the operations that accept it, its syntax, default, help text,
//! description and parser. The parsers of query strings, forms, JSON and flags, the command line's
//! help and the messages for invalid values read the table; a test compares it with `openapi.yaml`.
//!
//! To add an option: add a slot to [`OptionValues`], a row to [`OPTIONS`], its parameter and schema
//! to `openapi.yaml`, and the field that it fills to [`RequestOptions`](super::RequestOptions).

mod appearance;
pub mod output;
mod parameters;
pub mod spec;
mod subject;
pub mod syntax;
pub mod table;
pub mod values;

pub use output::{Output, Preference, Rendering, Size};
pub use spec::{DefaultValue, OptionSpec, RawValue};
pub use syntax::ValueSyntax;
pub use table::{OPTIONS, accepted, find, has_plus_signs, is_list, unknown};
pub use values::OptionValues;
