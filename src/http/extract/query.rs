//! Options in the query string.

use axum::http::request::Parts;

use crate::app::options::has_plus_signs;

/// The options as pairs of name and text.
pub(in crate::http) fn options(parts: &Parts) -> Vec<(String, String)> {
    let query = parts.uri.query().unwrap_or_default().as_bytes();
    let pairs = form_urlencoded::parse(query).map(|(name, value)| match has_plus_signs(&name) {
        true => (name.into_owned(), restore_plus_signs(&value)),
        false => (name.into_owned(), value.into_owned()),
    });
    pairs.collect()
}

/// Turns the spaces at the end of method names back into plus signs.
///
/// In a query an unescaped `+` means a space, so `method=gradcam++` arrives as `gradcam` and two
/// spaces, and without them it would name another method. No method's name ends in a space.
fn restore_plus_signs(value: &str) -> String {
    let restore = |name: &str| {
        let plain = name.trim_end_matches(' ');
        plain.to_owned() + &"+".repeat(name.len() - plain.len())
    };
    value.split(',').map(restore).collect::<Vec<_>>().join(",")
}
