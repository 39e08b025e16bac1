//! Shortens a text in its middle, between grapheme clusters: what a reader takes for one character
//! is never cut.

use unicode_segmentation::UnicodeSegmentation;

const ELLIPSIS: &str = "…";
/// Of a longer text only the ends are looked at; no line of a figure has room for more.
const MAX_CLUSTERS: usize = 400;

/// The text on one line: control characters and separators of lines become spaces.
pub(super) fn printable(text: &str) -> String {
    let is_break = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let text: String = text.trim().chars().map(|c| if is_break(c) { ' ' } else { c }).collect();
    if is_too_long(&text) { cut(&clusters(&text), MAX_CLUSTERS) } else { text }
}

/// Whether a text has more clusters than are looked at.
fn is_too_long(text: &str) -> bool {
    text.graphemes(true).nth(MAX_CLUSTERS + 1).is_some()
}

/// The longest form that fits: as much of the start as of the end. Empty if nothing fits.
pub(super) fn in_the_middle(text: &str, mut fits: impl FnMut(&str) -> bool) -> String {
    let clusters = clusters(text);
    // The most clusters that fit, by halving; -1 stands for not even the ellipsis.
    let (mut least, mut most) = (0, clusters.len());
    if !fits(&cut(&clusters, 0)) {
        return String::new();
    }
    while least + 1 < most {
        let middle = usize::midpoint(least, most);
        if fits(&cut(&clusters, middle)) {
            least = middle;
        } else {
            most = middle;
        }
    }
    cut(&clusters, least)
}

fn clusters(text: &str) -> Vec<&str> {
    text.graphemes(true).collect()
}

/// So many clusters, half of them from each end, with an ellipsis between.
fn cut(clusters: &[&str], count: usize) -> String {
    let count = count.min(clusters.len());
    let (head, tail) = (count.div_ceil(2), count / 2);
    let (head, tail) = (clusters[..head].concat(), clusters[clusters.len() - tail..].concat());
    format!("{}{ELLIPSIS}{}", head.trim_end(), tail.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(text: &str, clusters: usize) -> String {
        in_the_middle(text, |text| text.graphemes(true).count() <= clusters)
    }

    #[test]
    fn both_ends_stay() {
        assert_eq!(short("soft-coated wheaten terrier", 11), "soft-…rrier");
        assert_eq!(short("a b c d", 3), "a…d");
        assert_eq!(short("abc", 1), "…");
        assert_eq!(short("abc", 0), "");
    }

    #[test]
    fn no_cluster_is_cut() {
        let family = "👨\u{200d}👩\u{200d}👧\u{200d}👦";
        assert_eq!(
            short(&format!("{family}{family}xy{family}{family}"), 3),
            format!("{family}…{family}")
        );
        let accent = "e\u{301}";
        assert_eq!(short(&accent.repeat(9), 4), format!("{accent}{accent}…{accent}"));
    }

    #[test]
    fn a_text_is_one_line_of_bounded_length() {
        assert_eq!(printable(" a\nb\u{2029}c\u{85}d\t"), "a b c d");
        assert_eq!(printable(&"x".repeat(9000)).chars().count(), MAX_CLUSTERS + 1);
        assert_eq!(printable(&"x".repeat(MAX_CLUSTERS)).len(), MAX_CLUSTERS);
    }
}
