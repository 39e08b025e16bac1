//! The table of methods: the one place that collects every method's spec.
//!
//! The parser of requests, the list of a model's methods and the titles of figures read this table.
//! To add a method, write its file with a `SPEC`, add a variant to [`Method`], and list both here.

use std::fmt;

use super::{
    ablationcam, eigencam, eigengradcam, gradcam, gradcam_elementwise, gradcam_plus_plus, groupcam,
    hirescam, layercam, random, reciprocam, scorecam, smoothgradcam_plus_plus, xgradcam,
};
use crate::explain::choice::Choice;
use crate::explain::method::Method;
use crate::explain::spec::MethodSpec;

/// Every method, in the order of [`Method`].
pub const METHODS: &[&MethodSpec] = &[
    &gradcam_plus_plus::SPEC,
    &gradcam::SPEC,
    &scorecam::SPEC,
    &layercam::SPEC,
    &hirescam::SPEC,
    &xgradcam::SPEC,
    &gradcam_elementwise::SPEC,
    &eigencam::SPEC,
    &eigengradcam::SPEC,
    &random::SPEC,
    &ablationcam::SPEC,
    &reciprocam::SPEC,
    &smoothgradcam_plus_plus::SPEC,
    &groupcam::SPEC,
];

// `Method::spec` indexes the table by the enum's value.
const _: () = {
    let mut index = 0;
    while index < METHODS.len() {
        assert!(METHODS[index].method as usize == index);
        index += 1;
    }
};

impl Method {
    /// The method's row of the table.
    #[must_use]
    pub const fn spec(self) -> &'static MethodSpec {
        METHODS[self as usize]
    }

    /// The name as papers write it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.spec().title
    }
}

const CHOICES: [(&str, Method); METHODS.len()] = {
    let mut choices = [("", Method::GradCam); METHODS.len()];
    let mut index = 0;
    while index < METHODS.len() {
        choices[index] = (METHODS[index].name, METHODS[index].method);
        index += 1;
    }
    choices
};

impl Choice for Method {
    const CHOICES: &'static [(&'static str, Self)] = &CHOICES;

    /// Accepts the spellings in use too: `gradcampp`, `Grad-CAM++`, `score_cam`.
    fn from_name(name: &str) -> Option<Self> {
        let plain = |name: &str| -> String {
            // Form decoding turns an unescaped `+` into a space; the aliases cover what is left.
            name.chars()
                .filter(|c| !matches!(c, '-' | '_' | ' '))
                .collect::<String>()
                .to_ascii_lowercase()
        };
        let name = plain(name);
        let is_match =
            |spec: &&&MethodSpec| plain(spec.name) == name || spec.aliases.contains(&name.as_str());
        METHODS.iter().find(is_match).map(|spec| spec.method)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::parameters::Convention;

    #[test]
    fn every_spec_has_names_and_starts_with_the_paper() {
        for spec in METHODS {
            assert!(!spec.name.is_empty() && !spec.title.is_empty(), "{spec:?}");
            assert_eq!(spec.conventions[0], Convention::Paper, "{}", spec.name);
        }
    }

    #[test]
    fn methods_are_found_by_all_their_spellings() {
        for name in ["gradcam++", "gradcampp", "Grad-CAM++", "GradCAMPlusPlus", "grad_cam_pp"] {
            assert_eq!(Method::from_name(name), Some(Method::GradCamPlusPlus), "{name}");
        }
        assert_eq!(Method::from_name("Score-CAM"), Some(Method::ScoreCam));
        assert_eq!(Method::from_name("gradcan"), None);
    }

    #[test]
    fn every_method_is_found_by_its_canonical_name() {
        for &(name, method) in Method::CHOICES {
            assert_eq!(Method::from_name(name), Some(method));
            assert_eq!(method.name(), name);
        }
    }
}
