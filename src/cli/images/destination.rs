//! Where results go: standard output, a file, a folder, or a template such as
//! `{stem}-{method}.png`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::inputs::Input;
use crate::app::Operation;
use crate::app::options::{Output, Preference};
use crate::error::{Error, Kind, Result};
use crate::picture::encode::Format;

/// The fields of a template.
const FIELDS: [&str; 4] = ["stem", "method", "model", "index"];

/// Where the results of a command go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    Stdout,
    File(PathBuf),
    /// A path with fields in braces.
    Template(String),
}

/// What a template's fields stand for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    pub(super) method: &'a str,
    pub(super) model: &'a str,
}

impl Destination {
    /// Reads the argument of `-o`. A folder ends in `/` or exists; its files have the extension.
    ///
    /// # Errors
    /// [`Kind::Option`] for a field that does not exist.
    pub(super) fn parse(
        argument: Option<&str>,
        operation: Operation,
        extension: &str,
    ) -> Result<Self> {
        let Some(argument) = argument.filter(|argument| *argument != "-") else {
            return Ok(Self::Stdout);
        };
        if argument.ends_with('/') || Path::new(argument).is_dir() {
            let folder = argument.trim_end_matches('/');
            // Braces in the folder's own name are no fields.
            let folder = folder.replace('{', "{{").replace('}', "}}");
            return Ok(Self::Template(format!("{folder}/{}.{extension}", file_name(operation))));
        }
        if argument.contains('{') {
            let fields = Fields { method: "", model: "" };
            fill(argument, &Input::Stdin, 0, fields)?;
            return Ok(Self::Template(argument.to_owned()));
        }
        Ok(Self::File(argument.into()))
    }

    /// The extension of the files, with its dot; empty where there is none.
    fn extension(&self) -> String {
        let path = match self {
            Self::Stdout => return String::new(),
            Self::File(path) => path.as_path(),
            Self::Template(template) => Path::new(template),
        };
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        if extension.is_empty() { String::new() } else { format!(".{extension}") }
    }

    /// The form of the results, which the extension names. None if it names none.
    ///
    /// # Errors
    /// [`Kind::Option`] for a form that the operation does not have.
    pub(super) fn form(&self, operation: Operation) -> Result<Option<Preference>> {
        let path = match self {
            Self::Stdout => return Ok(Some(Output::Json.into())),
            Self::File(path) => path.as_path(),
            Self::Template(template) => Path::new(template),
        };
        let extension =
            path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        let output = if operation == Operation::Compare { Output::Figure } else { Output::Overlay };
        let picture = |format| Preference { output, format };
        let form: Preference = match extension.as_deref() {
            Some("png") => picture(Format::Png),
            Some("jpg" | "jpeg") => picture(Format::Jpeg),
            Some("webp") => picture(Format::Webp),
            Some("svg") => picture(Format::Svg),
            Some("json") => Output::Json.into(),
            Some("npy") => Output::Npy.into(),
            _ => return Ok(None),
        };
        if Output::for_operation(operation).contains(&form.output) {
            return Ok(Some(form));
        }
        let detail = match operation {
            Operation::Predict => "a prediction can be written to .json",
            _ => "a comparison can be written to .png, .jpg, .webp, .svg or .json",
        };
        Err(Error::new(Kind::Option, detail))
    }

    /// The file of each image's result; none for standard output.
    ///
    /// # Errors
    /// [`Kind::Option`] if two results would be one file, or a result would replace an image.
    pub(super) fn files(
        &self,
        inputs: &[Input],
        fields: Fields<'_>,
    ) -> Result<Vec<Option<PathBuf>>> {
        let mut files = Vec::with_capacity(inputs.len());
        let mut sources: HashMap<PathBuf, &Input> = HashMap::new();
        for (index, input) in inputs.iter().enumerate() {
            let file = match self {
                Self::Stdout => None,
                Self::File(path) => Some(path.clone()),
                Self::Template(template) => Some(fill(template, input, index, fields)?.into()),
            };
            if let Some(file) = &file {
                refuse_image(file, inputs)?;
                if let Some(other) = sources.insert(file.clone(), input) {
                    let (other, input, file) = (other.name(), input.name(), file.display());
                    let kind = self.extension();
                    let detail = format!(
                        "the results of {other} and {input} would both be {file}: use {{index}} in \
                         the name, as in {{stem}}-{{index}}{kind}"
                    );
                    return Err(Error::new(Kind::Option, detail));
                }
            }
            files.push(file);
        }
        Ok(files)
    }
}

/// The name of a result in a folder, without extension.
fn file_name(operation: Operation) -> &'static str {
    match operation {
        Operation::Explain => "{stem}-{method}",
        Operation::Compare => "{stem}-compare",
        Operation::Predict => "{stem}",
    }
}

fn refuse_image(file: &Path, inputs: &[Input]) -> Result<()> {
    let same = |input: &&Input| match input {
        Input::Stdin => false,
        Input::File(path) => {
            path == file
                || path
                    .canonicalize()
                    .ok()
                    .is_some_and(|path| Some(path) == file.canonicalize().ok())
        }
    };
    match inputs.iter().find(same) {
        Some(input) => {
            let detail = format!("the result would replace the image {}", input.name());
            Err(Error::new(Kind::Option, detail))
        }
        None => Ok(()),
    }
}

/// A template with its fields replaced. `{{` and `}}` stand for braces.
fn fill(template: &str, input: &Input, index: usize, fields: Fields<'_>) -> Result<String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            out.push_str(brace);
            rest = after;
            continue;
        }
        let field = rest.find('}').filter(|_| brace == "{").map(|end| rest.split_at(end));
        let Some((name, after)) = field else {
            let detail =
                format!("{template}: a brace has no partner; write {{{{ for a brace itself");
            return Err(Error::new(Kind::Option, detail));
        };
        match name {
            "stem" => out.push_str(&input.stem()),
            "method" => out.push_str(fields.method),
            "model" => out.push_str(fields.model),
            "index" => out.push_str(&index.to_string()),
            _ => {
                let known = FIELDS.map(|field| format!("{{{field}}}")).join(", ");
                let detail =
                    format!("{template}: there is no field {{{name}}}; the fields are {known}");
                return Err(Error::new(Kind::Option, detail));
            }
        }
        rest = &after[1..];
    }
    Ok(out + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: Fields<'_> = Fields { method: "gradcam", model: "m" };

    fn file(path: &str) -> Input {
        Input::File(path.into())
    }

    #[test]
    fn a_template_names_each_result() {
        let destination = Destination::parse(
            Some("out/{stem}-{method}-{index}-{model}.png"),
            Operation::Explain,
            "png",
        );
        let files =
            destination.unwrap().files(&[file("a/cat.jpg"), file("dog.png")], FIELDS).unwrap();
        let names: Vec<_> = files.iter().flatten().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(names, ["out/cat-gradcam-0-m.png", "out/dog-gradcam-1-m.png"]);
    }

    #[test]
    fn a_folder_gets_a_name_for_each_result() {
        for (operation, name) in [
            (Operation::Explain, "new{1}/cat-gradcam.png"),
            (Operation::Compare, "new{1}/cat-compare.png"),
            (Operation::Predict, "new{1}/cat.png"),
        ] {
            let destination = Destination::parse(Some("new{1}/"), operation, "png").unwrap();
            let files = destination.files(&[file("cat.jpg")], FIELDS).unwrap();
            assert_eq!(files, [Some(name.into())]);
        }
    }

    #[test]
    fn wrong_templates_are_named() {
        let wrong =
            |template| Destination::parse(Some(template), Operation::Explain, "png").unwrap_err();
        assert_eq!(
            wrong("{name}.png").to_string(),
            "{name}.png: there is no field {name}; the fields are {stem}, {method}, {model}, {index}"
        );
        assert!(wrong("{stem.png").to_string().contains("has no partner"));
        assert!(wrong("{stem}}.png").to_string().contains("has no partner"));
    }

    #[test]
    fn no_result_is_lost_and_no_image_replaced() {
        let out = Destination::parse(Some("x/{stem}.png"), Operation::Explain, "png").unwrap();
        let error = out.files(&[file("a/cat.jpg"), file("b/cat.png")], FIELDS).unwrap_err();
        assert!(error.to_string().contains("would both be x/cat.png"), "{error}");
        let error = out.files(&[file("x/cat.png")], FIELDS).unwrap_err();
        assert_eq!(error.to_string(), "the result would replace the image x/cat.png");
        let one = Destination::parse(Some("map.png"), Operation::Explain, "png").unwrap();
        assert!(one.files(&[file("a.png"), file("b.png")], FIELDS).is_err());
    }

    #[test]
    fn the_extension_names_the_form() {
        let form = |name, operation| {
            Destination::parse(Some(name), operation, "png").unwrap().form(operation)
        };
        let picture = |output, format| Some(Preference { output, format });
        let (explain, compare) = (Operation::Explain, Operation::Compare);
        assert_eq!(form("a.PNG", explain).unwrap(), Some(Output::Overlay.into()));
        assert_eq!(form("{stem}.npy", explain).unwrap(), Some(Output::Npy.into()));
        assert_eq!(form("a.jpg", explain).unwrap(), picture(Output::Overlay, Format::Jpeg));
        assert_eq!(form("a.webp", explain).unwrap(), picture(Output::Overlay, Format::Webp));
        assert_eq!(form("a.png", compare).unwrap(), Some(Output::Figure.into()));
        assert_eq!(form("a.svg", compare).unwrap(), picture(Output::Figure, Format::Svg));
        assert_eq!(form("a.dat", Operation::Explain).unwrap(), None);
        assert!(form("a.npy", Operation::Compare).is_err());
        assert!(form("a.png", Operation::Predict).is_err());
    }
}
