//! Options, as a client gives them.

use super::*;
use proptest::prelude::*;

fn parse(endpoint: Endpoint, pairs: &[(&str, &str)]) -> Result<Question> {
    Question::parse(endpoint, pairs.iter().copied(), Output::of(endpoint)[0])
}

fn refusal(endpoint: Endpoint, pairs: &[(&str, &str)]) -> String {
    let error = parse(endpoint, pairs).unwrap_err();
    assert_eq!(error.kind(), Kind::Option);
    format!("{}: {error}", error.option().unwrap())
}

#[test]
fn no_options_are_the_contract_s_defaults() {
    let question = parse(Explain, &[]).unwrap();
    assert_eq!(question.explain, Options::default());
    assert_eq!(
        question.rendering,
        Rendering {
            output: Output::Overlay,
            size: Size::Image,
            colormap: Colormap::Jet,
            blend: Blend::Add,
            weight: 0.8,
            emphasize: false
        }
    );
    assert_eq!(parse(Compare, &[]).unwrap().methods, Method::ARTICLE);
    assert_eq!(parse(Explain, &[("blend", "mix")]).unwrap().rendering.weight, 0.5);
    assert_eq!(parse(Explain, &[("output", "npy")]).unwrap().rendering.size, Size::Layer);
    assert_eq!(parse(Explain, &[("weight", "0")]).unwrap().rendering.weight, 0.0);
}

#[test]
fn the_same_said_twice_is_no_contradiction() {
    let pairs = [("method", "gradcampp"), ("method", "Grad-CAM++"), ("weight", ".5"), ("weight", "0.50")];
    assert!(parse(Explain, &pairs).is_ok());
    insta::assert_snapshot!(refusal(Explain, &[("top_k", "1"), ("top_k", "2")]), @"");
}

#[test]
fn what_is_wrong_is_named_with_what_would_be_right() {
    insta::assert_snapshot!(refusal(Explain, &[("method", "gradcan")]), @"");
    insta::assert_snapshot!(refusal(Explain, &[("metod", "gradcam")]), @"");
    insta::assert_snapshot!(refusal(Explain, &[("methods", "gradcam")]), @"");
    insta::assert_snapshot!(refusal(Compare, &[("emphasize", "true")]), @"");
    insta::assert_snapshot!(refusal(Compare, &[("output", "overlay")]), @"");
    insta::assert_snapshot!(refusal(Compare, &[("methods", "gradcam,")]), @"");
    insta::assert_snapshot!(refusal(Compare, &[("methods", "gradcam,Grad-CAM")]), @"");
    insta::assert_snapshot!(refusal(Explain, &[("output", "figure")]), @"");
    insta::assert_snapshot!(refusal(Explain, &[("weight", "NaN")]), @"");
    insta::assert_snapshot!(refusal(Explain, &[("weight", "1.01")]), @"");
    insta::assert_snapshot!(refusal(Explain, &[("max_channels", "0")]), @"");
    insta::assert_snapshot!(refusal(Explain, &[("top_k", "101")]), @"");
    insta::assert_snapshot!(refusal(Explain, &[("emphasize", "maybe")]), @"");
    insta::assert_snapshot!(refusal(Explain, &[("layer", "")]), @"");
    insta::assert_snapshot!(refusal(Explain, &[("colormap", "rainbow")]), @"");
}

proptest! {
    #[test]
    fn any_pairs_give_a_question_or_a_refusal_that_names_one(pairs in proptest::collection::vec(("\\PC{0,12}", "\\PC{0,12}"), 0..4)) {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        if let Err(error) = parse(Explain, &pairs) {
            prop_assert!(pairs.iter().any(|(name, _)| Some(*name) == error.option()));
        }
    }
}
