//! Finds the name that a misspelt one means, for errors that say what would be right.

use strsim::osa_distance;

/// Longer texts are no misspelt names, and a client may send megabytes.
const MAX_BYTES: usize = 40;

/// The name that `wrong` is most likely a misspelling of. Case, hyphens and underscores do not
/// count; of the letters, a third may be wrong. Two neighbours that are swapped are one mistake.
pub(crate) fn nearest<'n>(
    wrong: &str,
    names: impl IntoIterator<Item = &'n str>,
) -> Option<&'n str> {
    if wrong.len() > MAX_BYTES {
        return None;
    }
    let wrong = letters(wrong);
    let allowed = wrong.chars().count() / 3;
    let distance = |name: &'n str| (osa_distance(&wrong, &letters(name)), name);
    let nearest = names.into_iter().map(distance).min_by_key(|(distance, _)| *distance);
    nearest.filter(|(distance, _)| *distance <= allowed && !wrong.is_empty()).map(|(_, name)| name)
}

fn letters(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_nearest_name_is_found_if_it_is_near() {
        let names = ["model", "method", "layer", "top_k", "max_channels", "image"];
        for (wrong, right) in [
            ("metod", "method"),
            ("methods", "method"),
            ("modle", "model"), // typos: ignore
            ("Image", "image"),
            ("imgae", "image"),
            ("images", "image"),
            ("topk", "top_k"),
            ("max-channels", "max_channels"),
            ("maxChannel", "max_channels"),
        ] {
            assert_eq!(nearest(wrong, names), Some(right), "{wrong}");
        }
        let long = "method".repeat(1000);
        for wrong in ["file", "img", "k", "", "-", "colour", long.as_str()] {
            assert_eq!(nearest(wrong, names), None, "{wrong}");
        }
    }
}
