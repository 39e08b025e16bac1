//! API keys.

use axum::http::request::Builder;
use camlens::http::middleware::keys::ApiKeys;

use super::*;

const KEY: &str = "red-0123456789abcdef";

fn guarded() -> Router {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{KEY}\nblue-0123456789abcdef\n")).unwrap();
    let keys = ApiKeys::read(file.path()).unwrap();
    camlens::http::router(AppState::with_keys(models(), Server::default(), Some(keys)))
}

async fn ask(service: &Router, request: Builder) -> Answered {
    send(service, request.body(chelsea().into()).unwrap()).await
}

#[tokio::test]
async fn a_request_needs_one_of_the_keys_in_either_header() {
    let service = guarded();
    let request = || Request::post("/v1/predict").header("content-type", "image/png");
    for (name, value) in [
        ("authorization", format!("Bearer {KEY}")),
        ("authorization", format!("bearer  {KEY}")),
        ("x-api-key", "blue-0123456789abcdef".to_owned()),
    ] {
        assert_eq!(ask(&service, request().header(name, value)).await.status, StatusCode::OK);
    }
    for (name, value) in [
        ("authorization", "Bearer red-0123456789abcde"),
        ("authorization", KEY),
        ("authorization", "Basic cmVkLTAxMjM0NTY3ODlhYmNkZWY6"),
        ("authorization", "Bearer "),
        ("x-api-key", ""),
        ("x-other", KEY),
    ] {
        let response = ask(&service, request().header(name, value)).await;
        assert_eq!(response.status, StatusCode::UNAUTHORIZED, "{name}: {value}");
        assert_eq!(response.header("www-authenticate"), "Bearer realm=\"camlens\"");
        assert!(!String::from_utf8_lossy(&response.body).contains("0123456789"));
    }
    insta::assert_snapshot!(get(&service, "/v1/models").await.problem(), @r"
    401
    detail: this service asks for an API key: send 'Authorization: Bearer KEY' or 'x-api-key: KEY'
    instance: /v1/models
    title: An API key is needed
    type: /docs#problem-unauthorized
    ");
}

#[tokio::test]
async fn health_and_the_page_need_no_key_and_everything_else_does() {
    let service = guarded();
    for path in ["/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready", "/ping"] {
        assert_eq!(get(&service, path).await.status, StatusCode::OK, "{path}");
    }
    // The page asks for a key by itself, so it must load without one.
    for path in ["/", "/docs", "/assets/js/app.js", "/favicon.ico", "/openapi.json"] {
        assert_eq!(get(&service, path).await.status, StatusCode::OK, "{path}");
    }
    for path in ["/metrics", "/v1/models/tiny", "/v2", "/health", "/nowhere", "/health/live/"] {
        assert_eq!(get(&service, path).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn a_missing_key_is_told_in_each_protocol_s_form() {
    let service = guarded();
    let of = async |path: &str| error(&send(&service, post(path, "image/png", chelsea())).await);
    let (status, body) = of("/v1/models/tiny:explain").await;
    assert!(status == 401 && body["error"].is_string(), "{body}");
    let (status, body) = of("/v2/models/tiny/infer").await;
    assert!(status == 401 && body["error"].is_string(), "{body}");
    let (status, body) = of("/predictions/tiny").await;
    assert!(status == 401 && body["message"].is_string(), "{body}");
}
