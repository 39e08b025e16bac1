//! A `model.toml`, and after a line `---` a file of labels.

use camlens::model::Labels;
use camlens::model::manifest::{Color, Layout, MAX_INPUT_SIZE, Manifest};
use camlens::model::preprocess::Preprocess;
use image::{Rgb, RgbImage};

use crate::memory;

/// Larger inputs take too long here.
const MAX_PIXELS: u32 = 1 << 12;

/// A manifest that is read is within its limits, and an image of any size can be preprocessed by
/// it, in memory that the input's size bounds. A label that no other class has names its class.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (manifest, labels) = text.split_once("\n---\n").unwrap_or((text, ""));
    labelled(labels);
    // The parser of TOML keeps every key with its place.
    let parse = || Manifest::parse(manifest);
    let first = memory::within(128 * manifest.len() + (64 << 10), parse);
    assert_eq!(format!("{first:?}"), format!("{:?}", parse()));
    let Ok(manifest) = first else { return };
    let [height, width] = manifest.input.size.unwrap_or([8, 8]);
    assert!([height, width].iter().all(|size| (1..=MAX_INPUT_SIZE).contains(size)));
    if height.saturating_mul(width) <= MAX_PIXELS {
        preprocess(&manifest, [height, width]);
    }
}

fn preprocess(manifest: &Manifest, [height, width]: [u32; 2]) {
    let color = manifest.input.color.unwrap_or(Color::Rgb);
    let layout = manifest.input.layout.unwrap_or(Layout::Nchw);
    let Ok(preprocess) = Preprocess::new(&manifest.input, [height, width], layout, color, false)
    else {
        return;
    };
    for size in [[1, 1], [5, 3], [1, 64]] {
        let picture = RgbImage::from_pixel(size[0], size[1], Rgb([200, 100, 50]));
        let pixels = (height * width) as usize;
        let tensor = memory::within(256 * pixels + (1 << 20), || preprocess.tensor(&picture));
        assert_eq!(tensor.shape()[1..], preprocess.shape());
        let [left, top, right, bottom] = preprocess.visible_rect(size[0], size[1]);
        assert!([left, top, right, bottom].iter().all(|side| side.is_finite()));
    }
}

fn labelled(text: &str) {
    let labels = memory::within(64 * text.len() + (16 << 10), || Labels::parse(text));
    assert_eq!(labels, Labels::parse(text));
    let all = labels.all();
    assert!(all.len() <= text.split(['\n', '\r']).count());
    for (class, label) in all.iter().enumerate().take(64) {
        assert_eq!(label.trim(), label);
        let is_number = label.bytes().all(|byte| byte.is_ascii_digit());
        let is_only = all.iter().filter(|other| *other == label).count() == 1;
        if !is_number && is_only {
            assert_eq!(labels.resolve(label, all.len()).ok(), Some(class), "{label:?}");
        }
    }
}
