//! Checks of options against each other. They need neither model nor image, so they run before a
//! body is read.

use crate::app::explain_options::ExplainOptions;
use crate::app::options::Output;
use crate::error::{Error, Kind, Result};
use crate::explain::Choice;
use crate::explain::Convention;
use crate::explain::METHODS;
use crate::explain::Method;
use crate::explain::MethodSpec;

/// Checks that every method defines the convention and that every option in `given` has an effect
/// on some method.
///
/// # Errors
/// [`Kind::Option`], or the errors of [`estimate`].
pub fn check(given: &[&'static str], methods: &[Method], options: &ExplainOptions) -> Result<()> {
    let convention = options.convention;
    let unknown = |spec: &&MethodSpec| !spec.conventions.contains(&convention);
    if let Some(spec) = methods.iter().map(|method| method.spec()).find(unknown) {
        let names: Vec<_> = spec.conventions.iter().map(|known| known.name()).collect();
        let detail = format!(
            "convention '{convention}' does not define {}; option 'convention' takes {} for it",
            spec.title,
            names.join(", ")
        );
        return Err(Error::new(Kind::Option, detail).about("convention"));
    }
    for option in given {
        let reads = |spec: &&&MethodSpec| spec.parameters.contains(option);
        let names: Vec<_> = METHODS.iter().filter(reads).map(|spec| spec.name).collect();
        let is_read = methods.iter().any(|method| reads(&&method.spec()));
        if !names.is_empty() && !is_read {
            let names = names.join(", ");
            let detail = format!("option '{option}' has no effect here; it is for {names}");
            return Err(Error::new(Kind::Option, detail).about(*option));
        }
    }
    Ok(())
}

/// Checks that options of pictures are given for a picture.
///
/// # Errors
/// [`Kind::Option`].
pub fn form(given: &[&'static str], output: Output) -> Result<()> {
    const PICTURES: [&str; 3] = ["format", "dpi", "columns"];
    let option = given.iter().find(|option| PICTURES.contains(option));
    match option {
        Some(option) if !output.is_picture() => {
            let output = output.name();
            let detail =
                format!("option '{option}' has no effect with output={output}; it is for pictures");
            Err(Error::new(Kind::Option, detail).about(*option))
        }
        _ => Ok(()),
    }
}

/// Checks that the weights can be estimated one by one where `budget` or `tolerance` require it.
///
/// # Errors
/// [`Kind::Impossible`].
pub fn estimate(spec: &MethodSpec, options: &ExplainOptions) -> Result<()> {
    let is_estimated = options.budget.is_some() || options.tolerance.is_some();
    let is_relative = options.convention == Convention::PytorchGradCam;
    if is_estimated && is_relative && spec.parameters.contains(&"budget") {
        let detail = "pytorch-grad-cam applies a softmax over all channels, so no weight can be \
                      estimated on its own; options 'budget' and 'tolerance' work with the conventions \
                      paper and article";
        return Err(Error::new(Kind::Impossible, detail));
    }
    Ok(())
}
