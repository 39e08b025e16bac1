//! Images equal those of Pillow, OpenCV and PyTorch. The arrays were made by
//! `tools golden.pillow_cv2`.

use camlens::picture::colormap::Colormap;
use camlens::picture::decode;
use camlens::picture::overlay::{Blend, Range, emphasize, gray, heatmap, overlay};
use camlens::picture::resize::{Filter, resize, upsample, upsample_align_corners};
use image::RgbImage;
use ndarray::{Array2, ArrayView2};

use crate::support::{Golden, repository};

fn chelsea() -> RgbImage {
    let bytes = std::fs::read(repository("tests/golden/images/chelsea.png")).unwrap();
    decode::decode(&bytes, &decode::Limits { max_pixels: 1 << 20 }).unwrap()
}

/// The largest difference of any byte.
fn distance(a: &RgbImage, b: &RgbImage) -> u8 {
    assert_eq!(a.dimensions(), b.dimensions());
    a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

fn map_distance(a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>) -> f32 {
    assert_eq!(a.dim(), b.dim());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// "131x97" as (height, width).
fn size(text: &str) -> (usize, usize) {
    let (height, width) = text.split_once('x').unwrap();
    (height.parse().unwrap(), width.parse().unwrap())
}

#[test]
fn resizing_agrees_with_pillow() {
    let mut golden = Golden::open("pictures/pillow_resize.npz");
    let (chelsea, piece) = (chelsea(), golden.image("piece"));
    let mut compared = 0;
    for name in golden.names() {
        let [source, filter, to] = *name.split('|').collect::<Vec<_>>() else { continue };
        let source = if source == "piece" { &piece } else { &chelsea };
        let filter = match filter {
            "nearest" => Filter::Nearest,
            "bilinear" => Filter::Bilinear,
            "bicubic" => Filter::Bicubic,
            "lanczos3" => Filter::Lanczos3,
            other => panic!("unknown filter {other}"),
        };
        let (height, width) = size(to);
        let out = resize(source, width as u32, height as u32, filter);
        // Pillow 13 resizes the rows first where the height shrinks much more than the width.
        // Earlier versions, which prepared the training images of today's models, never did.
        let rows_first = (to == "29x100" && filter != Filter::Nearest) as u8;
        let far = distance(&out, &golden.image(&name));
        assert!(far <= rows_first, "{name}: {far}");
        compared += 1;
    }
    assert_eq!(compared, 33);
}

#[test]
fn interpolation_of_maps_agrees_with_opencv_and_torch() {
    let mut golden = Golden::open("pictures/bilinear_maps.npz");
    let mut compared = 0;
    for name in golden.names() {
        let [library, map, to] = *name.split('|').collect::<Vec<_>>() else { continue };
        let map: Array2<f32> = golden.get(map);
        let expected: Array2<f32> = golden.get(&name);
        let (height, width) = size(to);
        let out = match library {
            "cv2" | "torch_half_pixel" => upsample(map.view(), height, width),
            "torch_align_corners" => upsample_align_corners(map.view(), height, width),
            other => panic!("unknown library {other}"),
        };
        // torch computes the positions in single precision, 1e-5 of a pixel off at 224.
        let allowed = if library == "cv2" { 1e-6 } else { 1e-5 };
        let far = map_distance(out.view(), expected.view());
        assert!(far <= allowed, "{name}: {far:e}");
        compared += 1;
    }
    assert_eq!(compared, 13);
}

#[test]
fn colour_tables_are_identical_to_opencv_s() {
    let mut golden = Golden::open("pictures/colormaps.npz");
    let others = [Colormap::Gray, Colormap::Coolwarm, Colormap::RdBu];
    for colormap in Colormap::ALL.into_iter().filter(|colormap| !others.contains(colormap)) {
        let table: Array2<u8> = golden.get(colormap.name());
        assert!(table.iter().eq(colormap.table().as_flattened()), "{colormap}");
    }
}

#[test]
fn overlays_are_identical_to_the_article_s() {
    let mut golden = Golden::open("pictures/overlay_cv2.npz");
    let image = golden.image("image");
    let map: Array2<f32> = golden.get("map");
    let plain: Array2<f32> = golden.get("map_image_size");
    let ours = upsample(map.view(), plain.nrows(), plain.ncols());
    assert!(map_distance(ours.view(), plain.view()) < 1e-6);

    for (name, map) in
        [("plain", plain.clone()), ("emphasized", emphasize(plain.view(), Range::Unit))]
    {
        let index: Array2<u8> = golden.get(&format!("{name}|index"));
        assert!(
            index.iter().eq(gray(map.view(), Range::Unit).as_raw()),
            "{name}: the colours' indices"
        );
        let expected = golden.image(&format!("{name}|heatmap"));
        assert_eq!(
            distance(&heatmap(map.view(), Range::Unit, Colormap::Jet), &expected),
            0,
            "{name}"
        );
        for weight in [0.8, 0.5] {
            let expected = golden.image(&format!("{name}|add|{weight}"));
            let out = overlay(&image, map.view(), Range::Unit, Colormap::Jet, Blend::Add, weight);
            assert_eq!(distance(&out, &expected), 0, "{name}, weight {weight}");
        }
        // The golden array rounds down where camlens rounds to nearest.
        let expected = golden.image(&format!("{name}|mix|0.5"));
        let out = overlay(&image, map.view(), Range::Unit, Colormap::Jet, Blend::Mix, 0.5);
        assert!(distance(&out, &expected) <= 1, "{name}, mixed");
    }
}
