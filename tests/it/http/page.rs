//! The page, its files, and the headers that keep a browser from guessing.

use axum::body::Body;
use axum::http::{Method, Request};
use camlens::config::Server;

use super::*;

#[tokio::test]
async fn every_file_of_the_page_has_its_type() {
    let service = service();
    let folder = repository("src/http/page");
    let mut served = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let (url, content_type) = match name.as_str() {
            "index.html" => ("/".to_owned(), "text/html; charset=utf-8"),
            "docs.html" => ("/docs".to_owned(), "text/html; charset=utf-8"),
            name if name.ends_with(".js") => {
                (format!("/assets/{name}"), "text/javascript; charset=utf-8")
            }
            name if name.ends_with(".css") => {
                (format!("/assets/{name}"), "text/css; charset=utf-8")
            }
            name => (format!("/assets/{name}"), "image/svg+xml"),
        };
        let answered = get(&service, &url).await;
        assert_eq!(
            (answered.status.as_u16(), answered.header("content-type")),
            (200, content_type),
            "{url}"
        );
        assert_eq!(answered.body, std::fs::read(&path).unwrap(), "{url}");
        assert_eq!(answered.header("x-content-type-options"), "nosniff");
        assert_eq!(
            answered.header("content-security-policy"),
            "default-src 'self'; img-src 'self' blob: data:"
        );
        served += 1;
    }
    assert!(served >= 22, "{served}");
}

#[tokio::test]
async fn a_browser_that_has_it_is_told_so() {
    let service = service();
    let first = get(&service, "/assets/app.js").await;
    let tag = first.header("etag").to_owned();
    for known in [tag.clone(), format!("\"other\", W/{tag}")] {
        let request = Request::get("/assets/app.js")
            .header("if-none-match", known)
            .body(Body::empty())
            .unwrap();
        let again = send(&service, request).await;
        assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
        assert_eq!(again.header("etag"), tag);
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let service = service();
    for path in ["/", "/v1/models", "/health/live", "/metrics", "/openapi.json"] {
        let request =
            Request::builder().method(Method::HEAD).uri(path).body(Body::empty()).unwrap();
        let answered = send(&service, request).await;
        assert_eq!((answered.status.as_u16(), answered.body.len()), (200, 0), "{path}");
    }
}

#[tokio::test]
async fn pages_of_other_origins_may_call_only_when_that_is_set() {
    let preflight = || {
        Request::builder()
            .method(Method::OPTIONS)
            .uri("/v1/explain")
            .header("origin", "https://example.org")
            .header("access-control-request-method", "POST")
            .body(Body::empty())
            .unwrap()
    };
    let closed = send(&service(), preflight()).await;
    assert_eq!((closed.status.as_u16(), closed.header("access-control-allow-origin")), (405, ""));
    let cors_origins = vec!["https://example.org".to_owned()];
    let (open, _) = service_with(models(), Server { cors_origins, ..Server::default() });
    let answered = send(&open, preflight()).await;
    assert_eq!(answered.status, 200);
    assert_eq!(answered.header("access-control-allow-origin"), "https://example.org");
    let mut request = post("/v1/explain?metod=x", "image/png", "");
    request.headers_mut().insert("origin", "https://example.org".parse().unwrap());
    let refused = send(&open, request).await;
    assert_eq!(refused.header("access-control-allow-origin"), "https://example.org");
    assert!(refused.header("access-control-expose-headers").contains("x-request-id"));
}
