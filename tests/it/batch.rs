//! `camlens batch`, from outside.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use ndarray::Array2;
use ndarray_npy::{NpzReader, ReadNpyExt};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row, RowAccessor};
use serde_json::Value;

use crate::cli::{camlens, run, workplace};

/// [`workplace`] with a folder `in` of different small pictures.
fn album(count: u32) -> tempfile::TempDir {
    let folder = workplace();
    std::fs::create_dir(folder.path().join("in")).unwrap();
    for number in 0..count {
        let image = image::RgbImage::from_fn(20, 20, |x, y| {
            let value = |factor: u32| ((x * factor + y * 31 + number * 17) % 251) as u8;
            image::Rgb([value(3), value(7), value(number % 13)])
        });
        image.save(folder.path().join(format!("in/{number:04}.png"))).unwrap();
    }
    folder
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs a command that must end with this code. Returns what it wrote to standard error.
fn ends(folder: &Path, code: i32, arguments: &[&str]) -> String {
    let output = run(folder, &[&["batch"], arguments].concat());
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
    told
}

/// The records of a run by their ids, each of which must be there once.
fn records(results: &Path) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for line in std::fs::read_to_string(results.join("manifest.jsonl")).unwrap().lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let id = record["id"].as_str().unwrap().to_owned();
        assert!(found.insert(id.clone(), record).is_none(), "{id} has two records");
    }
    found
}

fn state(results: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(results.join("run.json")).unwrap()).unwrap()
}

fn rows(path: &Path) -> Vec<Row> {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    reader.get_row_iter(None).unwrap().map(Result::unwrap).collect()
}

/// A row's map.
fn map(row: &Row) -> Array2<f32> {
    let size = |index| usize::try_from(row.get_int(index).unwrap()).unwrap();
    let list = row.get_list(9).unwrap();
    let values = list.elements().iter().map(|value| match value {
        Field::Float(value) => *value,
        Field::Float16(value) => value.to_f32(),
        other => panic!("{other:?}"),
    });
    Array2::from_shape_vec((size(7), size(8)), values.collect()).unwrap()
}

/// Checks that every record's map lies where the record says, and that no other map lies there.
fn assert_maps_are_in_place(results: &Path, records: &BTreeMap<String, Value>) {
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in std::fs::read_dir(results).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(!name.ends_with(".part"), "{name}");
        if name.starts_with("maps-") {
            let ids = rows(&path).iter().map(|row| row.get_string(0).unwrap().clone()).collect();
            files.insert(name, ids);
        }
    }
    let mut maps = 0;
    for (id, record) in records {
        for map in record["maps"].as_array().unwrap() {
            let file = &files[map["file"].as_str().unwrap()];
            assert_eq!(&file[usize::try_from(map["row"].as_u64().unwrap()).unwrap()], id);
            maps += 1;
        }
    }
    assert_eq!(files.values().map(Vec::len).sum::<usize>(), maps);
}

#[test]
fn a_folder_becomes_a_manifest_and_the_maps_of_explain() {
    let folder = album(5);
    let path = folder.path();
    std::fs::write(path.join("in/bad.png"), b"no picture").unwrap();
    std::fs::create_dir(path.join("in/deeper")).unwrap();
    std::fs::copy(path.join("cat.png"), path.join("in/deeper/cat.png")).unwrap();
    let told = ends(path, 3, &["in", "-o", "out", "--method", "layercam"]);
    assert!(told.contains("camlens: in/bad.png: "), "{told}");
    assert!(told.contains("7 images: 1 without a map; 7 in this run"), "{told}");

    let records = records(&path.join("out"));
    assert_eq!(records.len(), 7);
    assert_maps_are_in_place(&path.join("out"), &records);
    let bad = &records["in/bad.png"];
    assert_eq!(bad["error"]["type"], "unsupported-image");
    assert_eq!(bad["maps"].as_array().unwrap().len(), 0);
    assert_eq!(bad["sha256"].as_str().unwrap().len(), 64);

    let cat = &records["in/deeper/cat.png"];
    let arguments =
        ["explain", "cat.png", "--method", "layercam", "--size", "layer", "-o", "map.npy"];
    assert!(run(path, &arguments).status.success());
    let expected = Array2::<f32>::read_npy(File::open(path.join("map.npy")).unwrap()).unwrap();
    let place = &cat["maps"][0];
    let row = &rows(&path.join("out/maps-00000.parquet"))
        [usize::try_from(place["row"].as_u64().unwrap()).unwrap()];
    assert_eq!(map(row), expected);
    assert_eq!(place["shape"], serde_json::json!(expected.shape()));
    assert_eq!(place["method"], "layercam");
    assert_eq!(place["target"], cat["prediction"]);
    assert_eq!(cat["error"], Value::Null);
    let run = state(&path.join("out"));
    assert_eq!((&run["images"], &run["failed"]), (&7.into(), &1.into()));
    assert_eq!(run["complete"], true);
}

#[test]
fn a_run_that_is_killed_twenty_times_ends_with_each_record_once() {
    const IMAGES: u32 = 600;
    let folder = album(IMAGES);
    let path = folder.path();
    std::fs::write(path.join("in/bad.png"), b"no picture").unwrap();
    let arguments = ["in", "-o", "out", "--resume", "--images-per-file", "3", "--quiet"];
    let done = || {
        let read = std::fs::read(path.join("out/run.json")).ok();
        let state = read.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        state.map_or(0, |state| state["images"].as_u64().unwrap())
    };
    let mut random = 7_u64;
    for kill in 0..20 {
        let mut child =
            camlens(path).arg("batch").args(arguments).stderr(Stdio::null()).spawn().unwrap();
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let enough = done() + (random >> 33) % 24;
        while done() < enough {
            assert!(child.try_wait().unwrap().is_none(), "it ended before kill {kill}");
            std::thread::sleep(Duration::from_micros(200));
        }
        std::thread::sleep(Duration::from_micros((random >> 20) % 20_000));
        // SIGKILL.
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(done() < IMAGES.into());
    ends(path, 3, &arguments);
    let found = records(&path.join("out"));
    assert_eq!(found.len(), IMAGES as usize + 1);
    assert_maps_are_in_place(&path.join("out"), &found);

    ends(path, 3, &["in", "-o", "whole", "--quiet"]);
    // But for where maps lie, the records are those of a run in peace.
    let without_place = |mut records: BTreeMap<String, Value>| {
        for map in records.values_mut().flat_map(|record| record["maps"].as_array_mut().unwrap()) {
            (map["file"], map["row"]) = (Value::Null, Value::Null);
        }
        records
    };
    assert_eq!(without_place(found), without_place(records(&path.join("whole"))));
    let told = ends(path, 3, &["in", "-o", "out", "--resume", "--images-per-file", "3"]);
    assert!(told.contains("601 images: 1 without a map\n"), "{told}");
}

#[test]
fn results_are_neither_overwritten_nor_mixed() {
    let folder = album(2);
    let path = folder.path();
    ends(path, 0, &["in", "-o", "out", "--quiet"]);
    let told = ends(path, 2, &["in", "-o", "out"]);
    assert!(told.contains("--resume goes on with it"), "{told}");
    let told = ends(path, 2, &["in", "-o", "out", "--resume", "--method", "gradcam"]);
    assert!(told.contains("began with another method: none, not gradcam"), "{told}");
    // New images are added; nothing is explained twice.
    std::fs::copy(path.join("cat.png"), path.join("in/new.png")).unwrap();
    let told = ends(path, 0, &["in", "-o", "out", "--resume"]);
    assert!(told.contains("3 images: 0 without a map; 1 in this run"), "{told}");
    assert_eq!(records(&path.join("out")).len(), 3);
    // A manifest that lost its end is no run to go on with.
    std::fs::write(path.join("out/manifest.jsonl"), b"").unwrap();
    let told = ends(path, 1, &["in", "-o", "out", "--resume"]);
    assert!(told.contains("it was cut or replaced"), "{told}");
}

#[test]
fn one_process_at_a_time_writes_a_folder() {
    let folder = album(1);
    let path = folder.path();
    ends(path, 0, &["in", "-o", "out", "--quiet"]);
    let lock = File::options().write(true).open(path.join("out/.lock")).unwrap();
    lock.lock().unwrap();
    let told = ends(path, 1, &["in", "-o", "out", "--resume"]);
    assert!(told.contains("another camlens writes here now"), "{told}");
}

/// As on a full disk: many images are still on their way when a result can't be written.
#[test]
fn a_result_that_cannot_be_written_ends_the_run() {
    let folder = album(40);
    let path = folder.path();
    std::fs::create_dir(path.join("out")).unwrap();
    std::fs::write(path.join("out/pictures"), b"no folder").unwrap();
    let told = ends(path, 1, &["in", "-o", "out", "--output", "overlay"]);
    assert!(told.contains("out/pictures"), "{told}");
    std::fs::remove_file(path.join("out/pictures")).unwrap();
    ends(path, 0, &["in", "-o", "out", "--output", "overlay", "--resume", "--quiet"]);
    assert_eq!(records(&path.join("out")).len(), 40);
}

#[test]
fn shards_share_the_images() {
    let folder = album(20);
    let path = folder.path();
    let mut all = Vec::new();
    for index in 0..3 {
        let shard = format!("{index}/3");
        ends(path, 0, &["in", "-o", "out", "--shard", &shard, "--quiet"]);
        let found = records(&path.join(format!("out/shard-{index}-of-3")));
        assert!(!found.is_empty() && found.len() < 20);
        all.extend(found.into_keys());
    }
    all.sort();
    let expected: Vec<String> = (0..20).map(|number| format!("in/{number:04}.png")).collect();
    assert_eq!(all, expected);
    let told = ends(path, 2, &["in", "-o", "out", "--shard", "3/3"]);
    assert!(told.contains("shards count from 0 to 2"), "{told}");
}

/// Writes a table of two images by the column that holds them.
fn table(path: &Path, schema: &str, images: [Option<&[u8]>; 2]) {
    use parquet::data_type::{ByteArray, ByteArrayType};
    let schema = parquet::schema::parser::parse_message_type(schema).unwrap().into();
    let file = File::create(path).unwrap();
    let mut writer =
        parquet::file::writer::SerializedFileWriter::new(file, schema, Default::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let names = ["first", "second"].map(ByteArray::from);
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&names, None, None).unwrap();
    column.close().unwrap();
    let levels: Vec<i16> = images.iter().map(|image| i16::from(image.is_some())).collect();
    let images: Vec<ByteArray> =
        images.into_iter().flatten().map(|image| image.to_vec().into()).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&images, Some(&levels), None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
}

#[test]
fn images_come_from_archives_tables_and_lists() {
    let folder = album(4);
    let path = folder.path();
    let tar = Command::new("tar").args(["-cf", "a.tar", "in"]).current_dir(path).status().unwrap();
    assert!(tar.success());
    let image = std::fs::read(path.join("cat.png")).unwrap();
    let schema = "message m { required binary name (STRING); optional binary image; }";
    table(&path.join("b.parquet"), schema, [Some(&image), None]);
    let schema = "message m { required binary name (STRING); optional group image { optional binary bytes; } }";
    // A group that is there needs a level of its own.
    table(
        &path.join("c.parquet"),
        &schema.replace("optional group", "required group"),
        [Some(&image), None],
    );
    std::fs::write(path.join("list.txt"), "in/0001.png\ngone.png\n").unwrap();
    let told =
        ends(path, 3, &["a.tar", "b.parquet", "c.parquet", "list.txt", "in/0001.png", "-o", "out"]);
    assert!(told.contains("10 images: 3 without a map"), "{told}");
    assert!(told.contains("1 image named twice"), "{told}");
    let found = records(&path.join("out"));
    let failed: Vec<&String> =
        found.iter().filter(|(_, record)| !record["error"].is_null()).map(|(id, _)| id).collect();
    assert_eq!(failed, ["b.parquet#1", "c.parquet#1", "gone.png"]);
    for id in ["a.tar/in/0003.png", "b.parquet#0", "c.parquet#0", "in/0001.png"] {
        assert_eq!(found[id]["error"], Value::Null, "{id}");
    }
    assert_eq!(found["a.tar/in/0001.png"]["sha256"], found["in/0001.png"]["sha256"]);

    ends(path, 3, &["b.parquet", "-o", "named", "--id-column", "name"]);
    assert!(records(&path.join("named")).keys().eq(["first", "second"]));
    let told = ends(path, 1, &["b.parquet", "-o", "x", "--image-column", "photo"]);
    assert!(told.contains("no column 'photo'; its columns are name, image"), "{told}");
    std::fs::write(path.join("broken.tar"), b"no archive".repeat(60)).unwrap();
    let told = ends(path, 3, &["broken.tar", "in/0001.png", "-o", "rest"]);
    assert!(told.contains("broken.tar: the archive can't be read"), "{told}");
    assert!(told.contains("not all sources could be read"), "{told}");
    assert_eq!(state(&path.join("rest"))["complete"], false);
    assert_eq!(records(&path.join("rest")).len(), 1);
}

#[test]
fn maps_have_the_form_the_size_and_the_numbers_that_are_asked_for() {
    let folder = album(2);
    let path = folder.path();
    ends(path, 0, &["in", "-o", "half", "--map-type", "float16", "--quiet"]);
    ends(path, 0, &["in", "-o", "full", "--size", "input", "--quiet"]);
    ends(path, 0, &["in", "-o", "numpy", "--maps", "npz", "--target", "0,1", "--quiet"]);
    ends(path, 0, &["in", "-o", "drawn", "--maps", "none", "--output", "overlay", "--quiet"]);
    let half = map(&rows(&path.join("half/maps-00000.parquet"))[0]);
    let full = map(&rows(&path.join("full/maps-00000.parquet"))[0]);
    assert!(half.len() < full.len());
    let largest = half.iter().copied().fold(0.0, f32::max);
    assert_eq!(largest, 1.0);
    let mut numpy = NpzReader::new(File::open(path.join("numpy/maps-00000.npz")).unwrap()).unwrap();
    assert_eq!(numpy.names().unwrap().len(), 4, "two classes of two images");
    let second: Array2<f32> = numpy.by_name("2").unwrap();
    assert_eq!(second.dim(), half.dim());
    let records = records(&path.join("drawn"));
    let picture = records["in/0000.png"]["picture"].as_str().unwrap();
    assert_eq!(picture, "pictures/in/0000.png.png");
    assert!(std::fs::read(path.join("drawn").join(picture)).unwrap().starts_with(b"\x89PNG"));
    assert_eq!(records["in/0000.png"]["maps"][0]["file"], Value::Null);
    for (arguments, reason) in [
        (&["--maps", "none"][..], "leaves nothing to write"),
        (&["--colormap", "turbo"], "--colormap is about pictures: add --output overlay"),
        (&["--output", "npy"], "--output names the pictures here"),
        (&["--maps", "npz", "--map-type", "float16"], "an .npz file has maps of float32"),
        (&["--layer", "conv9"], "conv9"),
    ] {
        let output = run(path, &[&["batch", "in", "-o", "no"], arguments].concat());
        let told = text(&output.stderr);
        assert!(told.contains(reason) && told.lines().count() == 1, "{told}");
        assert!(!path.join("no").exists(), "{arguments:?}");
    }
}
