//! Pictures equal those of Pillow, OpenCV and PyTorch (arrays of `tools golden.pillow_cv2`).

use std::fs::File;
use std::path::Path;

use camlens::picture::colormap::Colormap;
use camlens::picture::decode;
use camlens::picture::overlay::{Blend, Range, emphasize, gray, heatmap, overlay};
use camlens::picture::resize::{Filter, resize, upsample, upsample_align_corners};
use image::RgbImage;
use ndarray::{Array2, Array3, ArrayView2};
use ndarray_npy::NpzReader;

fn open(name: &str) -> NpzReader<File> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pictures");
    NpzReader::new(File::open(folder.join(name)).unwrap()).unwrap()
}

fn names(file: &mut NpzReader<File>) -> Vec<String> {
    file.names().unwrap().into_iter().map(|name| name.trim_end_matches(".npy").to_owned()).collect()
}

fn picture(file: &mut NpzReader<File>, name: &str) -> RgbImage {
    let array: Array3<u8> = file.by_name(name).unwrap();
    let (height, width, _) = array.dim();
    let bytes = array.iter().copied().collect();
    RgbImage::from_raw(width as u32, height as u32, bytes).unwrap()
}

fn chelsea() -> RgbImage {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/images/chelsea.png");
    decode::decode(&std::fs::read(file).unwrap(), &decode::Limits { max_pixels: 1 << 20 }).unwrap()
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
fn resize_is_pillow_s() {
    let mut file = open("pillow_resize.npz");
    let (chelsea, piece) = (chelsea(), picture(&mut file, "piece"));
    let mut compared = 0;
    for name in names(&mut file) {
        let [source, filter, to] = *name.split('|').collect::<Vec<_>>() else { continue };
        let source = if source == "piece" { &piece } else { &chelsea };
        let filter = match filter {
            "nearest" => Filter::Nearest,
            "bilinear" => Filter::Bilinear,
            "bicubic" => Filter::Bicubic,
            "lanczos3" => Filter::Lanczos3,
            other => panic!("a filter called {other}"),
        };
        let (height, width) = size(to);
        let out = resize(source, width as u32, height as u32, filter);
        // Pillow 13 does the rows first where the height shrinks much more than the width; all
        // before it, which prepared the images that today's models learned from, never did.
        let rows_first = (to == "29x100" && filter != Filter::Nearest) as u8;
        let far = distance(&out, &picture(&mut file, &name));
        assert!(far <= rows_first, "{name}: {far}");
        compared += 1;
    }
    assert_eq!(compared, 33);
}

#[test]
fn maps_are_interpolated_as_opencv_and_torch_do() {
    let mut file = open("bilinear_maps.npz");
    let mut compared = 0;
    for name in names(&mut file) {
        let [library, map, to] = *name.split('|').collect::<Vec<_>>() else { continue };
        let map: Array2<f32> = file.by_name(map).unwrap();
        let expected: Array2<f32> = file.by_name(&name).unwrap();
        let (height, width) = size(to);
        let out = match library {
            "cv2" | "torch_half_pixel" => upsample(map.view(), height, width),
            "torch_align_corners" => upsample_align_corners(map.view(), height, width),
            other => panic!("a library called {other}"),
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
fn colour_tables_are_opencv_s() {
    let mut file = open("colormaps.npz");
    let others = [Colormap::Gray, Colormap::Coolwarm, Colormap::RdBu];
    for colormap in Colormap::ALL.into_iter().filter(|colormap| !others.contains(colormap)) {
        let table: Array2<u8> = file.by_name(colormap.name()).unwrap();
        assert!(table.iter().eq(colormap.table().as_flattened()), "{colormap}");
    }
}

#[test]
fn overlays_are_the_article_s_byte_for_byte() {
    let mut file = open("overlay_cv2.npz");
    let image = picture(&mut file, "image");
    let map: Array2<f32> = file.by_name("map").unwrap();
    let plain: Array2<f32> = file.by_name("map_image_size").unwrap();
    let ours = upsample(map.view(), plain.nrows(), plain.ncols());
    assert!(map_distance(ours.view(), plain.view()) < 1e-6);

    for (name, map) in
        [("plain", plain.clone()), ("emphasized", emphasize(plain.view(), Range::Unit))]
    {
        let index: Array2<u8> = file.by_name(&format!("{name}|index")).unwrap();
        assert!(
            index.iter().eq(gray(map.view(), Range::Unit).as_raw()),
            "{name}: the colours' indices"
        );
        let expected = picture(&mut file, &format!("{name}|heatmap"));
        assert_eq!(
            distance(&heatmap(map.view(), Range::Unit, Colormap::Jet), &expected),
            0,
            "{name}"
        );
        for weight in [0.8, 0.5] {
            let expected = picture(&mut file, &format!("{name}|add|{weight}"));
            let out = overlay(&image, map.view(), Range::Unit, Colormap::Jet, Blend::Add, weight);
            assert_eq!(distance(&out, &expected), 0, "{name}, weight {weight}");
        }
        // The golden array rounds down where camlens rounds to nearest.
        let expected = picture(&mut file, &format!("{name}|mix|0.5"));
        let out = overlay(&image, map.view(), Range::Unit, Colormap::Jet, Blend::Mix, 0.5);
        assert!(distance(&out, &expected) <= 1, "{name}, mixed");
    }
}
