//! The page: its files, their types and their caching, and the headers that protect it.

use std::path::{Path, PathBuf};

use axum::body::Body;
use axum::http::{Method, Request};
use camlens::config::Server;
use camlens::explain::{Choice, METHODS, Needs};
use camlens::picture::colormap::Colormap;

use super::*;

#[tokio::test]
async fn every_file_of_the_page_is_served_with_its_type() {
    let service = service();
    let web = repository("web");
    let mut served = 0;
    for path in files_of_the_page(&web) {
        let name = path.strip_prefix(&web).unwrap().to_str().unwrap();
        if name == "problem.html" {
            continue;
        }
        let url = match name {
            "index.html" => "/".to_owned(),
            "docs.html" => "/docs".to_owned(),
            name => format!("/assets/{name}"),
        };
        let content_type = match path.extension().unwrap().to_str().unwrap() {
            "html" => "text/html; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            _ => "image/svg+xml",
        };
        let request = Request::get(&url).header("accept", "text/html,*/*;q=0.8");
        let response = send(&service, request.body(Body::empty()).unwrap()).await;
        assert_eq!(
            (response.status.as_u16(), response.header("content-type")),
            (200, content_type),
            "{url}"
        );
        assert_eq!(response.body, std::fs::read(&path).unwrap(), "{url}");
        assert_eq!(response.header("x-content-type-options"), "nosniff");
        assert_eq!(
            response.header("content-security-policy"),
            "default-src 'self'; img-src 'self' blob: data:"
        );
        served += 1;
    }
    assert!(served >= 60, "{served}");
}

/// Every file under `web/`, except its browser tests and the samples.
fn files_of_the_page(web: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![web.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if !path.is_dir() {
                files.push(path);
            } else if !["tests", "samples"].map(|name| web.join(name)).contains(&path) {
                folders.push(path);
            }
        }
    }
    files
}

#[tokio::test]
async fn a_file_outside_the_assets_is_not_found() {
    let service = service();
    for path in ["/assets/", "/assets/js", "/assets/js/none.js", "/assets/tests/png.mjs"] {
        assert_eq!(get(&service, path).await.status, 404, "{path}");
    }
}

/// The page paints maps by itself, with colour tables that `python3 tools page_colors` writes from
/// the same files as the server's.
#[test]
fn colour_tables_of_the_page_equal_the_servers() {
    let file = std::fs::read_to_string(repository("web/js/map/colormaps.js")).unwrap();
    assert!(
        file == colormaps_module(),
        "web/js/map/colormaps.js is outdated; run `python3 tools page_colors`"
    );
}

fn colormaps_module() -> String {
    let mut module = String::from(
        "// Generated from src/picture/colormaps/ by `python3 tools page_colors`; do not edit.\n\n\
         /** Colour tables by name: 256 RGB colours in hexadecimal, 16 a line. */\n\
         export const TABLES = {\n",
    );
    for colormap in Colormap::ALL {
        writeln!(module, "  {colormap}: `").unwrap();
        for row in colormap.table().chunks(16) {
            for byte in row.as_flattened() {
                write!(module, "{byte:02x}").unwrap();
            }
            module.push('\n');
        }
        module.push_str("`,\n");
    }
    module.push_str("};\n");
    module
}

/// The page disables what cannot work, so it knows what the table of methods says.
/// `UPDATE_EXPECT=1` rewrites the file.
#[test]
fn method_table_of_the_page_equals_the_servers() {
    let file = repository("web/js/lib/method-specs.js");
    let expected = method_module();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&file, &expected).unwrap();
    }
    assert!(
        std::fs::read_to_string(&file).unwrap() == expected,
        "web/js/lib/method-specs.js is outdated; run `UPDATE_EXPECT=1 cargo test method_table`"
    );
}

fn method_module() -> String {
    let mut module = String::from(
        "// Generated from the server's table of methods by a test; do not edit. To update:\n\
         // UPDATE_EXPECT=1 cargo test method_table\n\n\
         /** What the server's code says about each method, by its name. */\n\
         export const SPECS = {\n",
    );
    let list = |names: Vec<&str>| {
        names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
    };
    for spec in METHODS {
        let needs = match spec.needs {
            Needs::ActivationOnly => "activation",
            Needs::Gradient => "gradient",
            Needs::Masked => "masked",
            Needs::Tail => "tail",
        };
        let conventions = spec.conventions.iter().map(|convention| convention.name()).collect();
        let (name, title, score) = (spec.name, spec.title, spec.paper_score.name());
        writeln!(module, "  \"{name}\": {{").unwrap();
        writeln!(module, "    title: \"{title}\", needs: \"{needs}\", score: \"{score}\",")
            .unwrap();
        writeln!(module, "    conventions: [{}],", list(conventions)).unwrap();
        writeln!(
            module,
            "    classDiscriminative: {}, weightsAreScores: {}, signed: {},",
            spec.class_discriminative, spec.weights_are_scores, spec.supports_signed
        )
        .unwrap();
        writeln!(module, "    parameters: [{}],\n  }},", list(spec.parameters.to_vec())).unwrap();
    }
    module.push_str("};\n");
    module
}

#[tokio::test]
async fn a_browser_gets_errors_as_a_page_and_a_program_as_a_problem() {
    let service = service();
    let open = async |path: &str, accept: &str| {
        let request = Request::get(path).header("accept", accept).body(Body::empty()).unwrap();
        send(&service, request).await
    };
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let page = open("/%3Cscript%3E&{id}", browser).await;
    assert_eq!(
        (page.status.as_u16(), page.header("content-type")),
        (404, "text/html; charset=utf-8")
    );
    let html = String::from_utf8(page.body.to_vec()).unwrap();
    assert!(html.contains("<h1>There is nothing at this path</h1>"), "{html}");
    assert!(!html.contains("<script") && !html.contains("{detail}"), "{html}");
    assert!(html.contains("&amp;{id}"), "a path is text, not a placeholder: {html}");
    assert!(html.contains(page.headers["x-request-id"].to_str().unwrap()), "{html}");
    let unknown = open("/v1/models", "text/html").await;
    assert_eq!(unknown.status, 200, "what exists is not changed");
    for accept in ["*/*", "application/json"] {
        let problem = open("/nowhere", accept).await;
        assert_eq!(problem.header("content-type"), "application/problem+json", "{accept}");
    }
}

#[tokio::test]
async fn a_browser_with_the_current_version_gets_not_modified() {
    let service = service();
    let first = get(&service, "/assets/js/app.js").await;
    let etag = first.header("etag").to_owned();
    for cached in [etag.clone(), format!("\"other\", W/{etag}")] {
        let request = Request::get("/assets/js/app.js")
            .header("if-none-match", cached)
            .body(Body::empty())
            .unwrap();
        let again = send(&service, request).await;
        assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
        assert_eq!(again.header("etag"), etag);
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let service = service();
    for path in ["/", "/v1/models", "/health/live", "/metrics", "/openapi.json"] {
        let request =
            Request::builder().method(Method::HEAD).uri(path).body(Body::empty()).unwrap();
        let response = send(&service, request).await;
        assert_eq!((response.status.as_u16(), response.body.len()), (200, 0), "{path}");
    }
}

#[tokio::test]
async fn other_origins_may_call_the_api_only_when_configured() {
    let preflight = || {
        Request::builder()
            .method(Method::OPTIONS)
            .uri("/v1/explain")
            .header("origin", "https://example.org")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,x-api-key")
            .body(Body::empty())
            .unwrap()
    };
    let closed = send(&service(), preflight()).await;
    assert_eq!((closed.status.as_u16(), closed.header("access-control-allow-origin")), (405, ""));
    let cors_origins = vec!["https://example.org".to_owned()];
    let (open, _) = service_with(models(), Server { cors_origins, ..Server::default() });
    let allowed = send(&open, preflight()).await;
    assert_eq!(allowed.status, 200);
    assert_eq!(allowed.header("access-control-allow-origin"), "https://example.org");
    // `*` would not cover `Authorization`.
    assert_eq!(allowed.header("access-control-allow-headers"), "authorization,x-api-key");
    let mut request = post("/v1/explain?metod=x", "image/png", "");
    request.headers_mut().insert("origin", "https://example.org".parse().unwrap());
    let rejected = send(&open, request).await;
    assert_eq!(rejected.header("access-control-allow-origin"), "https://example.org");
    assert!(rejected.header("access-control-expose-headers").contains("x-request-id"));
}
