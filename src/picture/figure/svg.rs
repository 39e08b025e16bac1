//! Draws a planned figure as SVG. Text is outlines, so that every viewer shows it alike, with the
//! text itself as its label; the panels and the colour bar are PNG pictures inside the file.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cosmic_text::skrifa::outline::pen::PathElement;

use super::outline::{Ink, Rect};
use super::{DrawPanel, Figure, Plan, raster, side_px};
use crate::error::Result;
use crate::picture::encode::{Metadata, png};

/// The namespace of the elements inside `<metadata>`.
pub const NAMESPACE: &str = "urn:camlens:provenance";
/// A colour bar has this many rows, one a colour.
const BAR_PX: (u32, u32) = (8, 256);

/// Writes a figure. `dpi` is the resolution of the panels' pictures.
///
/// # Errors
/// [`Kind::Internal`](crate::error::Kind::Internal) when the PNG encoder fails.
pub fn write(
    figure: &Figure,
    plan: &Plan,
    dpi: u16,
    metadata: &Metadata,
    panel: &mut DrawPanel<'_>,
) -> Result<String> {
    let (width, height) = (number(plan.width), number(plan.height));
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}pt\" height=\"{height}pt\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"title desc\">\n"
    );
    let title = [figure.title.name.as_str(), figure.title.amount.as_str()];
    let title = title.map(escape).join(" ");
    let notes: Vec<_> = figure.notes.iter().map(|note| escape(note)).collect();
    let panels: Vec<_> = figure.panels().map(|panel| escape(&panel.description)).collect();
    element(&mut out, "title id=\"title\"", title.trim());
    element(&mut out, "desc id=\"desc\"", &format!("{}. {}.", notes.join("; "), panels.join("; ")));
    write_metadata(&mut out, metadata);
    let _ = writeln!(out, "<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>");
    for (index, (rect, about)) in plan.panels.iter().zip(&panels).enumerate() {
        let picture = panel(index, side_px(rect.width, dpi), side_px(rect.height, dpi));
        image(&mut out, &png(&picture, &Metadata::default())?, rect, about);
    }
    let bar = raster::bar(figure.bar.colormap, BAR_PX.0, BAR_PX.1);
    let about = escape(&format!("Colour bar: {}", figure.bar.label));
    image(&mut out, &png(&bar, &Metadata::default())?, &plan.bar, &about);
    for &Rect { x, y, width, height } in &plan.ticks {
        let [x, y, width, height] = [x, y, width, height].map(number);
        let fill = color(Ink::Gray);
        let _ = writeln!(
            out,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{fill}\"/>"
        );
    }
    for placed in plan.lines.iter().filter(|placed| !placed.line.outline.is_empty()) {
        let (fill, label) = (color(placed.ink), escape(&placed.line.text));
        let _ = write!(out, "<path role=\"img\" aria-label=\"{label}\" fill=\"{fill}\" d=\"");
        placed.outline().for_each(|element| path(&mut out, element));
        out.push_str("\"/>\n");
    }
    out.push_str("</svg>\n");
    Ok(out)
}

fn write_metadata(out: &mut String, metadata: &Metadata) {
    if metadata.entries.is_empty() {
        return;
    }
    let _ = writeln!(out, "<metadata>\n<c:provenance xmlns:c=\"{NAMESPACE}\">");
    for (name, value) in &metadata.entries {
        element(out, &format!("c:{name}"), &escape(value));
    }
    out.push_str("</c:provenance>\n</metadata>\n");
}

/// An element with text, which is escaped already.
fn element(out: &mut String, start: &str, text: &str) {
    let name = start.split(' ').next().unwrap_or_default();
    let _ = writeln!(out, "<{start}>{text}</{name}>");
}

fn image(out: &mut String, png: &[u8], rect: &Rect, about: &str) {
    let [x, y, width, height] = [rect.x, rect.y, rect.width, rect.height].map(number);
    let _ = write!(
        out,
        "<image x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" \
         preserveAspectRatio=\"none\" aria-label=\"{about}\" href=\"data:image/png;base64,"
    );
    STANDARD.encode_string(png, out);
    out.push_str("\"/>\n");
}

fn path(out: &mut String, element: PathElement) {
    let _ = match element {
        PathElement::MoveTo { x, y } => write!(out, "M{} {}", number(x), number(y)),
        PathElement::LineTo { x, y } => write!(out, "L{} {}", number(x), number(y)),
        PathElement::QuadTo { cx0, cy0, x, y } => {
            let [cx0, cy0, x, y] = [cx0, cy0, x, y].map(number);
            write!(out, "Q{cx0} {cy0} {x} {y}")
        }
        PathElement::CurveTo { cx0, cy0, cx1, cy1, x, y } => {
            let [cx0, cy0, cx1, cy1, x, y] = [cx0, cy0, cx1, cy1, x, y].map(number);
            write!(out, "C{cx0} {cy0} {cx1} {cy1} {x} {y}")
        }
        PathElement::Close => write!(out, "Z"),
    };
}

/// A length with at most three decimals: a thousandth of a point is no pixel at any resolution.
fn number(value: f32) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

fn color(ink: Ink) -> String {
    ink.rgb().iter().fold("#".to_owned(), |text, channel| format!("{text}{channel:02x}"))
}

/// Text as XML: no markup, and none of the characters that XML 1.0 can't hold.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ if c.is_control() => out.push(' '),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::*;
    use crate::picture::colormap::Colormap;
    use crate::picture::figure::{Caption, ColorBar, Panel};

    #[test]
    fn numbers_are_short() {
        assert_eq!([12.0, 0.5, -0.0001, 1.23456].map(number), ["12", "0.5", "0", "1.235"]);
    }

    #[test]
    fn the_file_is_xml_with_pictures_outlines_and_metadata() {
        let caption = |name: &str| Caption { name: name.to_owned(), amount: "1 %".to_owned() };
        let panel = Panel {
            caption: caption("\"<猫> & \u{1}קטה"),
            description: "a < b".to_owned(),
            size: (20, 10),
        };
        let bar = ColorBar { colormap: Colormap::Jet, ticks: vec!["0", "1"], label: "label" };
        let figure = Figure {
            title: caption("a & b"),
            notes: vec!["note <1>".to_owned()],
            rows: vec![vec![Some(panel.clone()), Some(panel)]],
            bar,
        };
        let entries = vec![("camlens-label", "<&>\u{2}".to_owned())];
        let metadata = Metadata { entries, dpi: Some(72) };
        let plan = Plan::new(&figure);
        let mut sizes = Vec::new();
        let mut paint = |index: usize, width: u32, height: u32| {
            sizes.push((index, width, height));
            RgbImage::new(width, height)
        };
        let file = write(&figure, &plan, 72, &metadata, &mut paint).unwrap();
        assert_eq!(sizes, [(0, 144, 72), (1, 144, 72)]);

        let document = roxmltree::Document::parse(&file).unwrap();
        let inks: Vec<&str> =
            document.descendants().filter_map(|element| element.attribute("fill")).collect();
        let is_color = |ink: &&str| [4, 7].contains(&ink.len()) && ink.starts_with('#');
        assert!(inks.len() > 10 && inks.iter().all(is_color), "{inks:?}");
        let all = |name: &str| {
            let named: Vec<_> =
                document.descendants().filter(|node| node.tag_name().name() == name).collect();
            named
        };
        assert_eq!(all("title")[0].text(), Some("a & b 1 %"));
        assert_eq!(all("desc")[0].text(), Some("note <1>. a < b; a < b."));
        let entry = all("camlens-label")[0];
        assert_eq!((entry.tag_name().namespace(), entry.text()), (Some(NAMESPACE), Some("<&> ")));
        let labels: Vec<_> =
            all("path").iter().filter_map(|path| path.attribute("aria-label")).collect();
        assert!(labels.contains(&"a & b") && labels.contains(&"\"<猫> &  קטה"), "{labels:?}");
        let images = all("image");
        assert_eq!(images.len(), 3);
        let href = images[0].attribute("href").unwrap();
        let png = STANDARD.decode(href.strip_prefix("data:image/png;base64,").unwrap()).unwrap();
        assert_eq!(image::load_from_memory(&png).unwrap().width(), 144);
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(escape("a<b> & \"c\"\u{1}\u{ffff}"), "a&lt;b&gt; &amp; &quot;c&quot; \u{fffd}");
    }
}
