//! `explain`, `compare` and `predict` on files, folders, patterns and standard input, and the
//! commands around them.

use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::cli::{camlens, workplace};
use crate::support::repository;

/// [`workplace`] with a folder `in` of two images and a file that is none.
fn album() -> tempfile::TempDir {
    let folder = workplace();
    let images = folder.path().join("in");
    std::fs::create_dir(&images).unwrap();
    for name in ["a.png", "b.png"] {
        std::fs::copy(folder.path().join("cat.png"), images.join(name)).unwrap();
    }
    std::fs::write(images.join("bad.png"), b"no picture").unwrap();
    folder
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    camlens(folder).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_bad_image_does_not_stop_the_others() {
    let folder = album();
    let path = folder.path();
    let output = run(path, &["explain", "in", "--method", "gradcam", "-o", "out/"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    for name in ["out/a-gradcam.png", "out/b-gradcam.png"] {
        assert!(std::fs::read(path.join(name)).unwrap().starts_with(b"\x89PNG"), "{name}");
    }
    assert_eq!(std::fs::read_dir(path.join("out")).unwrap().count(), 2, "nothing half written");
    let lines = text(&output.stderr);
    assert_eq!(lines.lines().count(), 3, "{lines}");
    assert!(lines.contains("camlens: in/bad.png: "), "{lines}");
    std::fs::copy(path.join("in/bad.png"), path.join("in/worse.png")).unwrap();
    let output = run(path, &["predict", "in/bad.png", "in/worse.png"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
}

#[test]
fn an_error_that_concerns_every_image_is_told_once() {
    let folder = album();
    let output = run(folder.path(), &["explain", "in", "--layer", "conv9", "-o", "out/"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr).lines().count(), 1, "{}", text(&output.stderr));
}

#[test]
fn results_of_several_images_are_lines_that_name_their_file() {
    let folder = album();
    let output = run(folder.path(), &["predict", "in/a.png", "in/b.png", "--top-k", "2"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let out = text(&output.stdout);
    let files: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!([&files[0]["file"], &files[1]["file"]], ["in/a.png", "in/b.png"]);
    assert_eq!(files[0]["predictions"].as_array().unwrap().len(), 2);
    let one = run(folder.path(), &["predict", "cat.png"]);
    assert!(one.stdout.starts_with(b"{\"model\":\"tiny\"") && one.stdout.ends_with(b"}\n"));
}

#[test]
fn an_image_can_come_from_standard_input() {
    let folder = workplace();
    let mut child = camlens(folder.path())
        .args(["explain", "-", "-o", "{stem}-{model}.npy", "--quiet"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let image = std::fs::read(folder.path().join("cat.png")).unwrap();
    child.stdin.take().unwrap().write_all(&image).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    assert!(folder.path().join("stdin-tiny.npy").is_file());
}

#[test]
fn a_model_is_named_by_id_folder_or_file() {
    let folder = workplace();
    let path = folder.path();
    std::fs::rename(path.join("models/tiny"), path.join("other")).unwrap();
    for model in ["other", "other/model.onnx", "./other"] {
        let output = run(path, &["predict", "cat.png", "--model", model]);
        assert!(output.status.success(), "{model}: {}", text(&output.stderr));
    }
}

#[test]
fn comparisons_have_a_command_of_their_own() {
    let folder = workplace();
    let methods = ["compare", "cat.png", "--methods", "gradcam,layercam"];
    let output = run(folder.path(), &[&methods[..], &["-o", "figures/"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(folder.path().join("figures/cat-compare.png").is_file());
    let options = ["--format", "svg", "--columns", "2", "-o", "figures/"];
    let output = run(folder.path(), &[&methods[..], &options].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let svg = std::fs::read_to_string(folder.path().join("figures/cat-compare.svg")).unwrap();
    assert!(roxmltree::Document::parse(&svg).is_ok());
    let output = run(folder.path(), &[&methods[..], &["-o", "figure.jpg"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let jpeg = std::fs::read(folder.path().join("figure.jpg")).unwrap();
    assert!(jpeg.starts_with(b"\xff\xd8"));
    let wrong = run(folder.path(), &["compare", "cat.png", "--method", "gradcam"]);
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn wrong_places_are_refused_before_anything_is_computed() {
    let folder = album();
    let refused = |arguments: &[&str]| {
        let output = run(folder.path(), arguments);
        format!("{}: {}", output.status.code().unwrap(), text(&output.stderr).trim_end())
    };
    insta::assert_snapshot!(refused(&["explain", "in", "-o", "map.png"]), @"2: camlens: the results of in/a.png and in/b.png would both be map.png: use {index} in the name, as in {stem}-{index}.png");
    insta::assert_snapshot!(refused(&["explain", "cat.png", "-o", "cat.png"]), @"2: camlens: the result would replace the image cat.png");
    insta::assert_snapshot!(refused(&["explain", "cat.png", "-o", "{label}.png"]), @"2: camlens: {label}.png: there is no field {label}; the fields are {stem}, {method}, {model}, {index}");
    insta::assert_snapshot!(refused(&["explain", "in", "--output", "overlay"]), @"2: camlens: standard output takes one picture or array: name a folder with -o");
    insta::assert_snapshot!(refused(&["predict", "cat.png", "-o", "p.png"]), @"2: camlens: a prediction can be written to .json");
    insta::assert_snapshot!(refused(&["predict", "*.jpg"]), @"1: camlens: *.jpg: no file matches the pattern");
    insta::assert_snapshot!(refused(&["predict", "models"]), @"1: camlens: models: the folder has no images (png, jpg, jpeg, jpe, webp, gif, bmp, dib, tif, tiff)");
    assert!(!folder.path().join("map.png").exists());
}

/// `script` (Debian's bsdutils) runs a command on a terminal.
#[test]
fn a_terminal_shows_labels_and_per_cents() {
    let folder = workplace();
    std::fs::write(folder.path().join("models/tiny/labels.txt"), "cat\n".repeat(10)).unwrap();
    let binary = env!("CARGO_BIN_EXE_camlens");
    let output = std::process::Command::new("script")
        .args(["-qec", &format!("{binary} predict cat.png --top-k 1"), "/dev/null"])
        .current_dir(folder.path())
        .env("CAMLENS_RUNTIME", repository("runtime/libonnxruntime.so"))
        .output()
        .unwrap();
    let shown = text(&output.stdout).replace('\r', "");
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines.contains(&"cat.png"), "{shown}");
    assert!(lines.iter().any(|line| line.ends_with(" %  cat")), "{shown}");
}

#[test]
fn models_are_listed_without_being_loaded() {
    let folder = workplace();
    let models = folder.path().join("models");
    std::fs::create_dir(models.join("gone")).unwrap();
    std::fs::write(models.join("gone/model.toml"), "title = \"Gone\"\nfile = \"x.onnx\"\n")
        .unwrap();
    let output = run(folder.path(), &["models"]);
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!([&list[0]["id"], &list[0]["title"]], ["gone", "Gone"]);
    assert!(list[0]["error"].as_str().unwrap().starts_with("x.onnx is missing"));
    assert_eq!([&list[0]["default"], &list[1]["default"]], [false, true]);
}

#[test]
fn completions_and_man_pages_cover_every_command() {
    let folder = workplace();
    let path = folder.path();
    for shell in ["bash", "zsh", "fish"] {
        let script = text(&run(path, &["completions", shell]).stdout);
        for word in ["explain", "compare", "inspect", "max-channels"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let script = run(path, &["completions", "bash"]).stdout;
    std::fs::write(path.join("camlens.bash"), script).unwrap();
    let parsed =
        std::process::Command::new("bash").arg("-n").arg(path.join("camlens.bash")).status();
    assert!(parsed.unwrap().success());
    assert!(run(path, &["man", "-o", "man1"]).status.success());
    for page in ["camlens.1", "camlens-explain.1", "camlens-predict.1", "camlens-serve.1"] {
        assert!(std::fs::read_to_string(path.join("man1").join(page)).unwrap().contains(".TH"));
    }
    assert!(!path.join("man1/camlens-try-load.1").exists(), "an internal command has no page");
}

/// ONNX Runtime 1.32 reports to its maker, and keeps a database in the home folder for that, unless
/// it is told not to.
#[test]
fn the_runtime_sends_nothing_and_writes_nothing() {
    let folder = workplace();
    let home = folder.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let output =
        camlens(folder.path()).args(["predict", "cat.png"]).env("HOME", &home).output().unwrap();
    assert!(output.status.success());
    assert_eq!(std::fs::read_dir(&home).unwrap().count(), 0);
}

#[test]
fn an_interrupted_command_ends_with_130() {
    let folder = workplace();
    let mut child = camlens(folder.path())
        .args(["predict", "cat.png", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Its first result shows that it has begun; then it waits for standard input.
    let mut first = [0; 1];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first).unwrap();
    let killed = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn an_installation_works_from_any_folder() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path().join("pre fix");
    let tool = |more: &[&str]| {
        let status = std::process::Command::new("python3")
            .arg(repository("tools"))
            .args(["install", "--prefix", prefix.to_str().unwrap()])
            .args(["--binary", env!("CARGO_BIN_EXE_camlens")])
            .args(more)
            .stdout(Stdio::null())
            .status();
        assert!(status.unwrap().success());
    };
    tool(&[]);
    std::fs::create_dir(folder.path().join("elsewhere")).unwrap();
    let image = repository("tests/golden/images/chelsea.png");
    let output = std::process::Command::new(prefix.join("bin/camlens"))
        .args(["predict", image.to_str().unwrap(), "--top-k", "1"])
        .env_clear()
        .current_dir(folder.path().join("elsewhere"))
        .output()
        .unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).expect("a prediction");
    assert_eq!(found["predictions"][0]["label"], "Egyptian cat");
    tool(&["--remove"]);
    assert!(!prefix.join("bin/camlens").exists() && !prefix.join("share/camlens").exists());
}

/// The name of a file that is being written.
fn part_in(folder: &Path) -> Option<std::path::PathBuf> {
    let mut entries = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    entries.find(|path| path.extension().is_some_and(|extension| extension == "part"))
}

fn signal(child: &std::process::Child, signal: &str) {
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args([signal, &id]).status().unwrap().success());
}

/// Arrays of 64 megabytes take a moment to be written.
#[test]
fn a_command_that_is_interrupted_leaves_no_part_of_a_file() {
    let folder = workplace();
    let (path, out) = (folder.path(), folder.path().join("out"));
    std::fs::create_dir(&out).unwrap();
    image::RgbImage::from_pixel(4000, 4000, image::Rgb([9, 99, 200]))
        .save(path.join("large.png"))
        .unwrap();
    let mut caught = 0;
    for (name, round) in ["-INT", "-TERM"].into_iter().cycle().zip(0..20) {
        let mut child = camlens(path)
            .args(["explain", "large.png", "--size", "image", "-o", "out/large.npy", "--quiet"])
            .spawn()
            .unwrap();
        while child.try_wait().unwrap().is_none() && part_in(&out).is_none() {
            std::thread::yield_now();
        }
        if child.try_wait().unwrap().is_none() {
            signal(&child, "-STOP");
            caught += usize::from(part_in(&out).is_some());
            signal(&child, name);
            signal(&child, "-CONT");
        }
        let status = child.wait().unwrap();
        assert_eq!(part_in(&out), None, "{name}, round {round}: {status}");
        if name == "-INT" && caught > 0 {
            assert!(matches!(status.code(), Some(130 | 0)), "{status}");
        }
        if caught == 4 {
            return;
        }
    }
    assert!(caught > 0, "no run was interrupted while it wrote");
}

#[test]
fn a_result_goes_through_a_symbolic_link() {
    let folder = workplace();
    let (link, target) = (folder.path().join("map.png"), folder.path().join("kept/target.png"));
    std::fs::create_dir(folder.path().join("kept")).unwrap();
    std::os::unix::fs::symlink("kept/target.png", &link).unwrap();
    let output = run(folder.path(), &["explain", "cat.png", "-o", "map.png", "--quiet"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(link.is_symlink());
    assert!(std::fs::read(target).unwrap().starts_with(b"\x89PNG"));
}
