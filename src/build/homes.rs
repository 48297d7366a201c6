//! The layer of dotfiles: files in users' homes, with their owner and modes.

use super::root_files::{self, Entry};
use crate::configure;
use crate::effects::{Cancel, Sandbox};
use crate::model::name::UserName;
use crate::model::recipe::OverlayRecipe;
use crate::model::{Failure, Result};
use std::collections::BTreeSet;

/// So many paths are given to a program at once: its command line is bounded.
const AT_ONCE: usize = 500;

/// Lays `entries`, whose paths are below each home, into the homes of `users`. `read` gives the
/// file or link of an entry at a path.
///
/// # Errors
/// Class *spec* if something is in the way.
pub(super) fn lay(
    sandbox: &Sandbox,
    users: &[UserName],
    entries: &[OverlayRecipe],
    read: impl Fn(&OverlayRecipe, &str) -> Result<Entry>,
    epoch: i64,
    cancel: &Cancel,
) -> Result<()> {
    for user in users {
        let home = format!("home/{user}");
        let files: Result<Vec<Entry>> =
            entries.iter().map(|entry| read(entry, &format!("{home}/{}", entry.path()))).collect();
        root_files::write(sandbox, &files?, epoch, cancel).map_err(|f| {
            f.hint("See that no file of the home stands where a folder of the dotfiles goes.")
        })?;
        let folders: BTreeSet<&str> = entries.iter().flat_map(|entry| folders_of(entry.path())).collect();
        let private: Vec<&str> = folders
            .iter()
            .copied()
            .filter(|folder| configure::is_private_dotfile(&format!("{folder}/")))
            .collect();
        let run = |program: &str, first: &[&str], paths: &[&str]| -> Result<()> {
            for some in paths.chunks(AT_ONCE) {
                let process = sandbox.process(program)?.args(first);
                process.args(some.iter().map(|path| format!("/{home}/{path}"))).check(cancel)?;
            }
            Ok(())
        };
        let owned: Vec<&str> = folders.into_iter().chain(entries.iter().map(OverlayRecipe::path)).collect();
        // The links themselves: what they point to may be anybody's.
        run("/bin/chown", &["-h", &format!("{user}:{user}")], &owned)
            .map_err(|f| Failure::spec(format!("giving dotfiles to {user} failed")).details(f.message))?;
        run("/bin/chmod", &["0700"], &private)?;
    }
    Ok(())
}

/// The folders on the way to a path.
fn folders_of(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_folder_on_the_way() {
        assert_eq!(folders_of(".config/nvim/init.lua").collect::<Vec<_>>(), [".config", ".config/nvim"]);
        assert_eq!(folders_of(".zshrc").count(), 0);
    }
}
