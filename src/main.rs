//! The command `camlens`; everything it does is in [`camlens::cli`].

fn main() -> std::process::ExitCode {
    camlens::cli::run()
}
