//! The `bootwright` program: everything is in the library.

fn main() -> std::process::ExitCode {
    bootwright::cli::main(std::env::args_os())
}
