//! Scripts of other origins can read every header that a response has for them.

use std::collections::BTreeSet;

use camlens::http::middleware::keys::ApiKeys;
use camlens::http::response_headers::exposed;

use super::*;

/// What a browser shows to every script (the Fetch standard).
const ALWAYS: [&str; 3] = ["content-type", "content-length", "cache-control"];

/// What is for browsers and proxies, not for scripts.
const NOT_FOR_SCRIPTS: [&str; 7] = [
    "content-security-policy",
    "x-content-type-options",
    "vary",
    "connection",
    "x-accel-buffering",
    "access-control-allow-origin",
    "access-control-expose-headers",
];

fn with_origin(mut request: Request<Body>) -> Request<Body> {
    request.headers_mut().insert("origin", "https://example.org".parse().unwrap());
    request
}

fn get_request(path: &str) -> Request<Body> {
    Request::builder().uri(path).body(Body::empty()).unwrap()
}

/// Requests whose responses have all kinds of headers between them.
fn requests() -> Vec<Request<Body>> {
    let image = |path: &str| post(path, "image/png", chelsea());
    let mut compressed = image("/v1/explain");
    compressed.headers_mut().insert("content-encoding", "br".parse().unwrap());
    let mut tensors = image("/v2/models/tiny/infer");
    tensors.headers_mut().insert("inference-header-content-length", "0".parse().unwrap());
    let mut streamed = image("/v1/explain");
    streamed.headers_mut().insert("accept", "text/event-stream".parse().unwrap());
    let mut sagemaker = image("/invocations");
    sagemaker.headers_mut().insert("accept", "image/png".parse().unwrap());
    vec![
        image("/v1/explain"),
        image("/v1/explain?method=gradcam&signed=true&contrast=3&target=2&negate=true"),
        image("/v1/explain?method=scorecam&budget=8"),
        image("/v1/explain?target=2,5"),
        image("/v1/explain?model=cropped&output=npy"),
        image("/v1/compare"),
        image("/v1/predict"),
        // Errors: an option, a path, a method, an image, a model that failed.
        image("/v1/explain?metod=x"),
        image("/v1/explain?model=broken"),
        post("/v1/explain", "image/png", "no image"),
        compressed,
        get_request("/nowhere"),
        get_request("/v1/explain"),
        tensors,
        streamed,
        sagemaker,
        get_request("/"),
        get_request("/v1/models"),
        get_request("/openapi.json"),
        get_request("/metrics"),
        get_request("/docs"),
    ]
}

#[tokio::test]
async fn every_header_of_a_response_is_exposed() {
    let keys = ApiKeys::parse("a-key-that-nobody-guesses\n").unwrap();
    let cors_origins = vec!["https://example.org".to_owned()];
    let open = Server { cors_origins, ..Server::default() };
    let locked = AppState::with_keys(models(), open.clone(), Some(keys));
    let locked = camlens::http::router(locked);
    let (busy, state) = service_with(models(), open.clone());
    state.admission().drain();
    let (open, _) = service_with(models(), open);
    let mut responses = Vec::new();
    for request in requests() {
        responses.push(send(&open, with_origin(request)).await);
    }
    responses.push(send(&locked, with_origin(get_request("/v1/models"))).await);
    let refused = post("/v1/explain", "image/png", chelsea());
    responses.push(send(&busy, with_origin(refused)).await);

    let table: BTreeSet<&str> = exposed().collect();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for response in &responses {
        let listed = response.header("access-control-expose-headers");
        let listed: BTreeSet<&str> = listed.split(',').map(str::trim).collect();
        assert_eq!(listed, table, "{}", response.status);
        for name in response.headers.keys().map(axum::http::HeaderName::as_str) {
            let is_readable = table.contains(name) || ALWAYS.contains(&name);
            assert!(is_readable || NOT_FOR_SCRIPTS.contains(&name), "{name}");
            seen.insert(name.to_owned());
        }
    }
    // A name that no response has would be one too many, or these requests would be too few.
    // Quantities, estimated gradients and warnings are of models that are not here.
    let of_other_models = BTreeSet::from(["camlens-value", "camlens-gradient", "camlens-warnings"]);
    let missing: BTreeSet<&str> =
        table.iter().copied().filter(|name| !seen.contains(*name)).collect();
    assert_eq!(missing, of_other_models);
}

#[test]
fn the_guide_lists_every_header_that_is_exposed() {
    let guide = std::fs::read_to_string(repository("docs/guide/api.md")).unwrap();
    let section = guide.split("## Browsers of other origins").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let table = guide.split("| header | content |").nth(1).unwrap();
    let table = table.split("\n\n").next().unwrap();
    for name in exposed() {
        let quoted = format!("`{name}`");
        assert!(section.contains(&quoted) || table.contains(&quoted), "{name}");
    }
}
