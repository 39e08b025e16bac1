//! The loader's thread, with models that only fail.

use std::sync::mpsc::channel;

use super::*;
use crate::engine::settings::{Settings, TrialPolicy};

/// A models folder with a folder for each of these ids.
fn folders(ids: &[&str]) -> (tempfile::TempDir, Vec<PathBuf>) {
    let models = tempfile::tempdir().unwrap();
    for id in ids {
        std::fs::create_dir(models.path().join(id)).unwrap();
        std::fs::write(models.path().join(id).join("model.onnx"), b"").unwrap();
    }
    let folders = ids.iter().map(|id| models.path().join(id)).collect();
    (models, folders)
}

/// Starts a loader, and returns what it is told by and what it changes.
fn start(
    folders: (&Path, Vec<PathBuf>),
    open: impl Fn(&Path) -> Result<Model> + Send + 'static,
) -> (Sender<Command>, Arc<Entries>) {
    let (models, folders) = (folders.0.to_owned(), folders.1);
    let settings = Settings { trial: TrialPolicy::Never, ..Settings::default() };
    let (commands, received) = channel();
    let trials = Trials::start(&settings, &commands).unwrap();
    let entries = Arc::new(Entries::of(folders.iter().map(|path| folder_id(path)).collect()));
    let loader = Loader::new(models, Box::new(open), trials, Arc::clone(&entries));
    std::thread::spawn(move || loader.run(&folders, &received));
    (commands, entries)
}

fn reasons(entries: &Entries) -> Vec<(String, String)> {
    let reason = |entry: &Entry| match &entry.status {
        Status::Failed(error) => (entry.id.clone(), failure(error, &entry.id)),
        _ => panic!("{} has not failed", entry.id),
    };
    entries.lock().iter().map(reason).collect()
}

#[test]
fn a_model_whose_loading_panics_fails_alone_and_the_reader_learns_what_to_do() {
    let (models, folders) = folders(&["a-panic", "fine"]);
    let open = |folder: &Path| match folder.ends_with("a-panic") {
        true => std::panic::resume_unwind(Box::new("index out of bounds".to_owned())),
        false => Err(Error::new(Kind::Setup, "no model").at_path(folder)),
    };
    let (commands, entries) = start((models.path(), folders), open);
    entries.wait();
    let bug = "a-panic: camlens has a bug that this model brings to light; please report it, \
               with the model or the line about it in the log";
    let expected = [("a-panic", bug), ("fine", "fine: no model")];
    assert_eq!(reasons(&entries), expected.map(|(id, text)| (id.to_owned(), text.to_owned())));
    let Status::Failed(error) = entries.lock()[0].status.clone() else { panic!("it failed") };
    assert!(format!("{error:?}").ends_with("panic: index out of bounds"), "{error:?}");

    // The thread goes on.
    let (reply, outcome) = channel();
    commands.send(Command::Load("a-panic".to_owned(), reply)).unwrap();
    let refused = outcome.recv().unwrap().unwrap_err();
    assert_eq!(refused.kind(), Kind::ModelFailed);
    assert!(refused.detail().ends_with(bug), "{refused}");
    commands.send(Command::End).unwrap();
}

#[test]
fn a_load_of_what_is_not_there_says_so() {
    let (models, folders) = folders(&["fine"]);
    std::fs::create_dir(models.path().join("empty")).unwrap();
    let open = |folder: &Path| Err(Error::new(Kind::Setup, "no model").at_path(folder));
    let (commands, _) = start((models.path(), folders), open);
    for (id, expected) in [
        ("nope", "the models folder has no folder 'nope'"),
        (
            "empty",
            "the folder 'empty' holds no model: it has neither a model.toml nor exactly one .onnx \
             file",
        ),
    ] {
        let (reply, outcome) = channel();
        commands.send(Command::Load(id.to_owned(), reply)).unwrap();
        let refused = outcome.recv().unwrap().unwrap_err();
        assert_eq!((refused.kind(), refused.detail()), (Kind::UnknownModel, expected));
    }
    commands.send(Command::End).unwrap();
}
