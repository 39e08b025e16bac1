//! The command line, from outside.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::repository;

/// The command with an empty environment.
pub(crate) fn camlens(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_camlens"));
    command
        .env_clear()
        .current_dir(folder)
        .env("CAMLENS_RUNTIME", repository("runtime/libonnxruntime.so"));
    command
}

/// A folder with `models/tiny` and `cat.png`.
pub(crate) fn workplace() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("models/tiny");
    std::fs::create_dir_all(&model).unwrap();
    std::fs::copy(
        repository("tests/golden/dialects/tinyvgg-torchscript.onnx"),
        model.join("model.onnx"),
    )
    .unwrap();
    std::fs::write(model.join("model.toml"), "file = \"model.onnx\"\n").unwrap();
    std::fs::copy(repository("tests/golden/images/chelsea.png"), folder.path().join("cat.png"))
        .unwrap();
    folder
}

pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Output {
    camlens(folder).args(arguments).output().unwrap()
}

/// Exit code and the one line on standard error.
fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    format!("{}: {}", output.status.code().unwrap(), text.trim_end())
}

#[test]
fn the_file_s_extension_decides_the_form() {
    let folder = workplace();
    let path = folder.path();
    for (name, magic, more) in [
        ("map.png", &b"\x89PNG"[..], &["--method", "gradcam"][..]),
        ("map.npy", b"\x93NUMPY", &["--size", "input"]),
        ("map.json", b"{\"model\":\"tiny\"", &["--top-k", "0", "--emphasize"]),
        ("figure.png", b"\x89PNG", &["--compare", "--max-channels", "4"]),
        ("maps.json", b"{\"model\":\"tiny\"", &["--methods", "gradcam,scorecam"]),
        ("map.dat", b"\x93NUMPY", &["--output", "npy"]),
    ] {
        let output = run(path, &[&["explain", "cat.png", "-o", name], more].concat());
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(std::fs::read(path.join(name)).unwrap().starts_with(magic), "{name}");
        assert!(output.stdout.is_empty());
    }
    let output = run(path, &["explain", "cat.png"]);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["method"], "gradcam++");
    let output = run(path, &["explain", "cat.png", "-o", "-", "--output", "overlay"]);
    assert!(output.stdout.starts_with(b"\x89PNG"));
}

#[test]
fn warnings_follow_the_summary_of_a_written_file_and_stand_in_inspect() {
    let folder = workplace();
    let path = folder.path();
    std::fs::remove_file(path.join("models/tiny/model.toml")).unwrap();
    let output = run(path, &["explain", "cat.png", "-o", "map.png"]);
    let text = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[1].starts_with("warning: model 'tiny' has no model.toml"), "{text}");
    let inspected = String::from_utf8(run(path, &["inspect", "tiny"]).stdout).unwrap();
    assert!(inspected.contains("\nwarning  model 'tiny' has no model.toml"), "{inspected}");
}

#[test]
fn a_written_file_is_summarised_in_one_line() {
    let folder = workplace();
    let summary = |arguments: &[&str]| {
        let more = [&["explain", "cat.png", "--method", "gradcam"], arguments].concat();
        String::from_utf8(run(folder.path(), &more).stderr).unwrap()
    };
    let one = summary(&["-o", "map.png", "--target", "3"]);
    assert!(one.starts_with("map.png: class 3"), "{one}");
    assert!(one.contains(" %) of tiny, layer features.29"), "{one}");
    let two = summary(&["-o", "map.npy", "--target", "3,4"]);
    assert!(two.starts_with("map.npy: classes 3"), "{two}");
    assert!(two.contains(" %), 4"), "{two}");
}

#[test]
fn the_help_lists_every_option_with_its_values_and_default() {
    let folder = workplace();
    let help = run(folder.path(), &["explain", "--help"]);
    let help = String::from_utf8(help.stdout).unwrap();
    let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for line in [
        "--colormap <NAME> The colours of a picture: jet, turbo,",
        "[default: jet; coolwarm for a signed map]",
        "--max-channels <N> Score-CAM: use only",
        "--convention <NAME> Whose formulas to follow where implementations differ: paper, article,",
    ] {
        assert!(words.contains(line), "{line}: {help}");
    }
}

#[test]
fn an_error_is_one_line() {
    let folder = workplace();
    let path = folder.path();
    insta::assert_snapshot!(refused(path, &["explain", "dog.png"]), @"1: camlens: dog.png: No such file or directory (os error 2)");
    insta::assert_snapshot!(refused(path, &["explain", "cat.png", "-o", "map.tif"]), @"2: camlens: map.tif: name it .png, .jpg, .webp, .json or .npy, or add --output");
    insta::assert_snapshot!(refused(path, &["explain", "cat.png", "--method", "gradcan"]), @"2: camlens: option 'method' can't be 'gradcan'; it takes gradcam++, gradcam, scorecam, layercam, hirescam, xgradcam, gradcam-elementwise, eigencam, eigengradcam, random, ablationcam, reciprocam, smoothgradcam++, groupcam");
    insta::assert_snapshot!(refused(path, &["explain", "cat.png", "--model", "vgg61"]), @"1: camlens: models: there is no model 'vgg61'; available models: tiny");
    insta::assert_snapshot!(refused(path, &["explain", "cat.png", "--target", "10"]), @"1: camlens: there is no class 10; the model has classes 0 to 9");
    insta::assert_snapshot!(refused(path, &["explain", "cat.png", "--layer", "conv9"]), @"1: camlens: model 'tiny' has no layer 'conv9'; its last ones are avgpool, features.30, features.29; `camlens inspect tiny` lists all");
    insta::assert_snapshot!(refused(path, &["explain", "models/tiny/model.toml"]), @"1: camlens: models/tiny/model.toml: This is text. PNG, JPEG, WebP, GIF, BMP and TIFF are accepted.");
    insta::assert_snapshot!(refused(path, &["inspect", "nothing"]), @"1: camlens: models: there is no model 'nothing'; available models: tiny");
    insta::assert_snapshot!(refused(path, &["serve", "--models", "nowhere", "--listen", "127.0.0.1:0"]), @"1: camlens: nowhere: can't read the models folder: No such file or directory (os error 2)");
    insta::assert_snapshot!(refused(path, &["serve", "--config", "none.toml"]), @"1: camlens: none.toml: No such file or directory (os error 2)");
    insta::assert_snapshot!(refused(path, &["health", "--url", "http://127.0.0.1:1"]), @"1: camlens: http://127.0.0.1:1: Connection refused (os error 111)");
    let output = camlens(path).arg("serve").env("CAMLENS_QUEUE", "0").output().unwrap();
    insta::assert_snapshot!(String::from_utf8(output.stderr).unwrap(), @"camlens: CAMLENS_QUEUE must be from 1 to 100000, not '0'");
    assert_eq!(run(path, &["explain"]).status.code(), Some(2));
}

/// image-webp 0.2.4 panics where a frame is larger than the animation says.
#[test]
fn a_decoder_s_panic_is_one_line_about_the_file() {
    let folder = workplace();
    let path = folder.path();
    let mut file =
        std::fs::read(repository("tests/golden/decoding/webp/animated-lossy.webp")).unwrap();
    // The start code of the first VP8 frame, its width, and its height, which was 13.
    let frame = file.windows(3).position(|window| window == b"\x9d\x01\x2a").unwrap();
    file[frame + 5..frame + 7].copy_from_slice(&[14, 0]);
    std::fs::write(path.join("cat.webp"), file).unwrap();
    insta::assert_snapshot!(refused(path, &["explain", "cat.webp"]), @"1: camlens: cat.webp: The WebP could not be decoded: the decoder failed on it.");
    let output = camlens(path).args(["explain", "cat.webp"]).env("RUST_BACKTRACE", "1").output();
    assert_eq!(String::from_utf8(output.unwrap().stderr).unwrap().lines().count(), 1);
}

#[test]
fn a_model_is_inspected_by_id_folder_or_file() {
    let folder = workplace();
    let by_id = run(folder.path(), &["inspect", "tiny"]);
    insta::assert_snapshot!(String::from_utf8(by_id.stdout.clone()).unwrap(), @r"
    model    tiny
    input    input: 64 × 64 (height × width), nchw, rgb
    output   output: 10 classes, logits
    batches  masked images run 8 at a time
    kernels  none: ONNX Runtime runs every operator
    labels   0
    default  features.29

    alias        node                                      shape  gradients
    features.1   /features/features.1/Relu           4 × 64 × 64  yes
    features.3   /features/features.3/Relu           4 × 64 × 64  yes
    features.4   /features/features.4/MaxPool        4 × 32 × 32  yes
    features.6   /features/features.6/Relu           6 × 32 × 32  yes
    features.8   /features/features.8/Relu           6 × 32 × 32  yes
    features.9   /features/features.9/MaxPool        6 × 16 × 16  yes
    features.11  /features/features.11/Relu          8 × 16 × 16  yes
    features.13  /features/features.13/Relu          8 × 16 × 16  yes
    features.15  /features/features.15/Relu          8 × 16 × 16  yes
    features.16  /features/features.16/MaxPool         8 × 8 × 8  yes
    features.18  /features/features.18/Relu           10 × 8 × 8  yes
    features.20  /features/features.20/Relu           10 × 8 × 8  yes
    features.22  /features/features.22/Relu           10 × 8 × 8  yes
    features.23  /features/features.23/MaxPool        10 × 4 × 4  yes
    features.25  /features/features.25/Relu           10 × 4 × 4  yes
    features.27  /features/features.27/Relu           10 × 4 × 4  yes
    features.29  /features/features.29/Relu           10 × 4 × 4  yes
    features.30  /features/features.30/MaxPool        10 × 2 × 2  yes
    avgpool      /avgpool/AveragePool                 10 × 2 × 2  yes
    ");
    for name in ["models/tiny", "models/tiny/model.onnx"] {
        assert_eq!(run(folder.path(), &["inspect", name]).stdout, by_id.stdout, "{name}");
    }
    let json = run(folder.path(), &["inspect", "tiny", "--json"]);
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&json.stdout).unwrap()["id"], "tiny");
}

#[test]
fn a_service_prints_its_address_and_stops_on_a_signal() {
    let folder = workplace();
    let mut service = camlens(folder.path())
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env("CAMLENS_LOG_FORMAT", "json")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(service.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let address = first.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
    let try_it = lines.next().unwrap().unwrap();
    assert!(
        try_it.starts_with("Try: curl -fsS -F image=@photo.jpg 'http://127.0.0.1:"),
        "{try_it}"
    );

    let health =
        || run(folder.path(), &["health", "--url", &format!("http://{address}")]).status.success();
    while !health() {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let mut stream = TcpStream::connect(&address).unwrap();
    write!(
        stream,
        "GET /v1/models/none HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-request-id: a-test\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");

    let killed = Command::new("kill").args(["-TERM", &service.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let mut log = String::new();
    service.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(service.wait().unwrap().success());
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let refused = lines.iter().filter(|line| line["span"]["id"] == "a-test").collect::<Vec<_>>();
    assert_eq!(refused.len(), 1, "{log}");
    assert_eq!((&refused[0]["level"], &refused[0]["status"]), (&"INFO".into(), &404.into()));
    assert!(refused[0]["duration_ms"].is_u64() && refused[0]["span"]["path"] == "/v1/models/none");
    assert_eq!(lines.last().unwrap()["message"], "shut down");
}

#[test]
fn no_result_takes_the_place_of_the_model() {
    let folder = workplace();
    let file = "models/tiny/model.onnx";
    let before = std::fs::read(folder.path().join(file)).unwrap();
    for arguments in [
        &["export", "tiny", "-o", file][..],
        &["explain", "cat.png", "--model", file, "--output", "json", "-o", file],
    ] {
        let error = refused(folder.path(), arguments);
        assert!(error.contains("2: ") && error.contains("would replace the model"), "{error}");
        assert_eq!(std::fs::read(folder.path().join(file)).unwrap(), before);
    }
}

#[test]
fn an_exported_file_is_written_where_it_was_asked_for() {
    let folder = workplace();
    let written = run(folder.path(), &["export", "tiny", "--method", "gradcam", "-o", "cam.onnx"]);
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    assert!(String::from_utf8_lossy(&written.stderr).ends_with("cam.onnx\n"));
    let bytes = std::fs::read(folder.path().join("cam.onnx")).unwrap();
    assert!(bytes.windows(7).any(|window| window == b"heatmap"));
    let error = refused(folder.path(), &["export", "tiny", "--method", "groupcam", "-o", "a.onnx"]);
    assert!(error.contains("groupcam can't be exported; gradcam, gradcam++"), "{error}");
    assert!(!folder.path().join("a.onnx").exists());
}
