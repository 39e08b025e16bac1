//! Splits a list of names at its commas: `a,b,c`.
//!
//! A name may itself contain commas, as many of ImageNet's labels do ("tench, Tinca tinca"). So a
//! comma alone does not end a name: at each position the longest known name wins.

/// Labels and layer names have at most this many commas. Without a limit, a long text would take
/// quadratic time.
const MAX_COMMAS: usize = 16;

/// Splits a text at its commas, except those inside a name that `is_name` knows. A name that it
/// does not know ends at the next comma. Spaces around names are removed, unless they belong to a
/// known one.
pub fn split(text: &str, is_name: impl Fn(&str) -> bool) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let commas = text.match_indices(',').map(|(at, _)| at);
        let ends: Vec<usize> = commas.chain([text.len()]).take(MAX_COMMAS + 1).collect();
        let known = |end: &usize| {
            let exact = &text[..*end];
            [exact, exact.trim()].into_iter().find(|name| is_name(name)).map(|name| (*end, name))
        };
        let unknown = || ends.first().map(|&end| (end, text[..end].trim()));
        let (end, name) = ends.iter().rev().find_map(known).or_else(unknown)?;
        rest = text.get(end + 1..);
        Some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_comma_separates_names_unless_it_belongs_to_one() {
        let known = ["tench", "tench, Tinca tinca", "goldfish, Carassius auratus", "cat"];
        let split = |text| split(text, |name| known.contains(&name)).collect::<Vec<_>>();
        assert_eq!(split("cat"), ["cat"]);
        assert_eq!(split("tench,cat , 5"), ["tench", "cat", "5"]);
        assert_eq!(split("tench, Tinca tinca,tench"), ["tench, Tinca tinca", "tench"]);
        assert_eq!(split("3,goldfish, Carassius auratus"), ["3", "goldfish, Carassius auratus"]);
        assert_eq!(split("goldfish, Carassius"), ["goldfish", "Carassius"]);
        assert_eq!(split("cat,"), ["cat", ""]);
        assert_eq!(split(""), [""]);
    }

    #[test]
    fn spaces_that_belong_to_a_name_are_kept() {
        let known = [" a", "a", "b ,c"];
        let split = |text| split(text, |name| known.contains(&name)).collect::<Vec<_>>();
        assert_eq!(split(" a"), [" a"]);
        assert_eq!(split("a , a"), ["a", " a"]);
        assert_eq!(split("b ,c, b ,c"), ["b ,c", "b ,c"]);
        assert_eq!(split(" d "), ["d"]);
    }

    proptest! {
        #[test]
        fn splitting_loses_nothing_but_commas_and_spaces(text in "[a-c, é]{0,40}") {
            let plain = |text: &str| text.replace([' ', ','], "");
            let parts: Vec<&str> = split(&text, |name| name == "a,b" || name == "é").collect();
            prop_assert_eq!(plain(&parts.concat()), plain(&text));
        }
    }
}
