//! Warnings and quantities, as every way out of the service shows them.

use serde_json::json;

use super::contract::matches_schema;
use super::*;
use crate::net::{Net, int};

/// A model without a manifest, whose output `end` makes of one score `[N, 1]`.
fn network(end: impl FnOnce(&mut Net, &str) -> String) -> Vec<u8> {
    let mut net = Net::default();
    let (kernel, weight) = (net.weights(&[6, 3, 3, 3]), net.weights(&[6, 1]));
    let maps = net.op("Conv", &["x", &kernel]);
    let maps = net.op("Relu", &[&maps]);
    let mean = net.op("GlobalAveragePool", &[&maps]);
    let features = net.op("Flatten", &[&mean]);
    let score = net.op("MatMul", &[&features, &weight]);
    let output = end(&mut net, &score);
    net.model([3, 32, 32], &[&output], 18).encode_to_vec()
}

/// `age`, a regression, and `sure`, a binary classifier that is certain of its class.
fn quantities() -> Router {
    static MODELS: OnceLock<ModelRegistry> = OnceLock::new();
    let load = || {
        let folder = tempfile::tempdir().unwrap().keep();
        let age = network(|net, score| {
            let years = net.float(40.0);
            net.op("Add", &[score, &years])
        });
        model(&folder, "age", &age, "", "");
        std::fs::remove_file(folder.join("age/model.toml")).unwrap();
        let sure = network(|net, score| {
            let (scale, shift) = (net.float(1e-3), net.float(20.0));
            let small = net.op("Mul", &[score, &scale]);
            let logit = net.op("Add", &[&small, &shift]);
            let probability = net.op("Sigmoid", &[&logit]);
            let one = net.float(1.0);
            let other = net.op("Sub", &[&one, &probability]);
            net.with("Concat", &[&other, &probability], vec![int("axis", 1)])
        });
        model(&folder, "sure", &sure, "", "no\nyes\n");
        start(&folder, "age")
    };
    service_with(MODELS.get_or_init(load).clone(), Server::default()).0
}

#[tokio::test]
async fn a_quantity_has_a_value_and_no_probability() {
    let service = quantities();
    let path = "/v1/explain?model=age&output=json";
    let answered = post_image(&service, path, chelsea()).await;
    let body = answered.json();
    matches_schema("Explanation", &body);
    assert_eq!(
        (&body["target"]["probability"], &body["target"]["logit"]),
        (&json!(null), &json!(null))
    );
    let value = body["target"]["value"].as_f64().unwrap();
    assert!((30.0..50.0).contains(&value), "{value}");
    let codes: Vec<_> = body["warnings"].as_array().unwrap().iter().map(|w| &w["code"]).collect();
    assert_eq!(codes, ["preprocessing-guessed", "output-guessed"]);

    let picture = post_image(&service, "/v1/explain?model=age", chelsea()).await;
    assert_eq!(picture.header("camlens-warnings"), "preprocessing-guessed,output-guessed");
    assert_eq!(picture.header("camlens-value").parse::<f32>().unwrap(), value as f32);
    assert!(!picture.headers.contains_key("camlens-probability"));

    let predicted = post_image(&service, "/v1/predict?model=age", chelsea()).await.json();
    matches_schema("PredictResponse", &predicted);
    assert_eq!(predicted["predictions"], json!([body["target"]]));
    assert_eq!(predicted["warnings"], body["warnings"]);

    let described = get(&service, "/v1/models/age").await.json();
    matches_schema("Model", &described);
    assert_eq!(
        (&described["output"]["kind"], &described["output"]["classes"]),
        (&json!("regression"), &json!(1))
    );
    assert_eq!(described["warnings"], body["warnings"]);

    let refused = post_image(&service, "/v1/explain?model=age&score=probability", chelsea()).await;
    assert_eq!(
        (refused.status, &refused.json()["option"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("score"))
    );
}

#[tokio::test]
async fn a_saturated_score_is_told_in_json_and_headers() {
    let service = quantities();
    let article = "/v1/explain?model=sure&method=gradcam&convention=article";
    let picture = post_image(&service, article, chelsea()).await;
    assert_eq!(picture.header("camlens-warnings"), "saturated-score");
    let body = post_image(&service, &format!("{article}&output=json"), chelsea()).await.json();
    matches_schema("Explanation", &body);
    let [warning] = body["warnings"].as_array().unwrap().as_slice() else { panic!("{body}") };
    assert!(warning["detail"].as_str().unwrap().contains("score=logit"), "{warning}");
    let logit = post_image(&service, &format!("{article}&score=logit"), chelsea()).await;
    assert!(!logit.headers.contains_key("camlens-warnings"));
    // Several methods or classes share one list, in which each warning stands once.
    let compared =
        "/v1/compare?model=sure&methods=gradcam,gradcampp&convention=article&output=json";
    let body = post_image(&service, compared, chelsea()).await.json();
    matches_schema("Comparison", &body);
    assert_eq!(body["warnings"].as_array().unwrap().len(), 1);
    let body = post_image(&service, &format!("{article}&output=json&target=0,1"), chelsea()).await;
    let body = body.json();
    matches_schema("Explanations", &body);
    assert_eq!(body["warnings"].as_array().unwrap().len(), 1);
}

/// Class 0 has evidence against it alone; class 1 the same for it; class 2 reads nothing.
fn one_sided() -> Router {
    static MODELS: OnceLock<ModelRegistry> = OnceLock::new();
    let load = || {
        let folder = tempfile::tempdir().unwrap().keep();
        let mut net = Net::default();
        let kernel = net.weights(&[6, 3, 3, 3]);
        let weights: Vec<f32> = [-1.0, 1.0, 0.0].repeat(6);
        let weight = net.float32s(&[6, 3], &weights);
        let maps = net.op("Conv", &["x", &kernel]);
        let maps = net.op("Sigmoid", &[&maps]);
        let mean = net.op("GlobalAveragePool", &[&maps]);
        let features = net.op("Flatten", &[&mean]);
        let scores = net.op("MatMul", &[&features, &weight]);
        let bytes = net.model([3, 32, 32], &[&scores], 18).encode_to_vec();
        model(&folder, "sided", &bytes, "[output]\nkind = \"logits\"\n", "");
        start(&folder, "sided")
    };
    service_with(MODELS.get_or_init(load).clone(), Server::default()).0
}

#[tokio::test]
async fn an_empty_map_says_why_it_is_empty() {
    let service = one_sided();
    for (query, why, cure) in [
        ("gradcam&target=0", "no value of the map is above 0", "signed=true"),
        ("gradcam&target=1&negate=true", "no value of the map is above 0", "signed=true"),
        ("gradcam&target=2", "its gradient is 0 everywhere", "another layer"),
        ("gradcam&target=2&signed=true", "its gradient is 0 everywhere", "another layer"),
        ("layercam&target=0", "no value of the map is above 0", "another layer"),
    ] {
        let path = format!("/v1/explain?method={query}");
        let body = post_image(&service, &format!("{path}&output=json"), chelsea()).await.json();
        matches_schema("Explanation", &body);
        assert_eq!(body["heatmap"]["empty"], json!(true), "{query}");
        let [warning] = body["warnings"].as_array().unwrap().as_slice() else { panic!("{body}") };
        assert_eq!(warning["code"], json!("empty-map"), "{query}");
        let detail = warning["detail"].as_str().unwrap();
        let layer = body["layer"].as_str().unwrap();
        let verb = if query.contains("negate") { "against" } else { "for" };
        let subject = format!("nothing in layer '{layer}' speaks {verb} class");
        assert!(detail.starts_with(&subject), "{detail}");
        assert!(detail.contains(why) && detail.contains(cure), "{query}: {detail}");
        let picture = post_image(&service, &path, chelsea()).await;
        assert_eq!(picture.header("camlens-warnings"), "empty-map", "{query}");
    }
    // What the warning advises shows something.
    for query in ["target=1", "target=0&signed=true"] {
        let path = format!("/v1/explain?method=gradcam&{query}");
        let picture = post_image(&service, &path, chelsea()).await;
        assert!(!picture.headers.contains_key("camlens-warnings"), "{query}");
    }
}

/// `mirrored` flips the image before its convolution; `rooted` has a square root at 0, whose
/// gradient is infinite.
fn doubtful() -> Router {
    static MODELS: OnceLock<ModelRegistry> = OnceLock::new();
    let load = || {
        let folder = tempfile::tempdir().unwrap().keep();
        let build = |before: &dyn Fn(&mut Net) -> String,
                     after: &dyn Fn(&mut Net, &str) -> String| {
            let mut net = Net::default();
            let (kernel, weight) = (net.weights(&[6, 3, 3, 3]), net.weights(&[6, 3]));
            let image = before(&mut net);
            let maps = net.op("Conv", &[&image, &kernel]);
            let maps = net.op("Relu", &[&maps]);
            let maps = after(&mut net, &maps);
            let mean = net.op("GlobalAveragePool", &[&maps]);
            let features = net.op("Flatten", &[&mean]);
            let scores = net.op("MatMul", &[&features, &weight]);
            net.model([3, 32, 32], &[&scores], 18).encode_to_vec()
        };
        let flip = |net: &mut Net| {
            let inputs = [[-1], [i64::MIN], [3], [-1]].map(|values| net.ints(&values));
            net.op("Slice", &["x", &inputs[0], &inputs[1], &inputs[2], &inputs[3]])
        };
        let mirrored = build(&flip, &|_, maps| maps.to_owned());
        model(&folder, "mirrored", &mirrored, "", "");
        let rooted = build(&|_| "x".to_owned(), &|net, maps| net.op("Sqrt", &[maps]));
        model(&folder, "rooted", &rooted, "", "");
        start(&folder, "mirrored")
    };
    service_with(MODELS.get_or_init(load).clone(), Server::default()).0
}

#[tokio::test]
async fn a_layer_whose_positions_could_not_be_traced_says_so() {
    let service = doubtful();
    let body = post_image(&service, "/v1/explain?output=json", chelsea()).await.json();
    matches_schema("Explanation", &body);
    let [warning] = body["warnings"].as_array().unwrap().as_slice() else { panic!("{body}") };
    assert_eq!(warning["code"], json!("positions-untraced"));
    assert!(warning["detail"].as_str().unwrap().contains("(Slice) may move them"), "{warning}");
    let picture = post_image(&service, "/v1/explain", chelsea()).await;
    assert_eq!(picture.header("camlens-warnings"), "positions-untraced");
    let described = get(&service, "/v1/models/mirrored").await.json();
    matches_schema("Model", &described);
    assert!(described["layers"][0]["moved_by"].as_str().unwrap().ends_with("(Slice)"));
}

#[tokio::test]
async fn a_map_that_is_not_finite_is_refused() {
    let service = doubtful();
    let layer = get(&service, "/v1/models/rooted").await.json()["layers"][0]["tensor"].clone();
    let path = format!("/v1/explain?model=rooted&method=gradcam&layer={}", layer.as_str().unwrap());
    let refused = post_image(&service, &path, chelsea()).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.json());
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("holds NaN or infinity"), "{detail}");
    let masked = format!("{path}&method=scorecam").replace("&method=gradcam&", "&");
    assert_eq!(post_image(&service, &masked, chelsea()).await.status, StatusCode::OK);
}

/// Attention pooling: the softmax's gradient sums to 0 over the positions, so the mean that Grad-CAM
/// takes is rounding alone.
#[tokio::test]
async fn a_map_of_rounding_alone_is_empty() {
    let folder = tempfile::tempdir().unwrap().keep();
    let mut net = Net::default();
    let (kernel, gate, weight) =
        (net.weights(&[6, 3, 3, 3]), net.weights(&[1, 6, 1, 1]), net.weights(&[6, 3]));
    let (flat, channels) = (net.ints(&[0, 1, -1]), net.ints(&[0, 6, -1]));
    let maps = net.op("Conv", &["x", &kernel]);
    let maps = net.op("Relu", &[&maps]);
    let attention = net.op("Conv", &[&maps, &gate]);
    let logits = net.op("Reshape", &[&attention, &flat]);
    let shares = net.with("Softmax", &[&logits], vec![int("axis", 2)]);
    let values = net.op("Reshape", &[&maps, &channels]);
    let weighted = net.op("Mul", &[&values, &shares]);
    let axis = net.ints(&[2]);
    let features = net.with("ReduceSum", &[&weighted, &axis], vec![int("keepdims", 0)]);
    let scores = net.op("MatMul", &[&features, &weight]);
    model(&folder, "attention", &net.model([3, 32, 32], &[&scores], 18).encode_to_vec(), "", "");
    let service = service_with(start(&folder, "attention"), Server::default()).0;
    let path = format!("/v1/explain?output=json&target=1&layer={attention}&method=");
    let body = post_image(&service, &format!("{path}gradcam"), chelsea()).await.json();
    assert_eq!(body["heatmap"]["empty"], json!(true), "{body}");
    let [warning] = body["warnings"].as_array().unwrap().as_slice() else { panic!("{body}") };
    assert!(warning["detail"].as_str().unwrap().contains("cancel"), "{warning}");
    let body = post_image(&service, &format!("{path}hirescam"), chelsea()).await.json();
    assert_eq!(body["heatmap"]["empty"], json!(false), "{body}");
    // The default layer holds features, not the gate of one channel.
    let described = get(&service, "/v1/models/attention").await.json();
    let default = described["default_layer"].as_str().unwrap();
    let layers = described["layers"].as_array().unwrap();
    let layer = layers.iter().find(|layer| layer["alias"] == json!(default)).unwrap();
    assert_eq!(layer["shape"][0], json!(6));
}
