//! Every file of `tests/golden/decoding` decodes to the pixels that Pillow shows, or is refused
//! with the reason. The files were made by `tools golden.decoding.main`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use camlens::error::Kind;
use camlens::picture::decode::{Limits, decode};
use serde_json::Value;

use crate::support::{Golden, repository};

const LIMITS: Limits = Limits { max_pixels: 1 << 20 };

fn folder() -> PathBuf {
    repository("tests/golden/decoding")
}

/// What `manifest.json` says of each file.
fn manifest() -> BTreeMap<String, Value> {
    let text = std::fs::read_to_string(folder().join("manifest.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The images in the folder, by their paths in it.
fn files(folder: &Path, prefix: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder.join(prefix)).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(folder, &format!("{name}/")));
        } else if !name.ends_with(".json") && !name.ends_with(".npz") {
            found.insert(name);
        }
    }
    found
}

/// What is wrong with the result for one file, if anything.
fn fault(name: &str, right: &Value, expected: &mut Golden) -> Option<String> {
    let bytes = std::fs::read(folder().join(name)).unwrap();
    let result = decode(&bytes, &LIMITS);
    if let Some(reason) = right["refused"].as_str() {
        return match result {
            Ok(_) => Some(format!("decoded, though it has {reason}")),
            Err(error) if error.kind() != Kind::UnsupportedImage => Some(error.to_string()),
            Err(error) if !error.to_string().contains(reason) => Some(error.to_string()),
            Err(_) => None,
        };
    }
    let wanted = expected.image(right["pixels"].as_str().unwrap());
    let image = match result {
        Ok(image) => image,
        Err(error) => return Some(error.to_string()),
    };
    if image.dimensions() != wanted.dimensions() {
        return Some(format!("{:?} instead of {:?}", image.dimensions(), wanted.dimensions()));
    }
    let pairs = image.as_raw().iter().zip(wanted.as_raw());
    let largest = pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0);
    let allowed = right["tolerance"].as_u64().unwrap_or(0);
    (u64::from(largest) > allowed).then(|| format!("differs by {largest}"))
}

#[test]
fn every_variant_of_every_format_decodes_as_in_pillow_or_is_refused_by_name() {
    let manifest = manifest();
    assert_eq!(files(&folder(), ""), manifest.keys().cloned().collect(), "files and manifest");
    let mut expected = Golden::open("decoding/expected.npz");
    let faults: Vec<String> = manifest
        .iter()
        .filter_map(|(name, right)| Some((name, fault(name, right, &mut expected)?)))
        .map(|(name, fault)| format!("{name}: {fault}"))
        .collect();
    assert!(faults.is_empty(), "{} files:\n{}", faults.len(), faults.join("\n"));
}
