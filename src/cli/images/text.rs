//! What a person at a terminal reads instead of JSON: labels and per cents.

use serde_json::Value;

/// The predictions of a result, one a line, and what was explained.
pub(super) fn of_result(name: &str, body: &Value) -> String {
    let mut lines = vec![name.to_owned()];
    let predictions = body["predictions"].as_array().map(Vec::as_slice).unwrap_or_default();
    lines.extend(predictions.iter().map(|prediction| format!("  {}", of_class(prediction))));
    let explained = body["target"].as_object().map(|_| vec![body]);
    let explained = explained.or_else(|| body["maps"].as_array().map(|maps| maps.iter().collect()));
    for map in explained.unwrap_or_default() {
        let part = |key: &str| map[key].as_str().or(body[key].as_str()).unwrap_or_default();
        let target = if map["target"].is_object() { &map["target"] } else { &body["target"] };
        let class = label(target);
        let empty = if map["heatmap"]["empty"] == true { ", and is empty" } else { "" };
        let (method, layer) = (part("method"), printable(part("layer")));
        lines.push(format!("  {method} at {layer} explains {class}{empty}"));
    }
    lines.join("\n") + "\n"
}

/// `39.3 %  Egyptian cat`, or `21.5  age` for a quantity.
fn of_class(class: &Value) -> String {
    let amount = match (class["probability"].as_f64(), class["value"].as_f64()) {
        (Some(probability), _) => format!("{:5.1} %", 100.0 * probability),
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
        insta::assert_snapshot!(of_result("cat.jpg", &body), @r"
        cat.jpg
           39.3 %  Egyptian cat
            5.0 %  class 1
          gradcam at conv_head explains Egyptian cat
        ");
    }

    #[test]
    fn a_label_cannot_control_the_terminal() {
        let body = json!({ "predictions": [{ "label": "cat\u{1b}[2J", "probability": 1.0 }] });
        assert_eq!(of_result("a.png", &body), "a.png\n  100.0 %  cat\u{fffd}[2J\n");
    }

    #[test]
    fn a_quantity_has_no_per_cent() {
        let body = json!({ "predictions": [{ "index": 0, "label": "age", "value": 21.5 }] });
        assert_eq!(of_result("face.png", &body), "face.png\n   21.500  age\n");
    }
}
