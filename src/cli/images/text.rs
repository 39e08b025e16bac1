//! What a person at a terminal reads instead of JSON: labels and per cents.

use serde_json::Value;

use crate::app::ExplainResponse;
use crate::app::response::TargetFacts;
use crate::text::per_cent;

/// The predictions of a result, one a line, and what was explained.
///
/// `methods` are those of a comparison in the order of the request, which JSON does not keep.
pub(super) fn of_result(name: &str, body: &Value, methods: &[&str]) -> String {
    let mut lines = vec![name.to_owned()];
    let predictions = body["predictions"].as_array().map(Vec::as_slice).unwrap_or_default();
    lines.extend(predictions.iter().map(|prediction| format!("  {}", of_class(prediction))));
    lines.extend(explained(body, methods));
    lines.join("\n") + "\n"
}

/// A line for each map: that of one method and class, those of several classes in a list, or those
/// of several methods by their names.
fn explained(body: &Value, methods: &[&str]) -> Vec<String> {
    let line = |method: &str, map: &Value| {
        let layer = printable(map["layer"].as_str().or(body["layer"].as_str()).unwrap_or_default());
        let class = label(if map["target"].is_object() { &map["target"] } else { &body["target"] });
        let empty = if map["heatmap"]["empty"] == true { ", and is empty" } else { "" };
        let estimate = map["heatmap"]["estimate"]["correlation"].as_f64();
        let estimate = estimate.map(|value| format!("; {}", of_estimate(value)));
        format!("  {method} at {layer} explains {class}{empty}{}", estimate.unwrap_or_default())
    };
    let method = body["method"].as_str().unwrap_or_default();
    match &body["maps"] {
        Value::Array(maps) => maps.iter().map(|map| line(method, map)).collect(),
        Value::Object(maps) => {
            let of = |method: &&str| maps.get(*method).map(|map| line(method, map));
            methods.iter().filter_map(of).collect()
        }
        _ if body["target"].is_object() => vec![line(method, body)],
        _ => Vec::new(),
    }
}

/// `39.3 %  Egyptian cat`, or `21.5  age` for a quantity.
fn of_class(class: &Value) -> String {
    let amount = match (class["probability"].as_f64(), class["value"].as_f64()) {
        (Some(probability), _) => format!("{:>7}", per_cent(probability)),
        (None, Some(value)) => format!("{value:7.3}"),
        (None, None) => String::new(),
    };
    format!("{amount}  {}", label(class))
}

fn label(class: &Value) -> String {
    match class["label"].as_str() {
        Some(label) => printable(label),
        None => format!("class {}", class["index"]),
    }
}

/// What a file shows, in one line.
pub(super) fn of_file(response: &ExplainResponse) -> String {
    let model = &response.facts.model;
    let Some(maps) = &response.facts.maps else {
        let best = of_best(&response.body).map(|best| format!("{best}, "));
        return format!("{}by {model}", best.unwrap_or_default());
    };
    let targets: Vec<String> = maps.targets.iter().map(of_target).collect();
    let is_quantity = maps.targets.iter().any(|target| target.value.is_some());
    let what = match (is_quantity, targets.len()) {
        (true, 1) => "output",
        (true, _) => "outputs",
        (false, 1) => "class",
        (false, _) => "classes",
    };
    let targets = targets.join(", ");
    let note = match (maps.each.iter().filter(|map| map.is_empty).count(), maps.each.len()) {
        (0, _) => "",
        (1, 1) if maps.negate => "; nothing in the layer speaks against it",
        (1, 1) => "; nothing in the layer supports it",
        (empty, all) if empty == all => "; all maps are empty",
        _ => "; some of the maps are empty",
    };
    let estimates = maps.each.iter().filter_map(|map| map.correlation);
    let estimate = estimates.reduce(f64::min);
    let estimate = estimate.map(|value| format!("; {}", of_estimate(value)));
    let (layer, estimate) = (&maps.layer, estimate.unwrap_or_default());
    format!("{what} {targets} of {model}, layer {layer}{note}{estimate}")
}

/// `285 'Egyptian cat' (39.3 %)`: index, label, and the probability or the value of a quantity.
fn of_target(target: &TargetFacts) -> String {
    let label = target.label.as_deref().map(|label| format!(" '{}'", printable(label)));
    let amount = match (target.value, target.probability) {
        (Some(value), _) => format!(" ({value})"),
        (None, Some(probability)) => format!(" ({})", per_cent(probability.into())),
        (None, None) => String::new(),
    };
    format!("{}{}{amount}", target.index, label.unwrap_or_default())
}

/// How close an estimate is to the map of all passes.
fn of_estimate(correlation: f64) -> String {
    format!("an estimate, its correlation with the exact map is about {correlation:.2}")
}

/// The most probable class of a prediction, for the line that tells of its file.
fn of_best(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let best = body["predictions"].get(0)?;
    Some(of_class(best).trim_start().to_owned())
}

/// Text of a model's files, without characters that would control the terminal.
fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_explanation_is_told_in_words() {
        let cat = json!({ "index": 285, "label": "Egyptian cat", "probability": 0.39296454 });
        let body = json!({
            "method": "gradcam", "layer": "conv_head", "target": cat,
            "predictions": [cat, { "index": 1, "label": null, "probability": 0.05 }],
            "heatmap": { "empty": false },
        });
        insta::assert_snapshot!(of_result("cat.jpg", &body, &[]), @r"
        cat.jpg
           39.3 %  Egyptian cat
            5.0 %  class 1
          gradcam at conv_head explains Egyptian cat
        ");
    }

    #[test]
    fn a_comparison_has_a_line_for_each_method() {
        let cat = json!({ "index": 285, "label": "Egyptian cat", "probability": 0.0004 });
        let body = json!({
            "layer": "conv_head", "target": cat, "predictions": [cat],
            "maps": {
                "scorecam": { "heatmap": { "empty": true } },
                "gradcam": { "heatmap": { "empty": false } },
            },
        });
        insta::assert_snapshot!(of_result("cat.jpg", &body, &["scorecam", "gradcam"]), @r"
        cat.jpg
          < 0.1 %  Egyptian cat
          scorecam at conv_head explains Egyptian cat, and is empty
          gradcam at conv_head explains Egyptian cat
        ");
    }

    #[test]
    fn a_file_s_line_names_the_class_or_the_quantity() {
        let of = |label: Option<&str>, probability, value| {
            let label = label.map(str::to_owned);
            of_target(&TargetFacts { index: 3, label, probability, value })
        };
        assert_eq!(of(Some("cat\n"), Some(0.39296), None), "3 'cat\u{fffd}' (39.3 %)");
        assert_eq!(of(None, Some(1e-5), None), "3 (< 0.1 %)");
        assert_eq!(of(Some("age"), None, Some(21.5)), "3 'age' (21.5)");
        assert_eq!(of(None, None, None), "3");
    }

    #[test]
    fn a_label_cannot_control_the_terminal() {
        let body = json!({ "predictions": [{ "label": "cat\u{1b}[2J", "probability": 1.0 }] });
        assert_eq!(of_result("a.png", &body, &[]), "a.png\n  100.0 %  cat\u{fffd}[2J\n");
    }

    #[test]
    fn a_quantity_has_no_per_cent() {
        let body = json!({ "predictions": [{ "index": 0, "label": "age", "value": 21.5 }] });
        assert_eq!(of_result("face.png", &body, &[]), "face.png\n   21.500  age\n");
    }
}
