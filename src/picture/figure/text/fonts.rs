//! The fonts: parts of Noto Sans, which `python tools fonts` makes. Their licence is beside them.
//!
//! Han characters have other forms in Japan than in mainland China. A text is set in the Chinese
//! forms if it has a character that only simplified Chinese uses; otherwise in the Japanese ones.

use std::sync::{Arc, LazyLock};

use cosmic_text::fontdb::{Database, Source};
use cosmic_text::skrifa::charmap::Charmap;
use cosmic_text::skrifa::{FontRef, MetadataProvider};
use cosmic_text::{Fallback, Family, FontSystem};
use unicode_script::Script;

macro_rules! font {
    ($file:literal) => {
        include_bytes!(concat!("../fonts/", $file))
    };
}

const JAPANESE: &[u8] = font!("NotoSansCJKjp.otf");
const CHINESE: &[u8] = font!("NotoSansCJKsc.otf");
const FONTS: [&[u8]; 10] = [
    font!("NotoSans.ttf"),
    font!("NotoSansArabic.ttf"),
    font!("NotoSansArmenian.ttf"),
    font!("NotoSansDevanagari.ttf"),
    font!("NotoSansGeorgian.ttf"),
    font!("NotoSansHebrew.ttf"),
    font!("NotoSansMath.ttf"),
    font!("NotoSansThai.ttf"),
    JAPANESE,
    CHINESE,
];

const LATIN_FAMILY: &str = "Noto Sans";
const JAPANESE_FAMILY: &str = "Noto Sans CJK JP";
const CHINESE_FAMILY: &str = "Noto Sans CJK SC";
/// The height of a capital letter in Noto Sans, in parts of the font's size.
pub(super) const CAP_HEIGHT: f32 = 0.714;

static DATABASE: LazyLock<Database> = LazyLock::new(|| {
    let mut database = Database::new();
    for font in FONTS {
        database.load_font_source(Source::Binary(Arc::new(font)));
    }
    database
});

/// A system of these fonts and no others.
pub(super) fn system() -> FontSystem {
    FontSystem::new_with_locale_and_db_and_fallback("en".to_owned(), DATABASE.clone(), Embedded)
}

/// The order in which fonts are tried.
struct Embedded;

impl Fallback for Embedded {
    fn common_fallback(&self) -> &[&'static str] {
        &[LATIN_FAMILY, "Noto Sans Math", JAPANESE_FAMILY, CHINESE_FAMILY]
    }

    fn forbidden_fallback(&self) -> &[&'static str] {
        &[]
    }

    fn script_fallback(&self, script: Script, _: &str) -> &[&'static str] {
        match script {
            Script::Arabic => &["Noto Sans Arabic"],
            Script::Armenian => &["Noto Sans Armenian"],
            Script::Devanagari => &["Noto Sans Devanagari"],
            Script::Georgian => &["Noto Sans Georgian"],
            Script::Hebrew => &["Noto Sans Hebrew"],
            Script::Thai => &["Noto Sans Thai"],
            Script::Han | Script::Hiragana | Script::Katakana | Script::Hangul => {
                &[JAPANESE_FAMILY, CHINESE_FAMILY]
            }
            _ => &[],
        }
    }
}

/// The family that is tried first for a text.
pub(super) fn family(text: &str) -> Family<'static> {
    Family::Name(if is_chinese(text) { CHINESE_FAMILY } else { LATIN_FAMILY })
}

fn is_chinese(text: &str) -> bool {
    // The most frequent texts need no look into a font.
    if text.is_ascii() {
        return false;
    }
    let (Ok(japanese), Ok(chinese)) = (FontRef::new(JAPANESE), FontRef::new(CHINESE)) else {
        return false;
    };
    let (japanese, chinese) = (japanese.charmap(), chinese.charmap());
    let has = |map: &Charmap<'_>, c: char| map.map(c).is_some();
    text.chars().any(|c| has(&chinese, c) && !has(&japanese, c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_font_is_loaded_under_its_own_family() {
        let mut families: Vec<&str> =
            DATABASE.faces().map(|face| face.families[0].0.as_str()).collect();
        assert_eq!(families.len(), FONTS.len());
        families.sort_unstable();
        families.dedup();
        assert_eq!(families.len(), FONTS.len());
        for family in [LATIN_FAMILY, JAPANESE_FAMILY, CHINESE_FAMILY] {
            assert!(families.contains(&family), "{family}");
        }
    }

    #[test]
    fn simplified_characters_tell_chinese_from_japanese() {
        assert!(is_chinese("埃及猫") ^ is_chinese("大白鲨"));
        assert!(is_chinese("红绿灯"));
        assert!(!is_chinese("自動車"));
        assert!(!is_chinese("エジプト猫"));
        assert!(!is_chinese("Egyptian cat"));
    }
}
