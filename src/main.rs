//! The command `camlens`: the command line of [`camlens::cli`], with the service of
//! [`camlens::http`].

fn main() -> std::process::ExitCode {
    camlens::cli::run(camlens::http::serve)
}
