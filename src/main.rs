//! The executable `camlens`, implemented by [`camlens::cli`].

fn main() -> std::process::ExitCode {
    camlens::cli::run()
}
