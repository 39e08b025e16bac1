//! Several names in one option: `a,b,c`.
//!
//! A name may hold commas itself, as ImageNet's labels often do ("tench, Tinca tinca"), so
//! a comma alone does not part two names: at each place the longest name that there is counts.

/// No label and no layer has more commas than this; without a limit a long text would be looked at
/// for ever.
const MOST_COMMAS: usize = 16;

/// Takes a text apart at its commas, but for those inside a name that `is_name` knows. What it does
/// not know ends at the next comma. Spaces around a name fall away.
pub fn names(text: &str, is_name: impl Fn(&str) -> bool) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let commas = text.match_indices(',').map(|(at, _)| at);
        let ends: Vec<usize> = commas.chain([text.len()]).take(MOST_COMMAS + 1).collect();
        let from_cache = |end: &&usize| is_name(text[..**end].trim());
        let end = ends.iter().rev().find(from_cache).or(ends.first()).copied()?;
        rest = text.get(end + 1..);
        Some(text[..end].trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_comma_parts_names_but_where_it_belongs_to_one() {
        let known = ["tench", "tench, Tinca tinca", "goldfish, Carassius auratus", "cat"];
        let split = |text| names(text, |name| known.contains(&name)).collect::<Vec<_>>();
        assert_eq!(split("cat"), ["cat"]);
        assert_eq!(split("tench,cat , 5"), ["tench", "cat", "5"]);
        assert_eq!(split("tench, Tinca tinca,tench"), ["tench, Tinca tinca", "tench"]);
        assert_eq!(split("3,goldfish, Carassius auratus"), ["3", "goldfish, Carassius auratus"]);
        assert_eq!(split("goldfish, Carassius"), ["goldfish", "Carassius"]);
        assert_eq!(split("cat,"), ["cat", ""]);
        assert_eq!(split(""), [""]);
    }

    proptest! {
        #[test]
        fn of_any_text_every_part_is_kept(text in "[a-c, é]{0,40}") {
            let plain = |text: &str| text.replace([' ', ','], "");
            let parts: Vec<&str> = names(&text, |name| name == "a,b" || name == "é").collect();
            prop_assert_eq!(plain(&parts.concat()), plain(&text));
        }
    }
}
