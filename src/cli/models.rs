//! `camlens models`: the models in the models folder, without loading them.

use std::io::IsTerminal;
use std::path::Path;

use clap::Args;
use serde::Serialize;

use super::{Source, output};
use crate::error::{Error, Result};
use crate::model::ModelFolder;
use crate::model::folder::{available_models, folder_id};

#[derive(Args, Debug)]
pub(super) struct Models {
    /// Print JSON, as into a pipe
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: Source,
}

#[derive(Serialize)]
struct Row {
    id: String,
    title: Option<String>,
    description: Option<String>,
    domain: Option<String>,
    default: bool,
    /// Why the model cannot be used, if so.
    error: Option<String>,
}

impl Row {
    fn new(folder: &Path, default: &str) -> Self {
        let id = folder_id(folder);
        let read = ModelFolder::read(folder);
        let error = match &read {
            Ok(folder) if !folder.onnx_path().is_file() => Some(format!(
                "{} is missing; the README in its folder says how to get it",
                folder.manifest.file
            )),
            Ok(_) => None,
            Err(error) => Some(error.to_string()),
        };
        let manifest = read.ok().map(|folder| folder.manifest);
        let (title, description, domain) = manifest
            .map(|manifest| (manifest.title, manifest.description, manifest.domain))
            .unwrap_or_default();
        Self { default: id == default, id, title, description, domain, error }
    }
}

impl Models {
    pub(super) fn run(&self) -> Result<()> {
        let config = self.source.load()?;
        let (folders, default) =
            available_models(&config.models.folder, config.models.default.as_deref())?;
        let rows: Vec<Row> = folders.iter().map(|folder| Row::new(folder, &default)).collect();
        let text = if self.json || !std::io::stdout().is_terminal() {
            serde_json::to_string_pretty(&rows)
                .map_err(|error| Error::internal("writing the list of models", error))?
                + "\n"
        } else {
            table(&rows)
        };
        output::result(text.as_bytes())
    }
}

fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.id.chars().count()).max().unwrap_or(0);
    let line = |row: &Row| {
        let mark = if row.default { "*" } else { " " };
        let about = match (&row.error, &row.title, &row.domain) {
            (Some(error), ..) => error.clone(),
            (None, Some(title), Some(domain)) => format!("{title}, for {domain}"),
            (None, title, domain) => title.clone().or(domain.clone()).unwrap_or_default(),
        };
        format!("{mark} {:width$}  {about}\n", row.id).replace(" \n", "\n")
    };
    rows.iter().map(line).collect::<String>() + "* is the default\n"
}
