//! The command `camlens`: the command line of [`camlens::cli`], with the service of
//! [`camlens::http`].

fn main() -> std::process::ExitCode {
    // SAFETY: no other thread runs yet that could read the environment.
    unsafe { camlens::engine::keep_runtime_silent() };
    camlens::memory::return_freed_memory();
    camlens::cli::run(camlens::http::serve)
}
