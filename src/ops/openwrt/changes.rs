//! `openwrt changes`: which packages have new names, as a server of the Attended Sysupgrade API says.

use crate::effects::fetch;
use crate::effects::files::read_if_exists;
use crate::model::name_changes::{self, NameChanges};
use crate::model::{Failure, Result};
use crate::ops::Context;
use crate::ops::workspace::runtime;
use serde::Serialize;
use std::time::Duration;

/// No overview is longer, in bytes.
const LONGEST: u64 = 16 << 20;
/// How long a server that says nothing is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where a server has its overview.
const OVERVIEW: &str = "/json/v1/overview.json";

/// Read which packages have new names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangesRequest {
    /// The address of a server, of its `overview.json`, or a file of this host that holds one.
    pub from: String,
}

/// Which packages have new names: what `openwrt.packageChanges` of the settings takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangesReport {
    /// The changes by branch.
    pub package_changes: NameChanges,
}

/// Reads which packages have new names. Nobody signs that: it is for a person to look at.
///
/// # Errors
/// Class *upstream* if it cannot be had or is of another form; *offline* if it is on another host and
/// may not be asked for; class *spec* if there is no such file.
pub fn changes(context: &Context, request: &ChangesRequest) -> Result<ChangesReport> {
    let from = &request.from;
    let bytes = if from.starts_with("http://") || from.starts_with("https://") {
        if context.offline {
            return Err(Failure::offline(format!("{from} cannot be asked without network")));
        }
        let url = match from.ends_with(".json") {
            true => from.clone(),
            false => format!("{}{OVERVIEW}", from.trim_end_matches('/')),
        };
        let client = fetch::client()?;
        runtime()?.block_on(fetch::small(&client, &url, LONGEST, PATIENCE)).map_err(|f| f.on(&url))?
    } else {
        read_if_exists(&context.cwd.join(from), LONGEST)?.ok_or_else(|| {
            Failure::not_found(format!("there is no file {from}"))
                .hint("Give a file, or the address of a server: https://sysupgrade.example.org.")
        })?
    };
    let (package_changes, odd) = name_changes::published(&bytes)?;
    if odd > 0 {
        context.events.warn(format!("{from}: {odd} changes were left out: no package can have their names"));
    }
    Ok(ChangesReport { package_changes })
}
