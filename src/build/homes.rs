//! The layer of dotfiles: files in users' homes, with their owner and modes.

use super::root_files::{self, Entry};
use crate::configure;
use crate::effects::{Cancel, Sandbox};
use crate::model::name::UserName;
use crate::model::recipe::OverlayRecipe;
use crate::model::{Failure, Result};

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
    let paths: Vec<&str> = entries.iter().map(OverlayRecipe::path).collect();
    for user in users {
        let home = format!("home/{user}");
        let files: Result<Vec<Entry>> =
            entries.iter().map(|entry| read(entry, &format!("{home}/{}", entry.path()))).collect();
        root_files::write(sandbox, &files?, epoch, cancel).map_err(|f| {
            f.hint("See that no file of the home stands where a folder of the dotfiles goes.")
        })?;
        for program in configure::dotfiles_given(user, &paths) {
            let done = sandbox.process(&program.path)?.args(&program.args).check(cancel);
            done.map_err(|f| Failure::spec(format!("{} failed", program.what)).details(f.message))?;
        }
    }
    Ok(())
}
