//! The guide: its pages are served, and no link in it leads nowhere.

use std::collections::{BTreeMap, BTreeSet};

use camlens::explain::METHODS;
use camlens::warning::WarningCode;

use super::*;

/// The Markdown files, in the order of the sidebar.
fn listed() -> Vec<String> {
    let pages = std::fs::read_to_string(repository("docs/guide/pages.json")).unwrap();
    let pages: Value = serde_json::from_str(&pages).unwrap();
    let pages = pages.as_array().unwrap().iter();
    pages.map(|page| page["file"].as_str().unwrap().to_owned()).collect()
}

/// Every page's HTML, by its address below `/docs/guide/`.
async fn pages(service: &Router) -> BTreeMap<String, String> {
    let mut pages = BTreeMap::new();
    for file in listed() {
        let name = file.replace(".md", ".html");
        let response = get(service, &format!("/docs/guide/{name}")).await;
        assert_eq!(response.status, 200, "{name}");
        assert_eq!(response.header("content-type"), "text/html; charset=utf-8");
        pages.insert(name, String::from_utf8(response.body.to_vec()).unwrap());
    }
    pages
}

/// The values of an attribute.
fn attributes<'a>(html: &'a str, name: &str) -> BTreeSet<&'a str> {
    let values =
        html.split(name).skip(1).filter_map(|rest| rest.strip_prefix("=\"")?.split_once('"'));
    values.map(|(value, _)| value).collect()
}

#[tokio::test]
async fn every_page_of_the_folder_is_listed_and_served() {
    let mut files = BTreeSet::new();
    for entry in std::fs::read_dir(repository("docs/guide")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") {
            files.insert(name);
        }
    }
    assert_eq!(files, listed().into_iter().collect());
    let service = service();
    let pages = pages(&service).await;
    let index = get(&service, "/docs/guide/").await;
    assert_eq!(index.body, pages["index.html"].as_bytes());
    // Without the slash, the relative links would lead elsewhere.
    let redirect = get(&service, "/docs/guide").await;
    assert_eq!((redirect.status.as_u16(), redirect.header("location")), (308, "/docs/guide/"));
    assert_eq!(get(&service, "/docs/guide/nothing.html").await.status, 404);
}

#[tokio::test]
async fn every_link_and_picture_leads_somewhere() {
    let service = service();
    let pages = pages(&service).await;
    let mut checked = 0;
    for (page, html) in &pages {
        assert!(!html.contains("<script"), "{page} is read without a script");
        for url in attributes(html, "href").into_iter().chain(attributes(html, "src")) {
            if url.contains("://") {
                continue;
            }
            let (path, fragment) = url.split_once('#').unwrap_or((url, ""));
            let name = match path {
                "" => page.as_str(),
                "./" => "index.html",
                path => path,
            };
            if let Some(target) = pages.get(name) {
                let has_id = fragment.is_empty() || attributes(target, " id").contains(fragment);
                assert!(has_id, "{page} links to {url}, and {name} has no such anchor");
            } else if path.starts_with('/') {
                assert_eq!(get(&service, path).await.status, 200, "{page} links to {url}");
            } else {
                let address = format!("/docs/guide/{path}");
                assert_eq!(get(&service, &address).await.status, 200, "{page} shows {url}");
            }
            checked += 1;
        }
    }
    assert!(checked > 200, "{checked}");
}

#[test]
fn links_into_the_repository_name_files_that_exist() {
    let mut sources: Vec<PathBuf> = listed().iter().map(|file| guide(file)).collect();
    sources.push(repository("README.md"));
    let mut checked = 0;
    for source in sources {
        let markdown = std::fs::read_to_string(&source).unwrap();
        for link in markdown.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap();
            if path.is_empty() || path.contains("://") || path.starts_with('/') {
                continue;
            }
            let file = source.parent().unwrap().join(path);
            assert!(file.exists(), "{} links to {link}", source.display());
            checked += 1;
        }
    }
    assert!(checked > 40, "{checked}");
}

fn guide(file: &str) -> PathBuf {
    repository("docs/guide").join(file)
}

#[tokio::test]
async fn every_method_and_every_warning_has_its_anchor() {
    let pages = pages(&service()).await;
    let methods = attributes(&pages["methods.html"], " id");
    for spec in METHODS {
        let anchor = spec.name.replace('+', "p");
        assert!(methods.contains(anchor.as_str()), "methods.html#{anchor}");
    }
    let warnings = attributes(&pages["troubleshooting.html"], " id");
    for code in WarningCode::ALL {
        assert!(warnings.contains(code.name()), "troubleshooting.html#{}", code.name());
    }
}
