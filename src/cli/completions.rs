//! Shell completions and man pages, made from the definition of the arguments.

use super::args::Cli;
use crate::model::{Failure, Result};
use clap::{Command, CommandFactory};

/// A completion script for `shell`.
pub fn completions(shell: clap_complete::Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "bootwright", &mut script);
    script
}

/// The man page (roff, section 1) of a command, or the overview when `path` is empty.
///
/// # Errors
/// Class *spec* if there is no such command.
pub fn man_page(path: &[String]) -> Result<Vec<u8>> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut name = command.get_name().to_owned();
    for part in path {
        let sub: Option<&Command> = command.find_subcommand(part);
        let sub = sub.cloned().ok_or_else(|| {
            let known: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
            Failure::not_found(format!("there is no command {:?} in {name}", part))
                .hint(format!("Write one of: {}.", known.join(", ")))
        })?;
        name = format!("{name} {part}");
        command = sub;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .manual("Bootwright")
        .source(concat!("bootwright ", env!("CARGO_PKG_VERSION")))
        .render(&mut page)
        .map_err(|e| Failure::bug(format!("writing a man page: {e}")))?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let page = String::from_utf8(man_page(&[]).unwrap()).unwrap();
        assert!(page.contains(".TH bootwright 1"), "{page}");
        for path in [&["plan"][..], &["release", "verify"]] {
            let path: Vec<String> = path.iter().map(|s| (*s).to_owned()).collect();
            assert!(!man_page(&path).unwrap().is_empty());
        }
        let failure = man_page(&["relase".to_owned()]).unwrap_err();
        assert!(failure.hint.unwrap().contains("release"));
    }
}
