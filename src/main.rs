//! The command `camlens`: the command line of [`camlens::cli`], with the service of
//! [`camlens::http`].

fn main() -> std::process::ExitCode {
    camlens::memory::return_freed_memory();
    camlens::cli::run(camlens::http::serve)
}
