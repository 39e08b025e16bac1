//! Lines in many scripts.

use proptest::prelude::*;

use super::*;

fn line(text: &str) -> Line {
    Typesetter::new().line(text, 10.0)
}

/// The glyphs of each character on its own.
fn alone(text: &str) -> Vec<u16> {
    text.chars().flat_map(|c| line(&c.to_string()).glyphs).collect()
}

#[test]
fn right_to_left_text_is_reversed() {
    for text in ["קטה", "دار"] {
        let mut reversed = alone(text);
        reversed.reverse();
        assert_eq!(line(text).glyphs, reversed, "{text}");
    }
    // A left-to-right word stays where it stands, the right-to-left one after it is reversed.
    let mixed = line("ab קט").glyphs;
    assert_eq!(mixed[..2], alone("ab"));
    assert_eq!(mixed[3..], alone("טק"));
}

#[test]
fn arabic_letters_are_joined() {
    let joined = line("قطة");
    let mut separate = alone("قطة");
    separate.reverse();
    assert_eq!(joined.glyphs.len(), 3);
    for (joined, separate) in joined.glyphs.iter().zip(&separate) {
        assert_ne!(joined, separate, "each of these letters has a form of its own here");
    }
    assert!(joined.missing.is_empty());
}

#[test]
fn every_script_of_the_fonts_has_glyphs() {
    for text in [
        "Größe Łódź",
        "κόσμος",
        "Кошка",
        "エジプト猫",
        "埃及猫 大白鲨",
        "小熊貓",
        "이집트 고양이",
        "मिस्री बिल्ली",
        "แมวอียิปต์",
        "կատու",
        "კატა",
        "a → b ≤ c",
    ] {
        let line = line(text);
        assert!(line.missing.is_empty(), "{text}");
        assert!(line.width > 0.0 && !line.outline.is_empty(), "{text}");
    }
}

#[test]
fn what_no_font_has_is_named() {
    let line = line("cat 🐈🐈 ꙮ");
    assert!(line.missing.contains(&'🐈'), "{:?}", line.missing);
    assert!(line.glyphs.contains(&0));
}

#[test]
fn simplified_chinese_has_chinese_forms() {
    let bone = line("骨").outline;
    assert!(line("骨格").outline.starts_with(&bone));
    assert!(!line("骨头").outline.starts_with(&bone));
}

#[test]
fn a_long_text_is_shortened_in_the_middle_by_its_width() {
    let mut setter = Typesetter::new();
    let text = "soft-coated wheaten terrier, a dog";
    let whole = setter.line(text, 9.0);
    assert_eq!(setter.fitted(text, 9.0, whole.width), whole);
    let short = setter.fitted(text, 9.0, 80.0);
    assert!(short.width <= 80.0 && short.width > 70.0, "{}", short.width);
    let (head, tail) = short.text.split_once('…').unwrap();
    assert!(text.starts_with(head) && text.ends_with(tail), "{}", short.text);
    assert!(head.chars().count().abs_diff(tail.chars().count()) <= 2, "{}", short.text);
    assert_eq!(setter.fitted(text, 9.0, 0.5), Line::default());
    assert_eq!(setter.line("", 9.0), Line::default());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_text_can_be_set(text in "\\PC{0,40}", control in "[\\x00-\\x1f\u{85}\u{200d}-\u{202e}]{0,4}") {
        let mut setter = Typesetter::new();
        let line = setter.fitted(&(control.clone() + &text + &control), 9.0, 60.0);
        prop_assert!(line.width <= 60.0);
    }
}
