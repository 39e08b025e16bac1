//! Options, as a client gives them.

use super::*;
use crate::app::explain_options::ExplainOptions;
use crate::app::options::{OPTIONS, Output};
use crate::app::validate::combinations::estimate;
use crate::error::Kind;
use crate::explain::{METHODS, Method};
use crate::picture::colormap::Colormap;
use crate::picture::encode::Format;
use crate::picture::overlay::Blend;
use Operation::{Compare, Explain};
use proptest::prelude::*;

fn parse(operation: Operation, pairs: &[(&str, &str)]) -> Result<RequestOptions> {
    RequestOptions::parse(operation, pairs.iter().copied(), Output::for_operation(operation)[0])
}

fn refusal(operation: Operation, pairs: &[(&str, &str)]) -> String {
    let error = parse(operation, pairs).unwrap_err();
    assert_eq!(error.kind(), Kind::Option);
    format!("{}: {error}", error.option().unwrap())
}

#[test]
fn without_options_the_contract_s_defaults_apply() {
    let options = parse(Explain, &[]).unwrap();
    assert_eq!(options.explain, ExplainOptions::default());
    assert_eq!(
        options.rendering,
        Rendering {
            output: Output::Overlay,
            format: Format::Png,
            dpi: None,
            columns: None,
            size: Size::Image,
            colormap: Colormap::Jet,
            blend: Blend::Mix,
            weight: 0.5,
            emphasize: false
        }
    );
    assert_eq!(parse(Compare, &[]).unwrap().methods, Method::ARTICLE);
    assert_eq!(parse(Explain, &[("blend", "mix")]).unwrap().rendering.weight, 0.5);
    assert_eq!(parse(Explain, &[("output", "npy")]).unwrap().rendering.size, Size::Layer);
    assert_eq!(parse(Explain, &[("weight", "0")]).unwrap().rendering.weight, 0.0);
}

#[test]
fn an_option_without_effect_is_refused() {
    insta::assert_snapshot!(refusal(Explain, &[("seed", "1")]), @"seed: option 'seed' has no effect here; it is for random, smoothgradcam++");
    insta::assert_snapshot!(refusal(Explain, &[("max_channels", "9"), ("method", "gradcam")]), @"max_channels: option 'max_channels' has no effect here; it is for scorecam");
    insta::assert_snapshot!(refusal(Compare, &[("methods", "gradcam,random"), ("convention", "article")]), @"convention: convention 'article' does not define Random weights; option 'convention' takes paper, pytorch-grad-cam for it");
    assert_eq!(parse(Explain, &[("method", "random"), ("seed", "3")]).unwrap().explain.seed, 3);
    assert_eq!(parse(Compare, &[("max_channels", "9")]).unwrap().explain.max_channels, Some(9));
    let huge = [("max_channels", "96675078646458426064896")];
    assert_eq!(parse(Compare, &huge).unwrap().explain.max_channels, Some(usize::MAX));
    assert!(parse(Explain, &[("top_k", "96675078646458426064896")]).is_err());
}

#[test]
fn an_estimate_needs_weights_that_are_independent() {
    for option in ["budget", "tolerance"] {
        let value = if option == "budget" { "9" } else { "0.1" };
        let check = |convention| {
            let pairs = [("method", "scorecam"), ("convention", convention), (option, value)];
            let request = parse(Explain, &pairs).unwrap();
            estimate(Method::ScoreCam.spec(), &request.explain).map_err(|error| error.kind())
        };
        assert_eq!(check("pytorch-grad-cam"), Err(Kind::Impossible), "{option}");
        assert_eq!(check("article"), Ok(()), "{option}");
    }
}

#[test]
fn every_default_is_a_valid_value() {
    for spec in OPTIONS {
        let operation = spec.operations[0];
        let mut values = OptionValues::default();
        if let Some(text) = spec.default.value(&values) {
            spec.parse(RawValue { text, operation }, &mut values).unwrap();
            assert_ne!(values, OptionValues::default(), "{}", spec.name);
        }
    }
}

#[test]
fn a_method_s_parameters_are_options() {
    for name in METHODS.iter().flat_map(|spec| spec.parameters) {
        assert!(OPTIONS.iter().any(|spec| spec.name == *name), "{name}");
    }
}

#[test]
fn the_same_value_may_be_given_twice() {
    let pairs =
        [("method", "gradcampp"), ("method", "Grad-CAM++"), ("weight", ".5"), ("weight", "0.50")];
    assert!(parse(Explain, &pairs).is_ok());
    insta::assert_snapshot!(refusal(Explain, &[("top_k", "1"), ("top_k", "2")]), @"top_k: option 'top_k' is given twice, with different values; give one");
}

#[test]
fn a_refusal_names_the_option_and_what_would_be_right() {
    insta::assert_snapshot!(refusal(Explain, &[("method", "gradcan")]), @"method: option 'method' can't be 'gradcan'; it takes gradcam++, gradcam, scorecam, layercam, hirescam, xgradcam, gradcam-elementwise, eigencam, eigengradcam, random, ablationcam, reciprocam, smoothgradcam++, groupcam");
    insta::assert_snapshot!(refusal(Explain, &[("metod", "gradcam")]), @"metod: there is no option 'metod' here (did you mean 'method'?); options are model, method, layer, target, contrast, negate, signed, score, convention, max_channels, budget, tolerance, seed, samples, noise, normalize, output, format, dpi, columns, size, colormap, blend, weight, emphasize, top_k");
    insta::assert_snapshot!(refusal(Explain, &[("methods", "gradcam")]), @"methods: there is no option 'methods' here (did you mean 'method'?); options are model, method, layer, target, contrast, negate, signed, score, convention, max_channels, budget, tolerance, seed, samples, noise, normalize, output, format, dpi, columns, size, colormap, blend, weight, emphasize, top_k");
    insta::assert_snapshot!(refusal(Compare, &[("emphasize", "true")]), @"emphasize: there is no option 'emphasize' here; options are model, methods, layer, target, contrast, negate, signed, score, convention, max_channels, budget, tolerance, seed, samples, noise, normalize, output, format, dpi, columns, size, colormap, blend, weight, top_k");
    insta::assert_snapshot!(refusal(Compare, &[("output", "overlay")]), @"output: option 'output' can't be 'overlay' here; it takes figure, json");
    insta::assert_snapshot!(refusal(Compare, &[("methods", "gradcam,")]), @"methods: option 'methods' can't name ''; it takes gradcam++, gradcam, scorecam, layercam, hirescam, xgradcam, gradcam-elementwise, eigencam, eigengradcam, random, ablationcam, reciprocam, smoothgradcam++, groupcam, separated by commas");
    insta::assert_snapshot!(refusal(Compare, &[("methods", "gradcam,Grad-CAM")]), @"methods: option 'methods' names gradcam twice");
    insta::assert_snapshot!(refusal(Explain, &[("output", "figure")]), @"output: option 'output' can't be 'figure' here; it takes overlay, heatmap, gray, json, npy");
    insta::assert_snapshot!(refusal(Explain, &[("weight", "NaN")]), @"weight: option 'weight' can't be 'NaN'; it takes a number from 0 to 1");
    insta::assert_snapshot!(refusal(Explain, &[("weight", "1.01")]), @"weight: option 'weight' can't be '1.01'; it takes a number from 0 to 1");
    insta::assert_snapshot!(refusal(Explain, &[("max_channels", "0")]), @"max_channels: option 'max_channels' can't be '0'; it takes a whole number from 1");
    insta::assert_snapshot!(refusal(Explain, &[("budget", "7"), ("method", "scorecam")]), @"budget: option 'budget' can't be '7'; it takes a whole number from 8");
    insta::assert_snapshot!(refusal(Explain, &[("tolerance", "1"), ("method", "scorecam")]), @"tolerance: option 'tolerance' can't be '1'; it takes a number between 0 and 1");
    insta::assert_snapshot!(refusal(Explain, &[("samples", "201"), ("method", "smoothgradcam++")]), @"samples: option 'samples' can't be '201'; it takes a whole number from 1 to 200");
    insta::assert_snapshot!(refusal(Explain, &[("noise", "1.5"), ("method", "smoothgradcam++")]), @"noise: option 'noise' can't be '1.5'; it takes a number from 0 to 1");
    insta::assert_snapshot!(refusal(Explain, &[("top_k", "101")]), @"top_k: option 'top_k' can't be '101'; it takes a whole number from 0 to 100");
    insta::assert_snapshot!(refusal(Explain, &[("emphasize", "maybe")]), @"emphasize: option 'emphasize' can't be 'maybe'; it takes true or false");
    insta::assert_snapshot!(refusal(Explain, &[("layer", "")]), @"layer: option 'layer' is empty; leave it out for the default");
    insta::assert_snapshot!(refusal(Explain, &[("colormap", "rainbow")]), @"colormap: option 'colormap' can't be 'rainbow'; it takes jet, turbo, viridis, inferno, magma, plasma, cividis, gray, coolwarm, rdbu");
}

proptest! {
    #[test]
    fn any_pairs_give_options_or_a_refusal_that_names_one(pairs in proptest::collection::vec(("\\PC{0,12}", "\\PC{0,12}"), 0..4)) {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        if let Err(error) = parse(Explain, &pairs) {
            prop_assert!(pairs.iter().any(|(name, _)| Some(*name) == error.option()));
        }
    }
}

#[test]
fn a_number_beside_an_excluded_bound_does_not_round_to_it() {
    for (text, is_small) in [("5e-324", true), ("0.99999999999", false)] {
        let options = parse(Explain, &[("method", "scorecam"), ("tolerance", text)]).unwrap();
        let tolerance = options.explain.tolerance.unwrap();
        assert!(tolerance > 0.0 && tolerance < 1.0 && (tolerance < 0.5) == is_small, "{tolerance}");
    }
}
