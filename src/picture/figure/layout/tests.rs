//! Positions, and that nothing is cut off or overlaps.

use cosmic_text::skrifa::outline::pen::PathElement;
use proptest::prelude::*;

use super::*;
use crate::picture::colormap::Colormap;

fn caption(name: &str) -> Caption {
    Caption { name: name.to_owned(), amount: "12.3 %".to_owned() }
}

fn panel(name: &str, size: (u32, u32)) -> Option<Panel> {
    Some(Panel { caption: caption(name), description: name.to_owned(), size })
}

fn figure(name: &str, rows: Vec<Vec<Option<Panel>>>) -> Figure {
    Figure {
        title: caption(name),
        notes: ["model m", "layer features.29", "convention paper"].map(str::to_owned).to_vec(),
        rows,
        bar: ColorBar {
            colormap: Colormap::Jet,
            ticks: vec!["0", "0.5", "1"],
            label: "relative importance",
        },
    }
}

/// The rectangle around a line's outline.
fn bounds(line: &PlacedLine) -> Option<Rect> {
    let mut points = Vec::new();
    for element in line.outline() {
        match element {
            PathElement::MoveTo { x, y } | PathElement::LineTo { x, y } => points.push((x, y)),
            PathElement::QuadTo { x, y, .. } | PathElement::CurveTo { x, y, .. } => {
                points.push((x, y));
            }
            PathElement::Close => {}
        }
    }
    let range = |value: fn(&(f32, f32)) -> f32| {
        let values = points.iter().map(value);
        values.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
    };
    let ((left, right), (top, bottom)) = (range(|point| point.0), range(|point| point.1));
    (!points.is_empty()).then_some(Rect {
        x: left,
        y: top,
        width: right - left,
        height: bottom - top,
    })
}

fn overlap(a: &Rect, b: &Rect) -> bool {
    a.x < b.right() && b.x < a.right() && a.y < b.bottom() && b.y < a.bottom()
}

#[test]
fn panels_stand_in_columns_and_rows() {
    let size = (300, 200);
    let rows = vec![vec![panel("a", size), panel("b", size)], vec![None, panel("c", size)]];
    let plan = Plan::new(&figure("cat", rows));
    let [a, b, c] = plan.panels[..] else { panic!("{:?}", plan.panels) };
    assert_eq!((a.x, a.width, a.height), (MARGIN, PANEL, 96.0));
    assert_eq!((b.x, b.y), (MARGIN + PANEL + COLUMN_GAP, a.y));
    assert_eq!((c.x, c.y), (b.x, a.bottom() + ROW_GAP + CAPTION_HEIGHT));
    assert_eq!((plan.bar.y, plan.bar.height), (a.y, a.height));
    assert_eq!(plan.bar.x, b.right() + BAR_GAP);
    assert_eq!(plan.height, c.bottom() + MARGIN);
    assert_eq!(plan.size_px(72), (plan.width.ceil() as u32, plan.height.ceil() as u32));
    assert_eq!(plan.size_px(144).0, (2.0 * plan.width).ceil() as u32);
}

#[test]
fn a_panel_keeps_the_ratio_of_its_picture() {
    assert_eq!(panel_size((450, 300)), (144.0, 96.0));
    assert_eq!(panel_size((30, 60)), (72.0, 144.0));
    assert_eq!(panel_size((100_000, 1)), (144.0, 1.0));
    assert_eq!(panel_size((0, 9)), (16.0, 144.0));
}

#[test]
fn columns_leave_few_cells_empty() {
    let chosen: Vec<_> = (0..=15).map(default_columns).collect();
    assert_eq!(chosen, [1, 1, 2, 3, 4, 5, 3, 4, 4, 3, 5, 4, 4, 5, 5, 5]);
}

#[test]
fn a_row_without_captions_takes_no_space_for_them() {
    let mut rows = vec![vec![panel("a", (9, 9))], vec![panel("b", (9, 9))]];
    let with = Plan::new(&figure("cat", rows.clone())).height;
    rows[1][0].as_mut().unwrap().caption = Caption::default();
    assert_eq!(Plan::new(&figure("cat", rows)).height, with - CAPTION_HEIGHT);
}

#[test]
fn an_empty_figure_has_a_colour_bar() {
    for rows in [vec![], vec![vec![]], vec![vec![None, None]]] {
        let plan = Plan::new(&figure("", rows));
        assert_eq!(plan.bar.height, BAR_MIN);
        assert!(plan.height > plan.bar.bottom() && plan.panels.is_empty());
    }
}

#[test]
fn the_bar_s_label_keeps_the_margin() {
    let plan = Plan::new(&figure("a", vec![vec![panel("a", (100, 100))]]));
    let label = plan.lines.iter().find(|line| line.is_upwards).unwrap();
    let right = plan.width - bounds(label).unwrap().right();
    // The letters' descenders are in the label's own space.
    assert!((MARGIN - 0.5..MARGIN + TICK).contains(&right), "{right}");
}

#[test]
fn a_long_title_is_shortened_and_keeps_its_amount() {
    let name = "a very long label ".repeat(9);
    let mut figure = figure(&name, vec![vec![panel("x", (9, 9))]]);
    figure.notes = ["model efficientnet-lite0", "layer features.29", "convention pytorch-grad-cam"]
        .map(str::to_owned)
        .to_vec();
    let plan = Plan::new(&figure);
    let texts: Vec<_> = plan.lines.iter().map(|placed| placed.line.text.as_str()).collect();
    assert!(texts[0].starts_with("a very") && texts[0].contains('…'), "{}", texts[0]);
    assert_eq!(texts[1], "12.3 %");
    // The notes take more lines in a narrow figure.
    let notes = texts.iter().filter(|text| text.contains("model") || text.contains("convention"));
    assert_eq!(notes.count(), 2, "{texts:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn nothing_is_cut_off_or_overlaps(
        name in "[a-zäß \u{5d0}-\u{5ea}猫 ]{0,60}", w in 0u32..900, h in 0u32..900,
        count in 1usize..6, columns in 1usize..4,
    ) {
        let panels: Vec<_> = (0..count).map(|_| panel(&name, (w, h))).collect();
        let plan = Plan::new(&figure(&name, panels.chunks(columns).map(<[_]>::to_vec).collect()));
        let lines: Vec<Rect> = plan.lines.iter().filter_map(bounds).collect();
        let all: Vec<Rect> =
            plan.panels.iter().copied().chain([plan.bar]).chain(lines).collect();
        for (index, rect) in all.iter().enumerate() {
            prop_assert!(rect.x >= MARGIN / 2.0 && rect.y >= MARGIN / 2.0, "{rect:?}");
            prop_assert!(rect.right() <= plan.width - MARGIN / 4.0, "{rect:?} {}", plan.width);
            prop_assert!(rect.bottom() <= plan.height - MARGIN / 4.0, "{rect:?}");
            for other in &all[index + 1..] {
                prop_assert!(!overlap(rect, other), "{rect:?} {other:?}");
            }
        }
    }

    #[test]
    fn no_figure_is_larger_than_its_bound(
        w in 1u32..900, h in 1u32..900, count in 1usize..12, columns in 1usize..5, dpi in 30u16..200,
    ) {
        let panels: Vec<_> = (0..count).map(|_| panel("cat", (w, h))).collect();
        let rows: Vec<_> = panels.chunks(columns).map(<[_]>::to_vec).collect();
        let (width, height) = bound_px(rows.len(), columns.min(count), dpi);
        let size = Plan::new(&figure("cat", rows)).size_px(dpi);
        prop_assert!(size.0 <= width && size.1 <= height, "{size:?} {width} {height}");
    }
}
