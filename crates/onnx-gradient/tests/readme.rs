//! The README's list of operators is the table's.

use onnx_gradient::vjp::TABLE;

#[test]
fn the_readme_lists_every_operator_of_the_table() {
    let readme = include_str!("../README.md");
    let (_, list) = readme.split_once("<!-- operators -->").expect("the start of the list");
    let (list, _) = list.split_once("<!-- /operators -->").expect("the end of the list");
    let listed: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
    let mut expected: Vec<&str> = TABLE.iter().map(|(op, _)| *op).collect();
    expected.sort_unstable();
    assert_eq!(listed, expected);
    let count = format!("{} standard operators have a vjp", expected.len());
    assert!(list.contains(&count), "the README should say: {count}");
}
