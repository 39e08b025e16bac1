//! Where a model's external data may lie: what ONNX Runtime loads from a download cache loads here,
//! and no file outside the model's folder is read unless the manifest lists its folder.
#![cfg(unix)]

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use camlens::engine::{CancellationToken, Model};
use camlens::model::onnx_file::OnnxFile;
use ndarray::{Array2, Array4};
use onnx_gradient::proto::{ModelProto, StringStringEntryProto};
use prost::Message;
use tempfile::TempDir;

use crate::support::{load, repository, settings};

const SIZE: [usize; 2] = [64, 64];

/// A folder for models and their data. It outlives the test, because sessions map the files.
struct Place(PathBuf);

/// `tests/golden/dialects/tinyvgg-external.onnx` and its data.
fn source() -> (ModelProto, Vec<u8>) {
    let read = |name: &str| {
        std::fs::read(repository(&format!("tests/golden/dialects/{name}"))).expect("the model")
    };
    let model = ModelProto::decode(read("tinyvgg-external.onnx").as_slice()).expect("a model");
    (model, read("tinyvgg-external.onnx.data"))
}

/// The model's bytes, with all of its external data at `location`.
fn model_at(location: &str) -> Vec<u8> {
    changed(|entry| {
        if entry.key() == "location" {
            entry.value = Some(location.to_owned());
        }
    })
}

/// The model's bytes, with its references changed.
fn changed(change: impl Fn(&mut StringStringEntryProto)) -> Vec<u8> {
    let (mut model, _) = source();
    let graph = model.graph.as_mut().expect("a graph");
    graph.initializer.iter_mut().flat_map(|tensor| &mut tensor.external_data).for_each(change);
    model.encode_to_vec()
}

impl Place {
    fn new() -> Self {
        Self(TempDir::new().expect("a folder").keep())
    }

    fn write(&self, path: &str, bytes: &[u8]) -> &Self {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, bytes).expect("a file");
        self
    }

    fn link(&self, target: impl AsRef<Path>, path: &str) -> &Self {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        symlink(target, path).expect("a link");
        self
    }

    /// The model in the folder `m`, whose manifest ends with these lines.
    fn load(&self, manifest: &str) -> camlens::error::Result<Model> {
        let manifest = format!(
            "file = \"model.onnx\"\n{manifest}[input]\nsize = {SIZE:?}\nscale = 1.0\n\
             mean = [0.0, 0.0, 0.0]\nstd = [1.0, 1.0, 1.0]\n"
        );
        self.write("m/model.toml", manifest.as_bytes());
        load(&self.0.join("m"), &settings())
    }

    /// Loads the model and checks its scores.
    fn works(&self, manifest: &str) {
        let model = self.load(manifest).unwrap_or_else(|error| panic!("{error:?}"));
        let found = scores(&model);
        let expected = scores(&crate::support::dialect("tinyvgg-external", SIZE));
        assert_eq!(found, expected);
    }

    /// Why the model is refused.
    fn refusal(&self, manifest: &str) -> String {
        self.load(manifest).map(|model| model.id().to_owned()).unwrap_err().to_string()
    }
}

fn scores(model: &Model) -> Array2<f32> {
    let input = Array4::from_shape_fn((1, 3, SIZE[0], SIZE[1]), |(_, c, y, x)| {
        ((c * 7 + y * 3 + x * 5) % 11) as f32 / 11.0
    });
    model.forward(input, &CancellationToken::default()).expect("scores").scores
}

const OUTSIDE: &str = "is outside the model's folder; data_folders in model.toml lists folders \
                       that it may lie in";

/// The reason for a location that leads above the folder that it starts from.
fn above(location: &str) -> String {
    format!(
        "has the location '{location}', which does not stay inside the model's folder, as ONNX \
         demands; data_folders in model.toml lists folders that it may lie in"
    )
}

#[test]
fn a_download_cache_of_links_is_followed() {
    let (_, data) = source();
    let place = Place::new();
    place.write("blobs/1111", &model_at("model.onnx_data")).write("blobs/2222", &data);
    place.link("../blobs/1111", "m/model.onnx").link("../blobs/2222", "m/model.onnx_data");
    place.works("");

    // In a cache the files of a subfolder lead to the same blobs, and links to links.
    let deeper = Place::new();
    deeper.write("blobs/1111", &model_at("weights/data")).write("blobs/2222", &data);
    deeper.link("../blobs/1111", "m/model.onnx").link("../../hop", "m/weights/data");
    deeper.link("blobs/2222", "hop");
    deeper.works("");
}

#[test]
fn data_is_looked_for_beside_the_link_and_then_beside_its_target() {
    let (_, data) = source();
    let beside_link = Place::new();
    beside_link.write("store/1", &model_at("data")).link("../store/1", "m/model.onnx");
    // The file beside the link counts; another one of this name lies beside the target.
    beside_link.write("m/data", &data).write("store/data", b"not these weights");
    beside_link.works("");

    let beside_target = Place::new();
    beside_target.write("store/1", &model_at("data")).link("../store/1", "m/model.onnx");
    beside_target.write("store/data", &data).link("gone", "m/data");
    beside_target.works("");
}

#[test]
fn a_folder_may_be_a_link_and_a_location_may_go_down_and_up_again() {
    let (_, data) = source();
    let place = Place::new();
    place.write("elsewhere/model.onnx", &model_at("sub/../data")).write("elsewhere/data", &data);
    place.write("elsewhere/sub/x", b"").link("elsewhere", "m");
    place.works("");
}

#[test]
fn data_outside_the_folder_is_refused_unless_the_manifest_lists_its_folder() {
    let (_, data) = source();
    let by_link = Place::new();
    by_link.write("m/model.onnx", &model_at("data")).write("other/secret", &data);
    by_link.link("../other/secret", "m/data");
    assert!(by_link.refusal("").ends_with(OUTSIDE), "{}", by_link.refusal(""));
    by_link.works("data_folders = [\"../other\"]\n");
    let wrong = by_link.refusal("data_folders = [\"../m\"]\n");
    assert!(wrong.ends_with(OUTSIDE), "{wrong}");
    let missing = by_link.refusal("data_folders = [\"../nowhere\"]\n");
    assert!(missing.contains("nowhere"), "{missing}");

    let by_path = Place::new();
    by_path.write("m/model.onnx", &model_at("../other/secret")).write("other/secret", &data);
    assert!(by_path.refusal("").ends_with(&above("../other/secret")), "{}", by_path.refusal(""));
    by_path.works("data_folders = [\"../other\"]\n");

    let absolute = Place::new();
    let secret = absolute.0.join("other/secret");
    absolute.write("m/model.onnx", &model_at(secret.to_str().expect("a path")));
    absolute.write("other/secret", &data);
    assert!(absolute.refusal("").ends_with(&above(secret.to_str().expect("a path"))));
    absolute.works(&format!("data_folders = [{:?}]\n", absolute.0.join("other")));

    // The model is a link, but its data leads to neither folder.
    let third = Place::new();
    third.write("blobs/1", &model_at("data")).link("../blobs/1", "m/model.onnx");
    third.write("other/secret", &data).link("../other/secret", "m/data");
    assert!(third.refusal("").ends_with(OUTSIDE));
    // Nor does `..` become harmless because it leads to the target's folder.
    let up = Place::new();
    up.write("blobs/1", &model_at("../blobs/2")).link("../blobs/1", "m/model.onnx");
    up.write("blobs/2", &data);
    assert!(up.refusal("").ends_with(&above("../blobs/2")));
    // Nor because it leads back into the folder; ONNX's checker refuses it, too.
    let back = Place::new();
    back.write("m/model.onnx", &model_at("../m/data")).write("m/data", &data);
    assert!(back.refusal("").ends_with(&above("../m/data")), "{}", back.refusal(""));
    back.works("data_folders = [\".\"]\n");
}

#[test]
fn a_model_that_is_a_dangling_link_is_refused_with_its_target() {
    let place = Place::new();
    place.link("../blobs/1111", "m/model.onnx");
    let text = place.refusal("");
    let expected = "m/model.onnx -> ../blobs/1111: the symbolic link leads to a file that does \
                    not exist";
    assert!(text.ends_with(expected), "{text}");
    let error = OnnxFile::open(&place.0.join("m/model.onnx")).unwrap_err();
    assert!(error.to_string().ends_with(expected), "{error}");
}

#[test]
fn data_that_is_not_there_is_refused_by_name() {
    let (_, data) = source();
    let place = |location: &str| {
        let place = Place::new();
        place.write("m/model.onnx", &model_at(location));
        place
    };
    let refusal = |place: &Place| {
        let text = place.refusal("");
        let (tensor, reason) = text.split_once("' ").expect("a tensor's name");
        assert!(tensor.contains("the external data of tensor '"), "{text}");
        reason.to_owned()
    };
    assert_eq!(refusal(&place("data")), "is missing: there is no 'data'");
    assert_eq!(refusal(&place("")), "names no file");
    let dangling = place("data");
    dangling.link("gone", "m/data");
    let text = dangling.refusal("");
    assert!(text.contains("/m/data -> gone: the external data of tensor '"), "{text}");
    const LINK: &str = "is missing: 'data' is a symbolic link to a file that does not exist";
    assert_eq!(refusal(&dangling), LINK);
    let circle = place("data");
    circle.link("other", "m/data").link("data", "m/other");
    assert_eq!(refusal(&circle), LINK);
    let folder = place("data");
    folder.write("m/data/x", b"");
    assert_eq!(refusal(&folder), "is not in a file: 'data' is something else");

    let short = place("data");
    short.write("m/data", &data[..data.len() / 2]);
    assert!(refusal(&short).starts_with("ends beyond the end of its file: "));
    let far = Place::new();
    let bytes = changed(|entry| match entry.key() {
        "location" => entry.value = Some("data".into()),
        "offset" => entry.value = Some(u64::MAX.to_string()),
        _ => {}
    });
    far.write("m/model.onnx", &bytes).write("m/data", &data);
    assert!(refusal(&far).starts_with("ends beyond the end of its file: "));
    let negative = Place::new();
    let bytes = changed(|entry| {
        entry.value = Some(if entry.key() == "offset" { "-1" } else { "data" }.into());
    });
    negative.write("m/model.onnx", &bytes).write("m/data", &data);
    assert_eq!(refusal(&negative), "has a malformed offset or length");
}

/// Whatever a tensor's size: small ones are part of the graph, and nobody looks at their files.
#[test]
fn a_small_tensor_is_not_read_through_a_link_out_of_the_folder() {
    let (mut model, data) = source();
    let graph = model.graph.as_mut().expect("a graph");
    let smallest =
        graph.initializer.iter_mut().filter(|tensor| tensor.is_external()).min_by_key(|tensor| {
            tensor.external("length").and_then(|length| length.parse::<usize>().ok())
        });
    let smallest = smallest.expect("an external tensor");
    assert!(
        smallest.external("length").expect("a length").parse::<usize>().expect("a number") < 1024
    );
    for entry in &mut smallest.external_data {
        match entry.key() {
            "location" => entry.value = Some("link".to_owned()),
            "offset" => entry.value = Some("0".to_owned()),
            _ => {}
        }
    }
    let place = Place::new();
    place.write("m/model.onnx", &model.encode_to_vec());
    place.write("m/tinyvgg-external.onnx.data", &data).link("/etc/passwd", "m/link");
    assert!(place.refusal("").ends_with(OUTSIDE), "{}", place.refusal(""));
}
