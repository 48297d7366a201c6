//! Device profiles as text: written anew, and changed without losing what else is in the file.

use super::files::{FileKind, Files};
use super::load::{load, text_of};
use super::scaffold::quoted;
use super::schema::Kind;
use super::{diagnostic, yaml};
use crate::model::device::{DeviceName, DeviceProfile};
use crate::model::{Failure, Result};
use std::fmt::{Display, Write as _};

/// A device profile as the text of a file of its own.
pub fn device_text(profile: &DeviceProfile) -> String {
    let schema = Kind::DeviceProfile.schema_path().trim_start_matches("specs/");
    format!("# yaml-language-server: $schema={schema}\n{}", document_text(profile))
}

/// A device profile as one document, without the line for editors.
fn document_text(profile: &DeviceProfile) -> String {
    let (metadata, spec) = (&profile.metadata, &profile.spec);
    let mut text = format!(
        "apiVersion: bootwright/v1\nkind: DeviceProfile\nmetadata:\n  name: {}\n",
        quoted(metadata.name.as_str())
    );
    let mut line = |indent: usize, name: &str, value: String| {
        let _ = writeln!(text, "{:indent$}{name}: {value}", "");
    };
    for (name, value) in [("description", &metadata.description), ("deprecated", &metadata.deprecated)] {
        if let Some(value) = value {
            line(2, name, quoted(value));
        }
    }
    if !metadata.tags.is_empty() {
        line(2, "tags", list(&metadata.tags));
    }
    line(0, "spec", String::new());
    line(2, "release", quoted(&spec.release.to_string()));
    line(2, "target", quoted(spec.target.as_str()));
    line(2, "subtarget", quoted(spec.subtarget.as_str()));
    line(2, "profile", quoted(spec.profile.as_str()));
    if !spec.packages.is_empty() {
        line(2, "packages", String::new());
        for (name, packages) in [("add", &spec.packages.add), ("remove", &spec.packages.remove)] {
            if !packages.is_empty() {
                line(4, name, list(packages));
            }
        }
    }
    if let Some(script) = &spec.first_boot_script {
        line(2, "firstBootScript", quoted(script.as_str()));
    }
    if let Some(size) = spec.rootfs_size {
        line(2, "rootfsSize", quoted(&String::from(size)));
    }
    if !spec.disabled_services.is_empty() {
        line(2, "disabledServices", list(&spec.disabled_services));
    }
    if !spec.repositories.is_empty() {
        line(2, "repositories", String::new());
        for feed in &spec.repositories {
            line(4, "- name", quoted(feed.name.as_str()));
            line(6, "url", quoted(feed.url.as_str()));
            line(6, "key", quoted(feed.key.as_str()));
        }
    }
    if let Some(board) = &spec.board {
        line(2, "board", quoted(board.as_str()));
    }
    if spec.channel.as_str() != "edge" {
        line(2, "channel", quoted(spec.channel.as_str()));
    }
    if let Some(schedule) = &spec.schedule {
        line(2, "schedule", quoted(schedule));
    }
    if let Some(zone) = &spec.schedule_time_zone {
        line(2, "scheduleTimeZone", quoted(zone));
    }
    if let Some(days) = spec.freshness.max_age_days {
        line(2, "freshness", format!("{{maxAgeDays: {days}}}"));
    }
    if spec.paused {
        line(2, "paused", "true".to_owned());
    }
    // A key with nothing behind it has its value in the lines below.
    text.replace(": \n", ":\n")
}

fn list<T: Display>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(|item| quoted(&item.to_string())).collect();
    format!("[{}]", items.join(", "))
}

/// The file of a device profile and its text with the profile marked as deprecated.
/// Everything else in the file stays as it is.
///
/// # Errors
/// Class *spec* if there is no such profile, or if it is written in a form that no line can be
/// put into.
pub fn deprecate(files: &Files, name: &DeviceName, why: &str) -> Result<(String, String)> {
    let (path, text, node) = text_of(files, name)
        .ok_or_else(|| Failure::not_found(format!("the catalog has no device profile {name}")))?;
    let by_hand = || {
        Failure::spec(format!("{path}: the metadata of {name} is written in a form that cannot be added to"))
            .hint(format!("Write `deprecated: {}` into it by hand.", quoted(why)))
    };
    let metadata = node.get("metadata").ok_or_else(by_hand)?;
    let line_of = |mark: yaml::Mark| usize::try_from(mark.line).unwrap_or_default().saturating_sub(1);
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    let new = |indent: usize| format!("{:indent$}deprecated: {}\n", "", quoted(why));
    let indent_of = |mark: yaml::Mark| usize::try_from(mark.column).unwrap_or_default().saturating_sub(1);
    match metadata.entry("deprecated") {
        Some((key, value)) if key.mark.line == value.mark.line && value.mark.line == value.mark.last_line => {
            *lines.get_mut(line_of(key.mark)).ok_or_else(by_hand)? = new(indent_of(key.mark));
        }
        Some(_) => return Err(by_hand()),
        None => {
            let (key, _) = metadata.entry("name").ok_or_else(by_hand)?;
            let at = line_of(key.mark);
            let before = lines.get(at).ok_or_else(by_hand)?;
            if !before.trim_start().starts_with("name") || !before.ends_with('\n') {
                return Err(by_hand());
            }
            lines.insert(at + 1, new(indent_of(key.mark)));
        }
    }
    let changed = lines.concat();
    // Nothing but this may have changed.
    let profile = |text: &str| {
        let mut files = files.clone();
        files.replace(path, FileKind::Regular, text.as_bytes())?;
        let catalog = load(&files).map_err(|found| diagnostic::failure(&found))?;
        let devices = catalog.devices.into_iter();
        Ok(devices.map(|(name, document)| (name, document.profile)).collect::<Vec<_>>())
    };
    let (before, after) = (profile(text)?, profile(&changed).map_err(|_| by_hand())?);
    let wanted = before.into_iter().map(|(other, mut profile)| {
        if other == *name {
            profile.metadata.deprecated = Some(why.to_owned());
        }
        (other, profile)
    });
    if !wanted.eq(after) {
        return Err(by_hand());
    }
    Ok((path.to_owned(), changed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalog::CatalogSource;

    const FULL: &str = "\
# ours
apiVersion: bootwright/v1
kind: DeviceProfile
metadata:
  name: office-router   # in the rack
  tags: [office, \"24\"]
spec:
  release: \"25.12\"
  target: x86
  subtarget: 64
  profile: generic
  packages:
    add: [luci, tmux]
    remove: [ppp]
  firstBootScript: specs/scripts/first.sh
  rootfsSize: 256MiB
  disabledServices: [odhcpd]
  repositories:
    - name: ours
      url: https://packages.example.org/openwrt
      key: specs/keys/ours.pem
  board: pc-engines,apu2
  channel: stable
  schedule: \"0 3 * * 1\"
  scheduleTimeZone: Europe/Berlin
  freshness: {maxAgeDays: 30}
  paused: true
";

    fn files(text: &str) -> Files {
        let mut files = Files::new(CatalogSource { location: "t".to_owned(), commit: None });
        for (path, bytes) in [
            ("specs/a.yaml", text),
            ("specs/scripts/first.sh", "uci commit\n"),
            ("specs/keys/ours.pem", "-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----\n"),
        ] {
            files.add(path, FileKind::Regular, bytes.as_bytes()).unwrap();
        }
        files
    }

    fn profile(text: &str) -> DeviceProfile {
        let catalog = load(&files(text)).unwrap_or_else(|found| panic!("{found:?}"));
        catalog.devices.into_values().next().unwrap().profile
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let full = profile(FULL);
        assert_eq!(full.spec.subtarget.as_str(), "64");
        assert_eq!(full.spec.rootfs_mib(), Some(256));
        assert_eq!(profile(&device_text(&full)), full);
        assert_eq!(device_text(&profile(&device_text(&full))), device_text(&full));
    }

    #[test]
    fn a_profile_is_deprecated_in_its_place() {
        let why = "use \"core-router\": faster";
        let (path, text) = deprecate(&files(FULL), &"office-router".parse().unwrap(), why).unwrap();
        assert_eq!(path, "specs/a.yaml");
        assert_eq!(profile(&text).metadata.deprecated.as_deref(), Some(why));
        let lines = text.lines().filter(|line| !line.contains("deprecated:"));
        assert!(lines.eq(FULL.lines()), "{text}");
        // A second time the reason is replaced.
        let (_, text) = deprecate(&files(&text), &"office-router".parse().unwrap(), "broken").unwrap();
        assert_eq!(text.matches("deprecated: broken").count(), 1);
        let flow = FULL.replace(
            "metadata:\n  name: office-router   # in the rack\n  tags: [office, \"24\"]",
            "metadata: {name: office-router, tags: [office]}",
        );
        let failure = deprecate(&files(&flow), &"office-router".parse().unwrap(), "x").unwrap_err();
        assert!(failure.hint.unwrap().contains("by hand"));
        assert!(deprecate(&files(FULL), &"other".parse().unwrap(), "x").is_err());
    }
}
