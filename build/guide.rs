//! Renders `docs/guide/*.md` to the pages that the service serves below `/docs/guide/`.
//!
//! `docs/guide/pages.json` lists the pages in their order. Links between pages are written as links
//! to the Markdown files, so that they also work where the repository is browsed. A link to another
//! file of the repository becomes plain text that names the file. An `<a id="NAME"></a>` on the
//! line before a heading gives that heading an anchor which doesn't depend on its words.

use std::collections::HashSet;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use pulldown_cmark::{Alignment, CowStr, Event, Options, Parser, Tag, TagEnd, html};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const SOURCE: &str = "docs/guide";

#[derive(serde::Deserialize)]
struct Page {
    /// The Markdown file's name.
    file: String,
    /// What the sidebar calls it.
    title: String,
}

impl Page {
    fn name(&self) -> &str {
        self.file.trim_end_matches(".md")
    }

    /// Relative to `/docs/guide/`.
    fn url(&self) -> String {
        match self.name() {
            "index" => "./".to_owned(),
            name => format!("{name}.html"),
        }
    }
}

/// Writes the pages, and `guide.rs`: the array of all files with their contents.
pub(crate) fn build(out: &Path) -> Result<()> {
    println!("cargo::rerun-if-changed={SOURCE}");
    let root = std::env::current_dir()?;
    let pages: Vec<Page> =
        serde_json::from_str(&fs::read_to_string(format!("{SOURCE}/pages.json"))?)?;
    fs::create_dir_all(out.join("guide"))?;
    let mut files = String::from("&[\n");
    for (index, page) in pages.iter().enumerate() {
        let path = out.join("guide").join(format!("{}.html", page.name()));
        fs::write(&path, render(&pages, index)?)?;
        writeln!(files, "(\"{}.html\", include_bytes!({path:?})),", page.name())?;
    }
    let mut images = Vec::new();
    for entry in fs::read_dir(format!("{SOURCE}/images"))? {
        images.push(entry?.file_name().into_string().map_err(|name| format!("{name:?}"))?);
    }
    images.sort_unstable();
    for image in images {
        let path = root.join(SOURCE).join("images").join(&image);
        writeln!(files, "(\"images/{image}\", include_bytes!({path:?})),")?;
    }
    files.push(']');
    fs::write(out.join("guide.rs"), files)?;
    Ok(())
}

fn render(pages: &[Page], index: usize) -> Result<String> {
    let page = &pages[index];
    let markdown = fs::read_to_string(format!("{SOURCE}/{}", page.file))?;
    let mut contents = String::new();
    for (at, other) in pages.iter().enumerate() {
        let current = if at == index { " aria-current=\"page\"" } else { "" };
        writeln!(
            contents,
            "      <li><a href=\"{}\"{current}>{}</a></li>",
            other.url(),
            other.title
        )?;
    }
    let neighbour = |at: Option<usize>, rel: &str, label: &str| {
        at.and_then(|at| pages.get(at)).map_or_else(String::new, |page| {
            let (url, title) = (page.url(), &page.title);
            format!("<a rel=\"{rel}\" href=\"{url}\"><span>{label}</span> {title}</a>")
        })
    };
    Ok(TEMPLATE
        .replace("{title}", &page.title)
        .replace("{contents}", contents.trim_end())
        .replace("{previous}", &neighbour(index.checked_sub(1), "prev", "Previous"))
        .replace("{next}", &neighbour(Some(index + 1), "next", "Next"))
        .replace("{body}", &body(pages, &markdown)?))
}

fn body(pages: &[Page], markdown: &str) -> Result<String> {
    let markdown = with_heading_ids(markdown);
    let options = Options::ENABLE_TABLES | Options::ENABLE_HEADING_ATTRIBUTES;
    let events: Vec<Event<'_>> = Parser::new_ext(&markdown, options).collect();
    let mut ids = HashSet::new();
    let mut written = Vec::with_capacity(events.len());
    let mut heading = None;
    let mut links = Vec::new();
    let mut image_alt: Option<(String, String)> = None;
    let (mut tables, mut section) = (0, String::new());
    for (at, event) in events.iter().enumerate() {
        if let Some((url, alt)) = &mut image_alt {
            match event {
                Event::End(TagEnd::Image) => {
                    written.push(Event::InlineHtml(image(url, alt)?.into()));
                    image_alt = None;
                }
                Event::Text(text) | Event::Code(text) => alt.push_str(text),
                _ => {}
            }
            continue;
        }
        match event {
            Event::Html(comment) | Event::InlineHtml(comment) if comment.starts_with("<!--") => {}
            Event::Start(Tag::Heading { level, id, classes, attrs }) => {
                let text = text_until(&events[at..], |end| matches!(end, TagEnd::Heading(_)));
                let id = id.as_deref().map_or_else(|| slug(&text), str::to_owned);
                if !ids.insert(id.clone()) {
                    return Err(format!("two headings have the id '{id}'").into());
                }
                heading = Some((id.clone(), text));
                written.push(Event::Start(Tag::Heading {
                    level: *level,
                    id: Some(id.into()),
                    classes: classes.clone(),
                    attrs: attrs.clone(),
                }));
            }
            Event::End(TagEnd::Heading(_)) => {
                if let Some((id, text)) = heading.take() {
                    let label = escaped(&text);
                    section.clone_from(&label);
                    let anchor = format!(
                        " <a class=\"anchor\" href=\"#{id}\" aria-label=\"Link to {label}\">#</a>"
                    );
                    written.push(Event::InlineHtml(anchor.into()));
                }
                written.push(event.clone());
            }
            Event::Start(Tag::Link { dest_url, .. }) => {
                let opening = match target(pages, dest_url) {
                    Target::Url(url) => format!("<a href=\"{}\">", escaped(&url)),
                    Target::Repository(file) => {
                        format!(
                            "<span class=\"in-repository\" title=\"{} in the repository\">",
                            escaped(&file)
                        )
                    }
                };
                links.push(if opening.starts_with("<a") { "</a>" } else { "</span>" });
                written.push(Event::InlineHtml(opening.into()));
            }
            Event::End(TagEnd::Link) => {
                written.push(Event::InlineHtml(links.pop().unwrap_or("</a>").into()));
            }
            Event::Start(Tag::Image { dest_url, .. }) => {
                image_alt = Some((dest_url.to_string(), String::new()));
            }
            Event::Start(Tag::Table(columns)) => {
                // Focusable, so that it can be scrolled from the keyboard. Regions of a page need
                // different names.
                tables += 1;
                let label = format!("Table {tables}: {section}");
                let opening = format!(
                    "<div class=\"scroll\" role=\"region\" aria-label=\"{label}\" tabindex=\"0\">"
                );
                // An alignment would be an inline style, which the content security policy blocks.
                let columns = vec![Alignment::None; columns.len()];
                written.extend([Event::Html(opening.into()), Event::Start(Tag::Table(columns))]);
            }
            Event::End(TagEnd::Table) => {
                written.extend([event.clone(), Event::Html(CowStr::from("</div>\n"))]);
            }
            _ => written.push(event.clone()),
        }
    }
    let mut body = String::new();
    html::push_html(&mut body, written.into_iter());
    Ok(body)
}

/// Turns `<a id="NAME"></a>` before a heading into the heading's attribute.
fn with_heading_ids(markdown: &str) -> String {
    let mut written = String::with_capacity(markdown.len());
    let mut id = None;
    for line in markdown.lines() {
        let anchor = line.strip_prefix("<a id=\"").and_then(|rest| rest.strip_suffix("\"></a>"));
        if anchor.is_some() {
            id = anchor;
            continue;
        }
        written.push_str(line);
        if let Some(id) = id.take() {
            written.push_str(&format!(" {{#{id}}}"));
        }
        written.push('\n');
    }
    written
}

fn text_until(events: &[Event<'_>], is_end: impl Fn(&TagEnd) -> bool) -> String {
    let inside = events.iter().take_while(|event| !matches!(event, Event::End(end) if is_end(end)));
    inside
        .filter_map(|event| match event {
            Event::Text(text) | Event::Code(text) => Some(&**text),
            _ => None,
        })
        .collect()
}

/// The anchor that sites which show Markdown give a heading.
fn slug(text: &str) -> String {
    let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

enum Target {
    Url(String),
    Repository(String),
}

fn target(pages: &[Page], url: &str) -> Target {
    if url.contains("://") || url.starts_with(['/', '#']) {
        return Target::Url(url.to_owned());
    }
    let (file, fragment) = url.split_at(url.find('#').unwrap_or(url.len()));
    match pages.iter().find(|page| page.file == file) {
        Some(page) => Target::Url(page.url() + fragment),
        None => Target::Repository(repository_path(file)),
    }
}

/// `../../deploy/x`, relative to the guide's folder, as `deploy/x`.
fn repository_path(file: &str) -> String {
    let mut parts: Vec<&str> = SOURCE.split('/').collect();
    for part in file.split('/') {
        match part {
            ".." => {
                parts.pop();
            }
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// With its size, so that the page doesn't move while pictures load.
fn image(url: &str, alt: &str) -> Result<String> {
    let path = format!("{SOURCE}/{url}");
    let bytes = fs::read(&path).map_err(|error| format!("{path}: {error}"))?;
    let (width, height) = jpeg_size(&bytes).ok_or_else(|| format!("{path} is no JPEG"))?;
    Ok(format!(
        "<img src=\"{url}\" alt=\"{}\" width=\"{width}\" height=\"{height}\" loading=\"lazy\">",
        escaped(alt)
    ))
}

/// Width and height, from the header of the first frame.
fn jpeg_size(bytes: &[u8]) -> Option<(u16, u16)> {
    let number = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let mut at = 2;
    while number(at)? & 0xfff0 != 0xffc0 || matches!(number(at)?, 0xffc4 | 0xffc8 | 0xffcc) {
        at += 2 + usize::from(number(at + 2)?);
    }
    Some((number(at + 7)?, number(at + 5)?))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const TEMPLATE: &str = r##"<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>{title} · camlens</title>
  <link rel="icon" href="/assets/icon.svg" type="image/svg+xml">
  <link rel="stylesheet" href="/assets/css/base.css">
  <link rel="stylesheet" href="/assets/css/guide.css">
</head>
<body>
  <a class="skip" href="#main">To the text</a>
  <header class="bar">
    <a class="brand" href="/">
      <img src="/assets/icon.svg" alt="" width="24" height="24">camlens
    </a>
    <span class="tagline">Guide</span>
    <nav aria-label="Service"><a href="/">Home</a><a href="/docs">The API</a></nav>
  </header>
  <div class="guide">
    <nav class="contents" aria-label="Guide">
      <ul>
{contents}
      </ul>
    </nav>
    <main id="main">
{body}
      <nav class="neighbours" aria-label="Neighbouring pages">{previous}{next}</nav>
    </main>
  </div>
</body>
</html>
"##;
