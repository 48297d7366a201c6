//! The files of a new catalog and the text of a new spec: what `init` and `new` write.

use super::schema::{Kind, schema_text};
use crate::model::name::{ChannelName, ImageName, ProfileName, SuiteName};
use crate::model::profile::SecurityLevel;
use crate::model::settings::Mirror;
use crate::model::spec::Base;
use crate::tables;
use std::fmt::Write as _;

/// The files of a catalog that works: settings with the given mirrors and signing key, one
/// spec, its schemas, and notes in the other folders.
pub fn init_files(mirrors: &[Mirror], key_path: &str) -> Vec<(String, Vec<u8>)> {
    let text = |path: &str, text: String| (path.to_owned(), text.into_bytes());
    let first = first_spec();
    vec![
        text("bootwright.yaml", settings_text(mirrors, Some(key_path))),
        text("specs/hello.yaml", first),
        text(Kind::OsImage.schema_path(), schema_text(Kind::OsImage)),
        text(Kind::Settings.schema_path(), schema_text(Kind::Settings)),
        text(Kind::Profile.schema_path(), schema_text(Kind::Profile)),
        text(Kind::Policy.schema_path(), schema_text(Kind::Policy)),
        text(Kind::DeviceProfile.schema_path(), schema_text(Kind::DeviceProfile)),
        text(Kind::CardWriter.schema_path(), schema_text(Kind::CardWriter)),
        text(Kind::FlashOrder.schema_path(), schema_text(Kind::FlashOrder)),
        text("profiles/README.md", NOTE_PROFILES.to_owned()),
        text("policies/README.md", NOTE_POLICIES.to_owned()),
        text("runners/README.md", NOTE_RUNNERS.to_owned()),
        text(".gitignore", ".bootwright/\nreleases/\n*.key\n".to_owned()),
    ]
}

const NOTE_PROFILES: &str = "# Profiles\n\nParts of images stand here, one document of kind `Profile` in each `NAME.yaml`; a spec takes\none in with `include: [profiles/NAME.yaml]`. One that no image includes is an error.\n";
const NOTE_POLICIES: &str = "# Policies\n\nRules for specs, locks, image content and releases stand here, one document of kind\n`Policy` in each `NAME.yaml`. They can only make things stricter, and one that cannot be\nread makes `check`, `plan` and `reconcile` refuse.\n";
const NOTE_RUNNERS: &str = "# Runners\n\nHosts with card readers stand here, documents of kind `CardWriter`, and what shall be on the\ncards in them, documents of kind `FlashOrder`; one or several in each `NAME.yaml`. Builds run\non the host that reconciles: documents of kind `Runner` are not there yet.\n";

fn first_spec() -> String {
    // Both names are constants of this file.
    match ("hello".parse(), "bookworm".parse(), "edge".parse()) {
        (Ok(name), Ok(suite), Ok(channel)) => {
            new_spec(&name, Base::DEBIAN, &suite, &channel, &Parts::default())
        }
        _ => String::new(),
    }
}

/// What a new spec starts from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// The profiles that it includes.
    pub profiles: Vec<ProfileName>,
    /// Its security level; a firewall of its own when absent.
    pub security: Option<SecurityLevel>,
}

/// The text of a new spec of a small system, with comments.
pub fn new_spec(
    name: &ImageName,
    base: Base,
    suite: &SuiteName,
    channel: &ChannelName,
    parts: &Parts,
) -> String {
    let starts = tables::support(base).is_some_and(|support| support.iso.is_there());
    let outputs = if starts { "[iso, oci]        # iso, oci, rootfs" } else { "[rootfs, oci]" };
    let proof = if starts { PROOF } else { "" };
    let channel = quoted(channel.as_str());
    let paths: Vec<String> = parts.profiles.iter().map(|name| format!("profiles/{name}.yaml")).collect();
    let include = if paths.is_empty() { String::new() } else { format!("include: [{}]\n", paths.join(", ")) };
    let security = match parts.security {
        Some(level) => format!("  securityLevel: {}\n", level.as_str()),
        None => "  securityFeatures:\n    firewall: {backend: nftables, policy: deny}\n".to_owned(),
    };
    format!(
        "# yaml-language-server: $schema=schema/os-image.json
apiVersion: bootwright/v1
kind: OsImage
{include}metadata:
  name: {name}
  description: A small {title} system
spec:
  base: {base}
  suite: {suite}
  architecture: x86_64
  outputs: {outputs}
  channel: {channel}
  # schedule: \"0 3 * * 1\"    # look for upstream changes then: minute, hour, day, month, weekday
  packages:                  # each category becomes one layer
    utils: [nano]
  # defaults:
  #   locale: en_US.UTF-8
  #   timezone: Europe/Berlin
  #   users:
  #     - name: admin
  #       sudo: true
  #       sshKeys: [\"ssh-ed25519 AAAA… you@example.org\"]
{security}{proof}",
        title = base.title(),
        base = base.as_str(),
        name = quoted(name.as_str()),
        suite = quoted(suite.as_str()),
    )
}

/// What an image that starts has to show.
const PROOF: &str = "  verify:                    # what the image has to show before anything trusts it
    boot: [bios, uefi]
    dwellSeconds: 5
    units: [nftables.service]
  limits: {isoSize: 2GiB}
";

/// The text of `bootwright.yaml` with comments. Paths are those that the defaults use.
pub fn settings_text(mirrors: &[Mirror], key_path: Option<&str>) -> String {
    let mut text = String::from(
        "# yaml-language-server: $schema=specs/schema/settings.json
# Settings of this catalog. Every field has a default; paths are relative to the folder
# that bootwright is run on.
apiVersion: bootwright/v1
kind: Settings

store:
  path: releases             # where releases are published
  # url: https://images.example.org
cache:
  path: .bootwright          # packages, layers, state; may be deleted at any time

",
    );
    if let Some(key) = key_path {
        let _ = writeln!(text, "# Releases are signed with this key; it never belongs into git.");
        let _ = writeln!(text, "signing:\n  key: {}\n", quoted(key));
    }
    let _ =
        writeln!(text, "# Where packages come from, and the keyrings that their indexes are checked with.");
    if mirrors.is_empty() {
        let _ = writeln!(text, "mirrors: []");
    } else {
        let _ = writeln!(text, "mirrors:");
    }
    for mirror in mirrors {
        let list = |items: &[String]| items.iter().map(|i| quoted(i)).collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "  - base: {}", mirror.base.as_str());
        let _ = writeln!(text, "    urls: [{}]", list(&mirror.urls));
        let _ = writeln!(text, "    suites: [{}]", list(&mirror.suites));
        let _ = writeln!(text, "    components: [{}]", list(&mirror.components));
        let _ = writeln!(text, "    keyring: {}", quoted(&mirror.keyring));
    }
    let _ = write!(
        text,
        "
build:
  compression: balanced      # fast, balanced, small
  minFreeSpace: 4GiB

# channels: [edge, stable]   # the channels that specs may use; any when absent
"
    );
    text
}

/// A text as YAML: JSON strings are YAML, and nothing in them can end them early.
pub(crate) fn quoted(text: &str) -> String {
    let plain = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'/')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b))
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "null" | "yes" | "no" | "on" | "off"
        );
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::files::{FileKind, is_read};
    use crate::catalog::{Files, check, diagnostic};
    use crate::model::catalog::CatalogSource;
    use crate::model::spec::Base;

    fn mirrors() -> Vec<Mirror> {
        vec![Mirror {
            base: Base::DEBIAN,
            urls: vec!["http://deb.example.org/debian".to_owned()],
            suites: vec!["{suite}".to_owned(), "{suite}-updates".to_owned()],
            components: vec!["main".to_owned()],
            keyring: "/usr/share/keyrings/x.gpg".to_owned(),
            unsigned_indexes: false,
        }]
    }

    fn load(files: &[(String, Vec<u8>)]) -> crate::model::catalog::Catalog {
        let mut all = Files::new(CatalogSource { location: "test".to_owned(), commit: None });
        for (path, bytes) in files.iter().filter(|(path, _)| is_read(path)) {
            all.add(path, FileKind::Regular, bytes.clone()).unwrap();
        }
        let (catalog, found) = check(&all);
        assert!(found.is_empty(), "{}", diagnostic::render(&found, false));
        catalog.unwrap()
    }

    #[test]
    fn a_new_catalog_works() {
        let catalog = load(&init_files(&mirrors(), "keys/a key.key"));
        assert_eq!(catalog.images.len(), 1);
        assert_eq!(catalog.settings.mirrors, mirrors());
        assert_eq!(catalog.settings.signing.key.as_deref(), Some("keys/a key.key"));
        assert!(load(&init_files(&[], "k")).settings.mirrors.is_empty());
    }

    #[test]
    fn a_spec_of_parts() {
        let profile = "apiVersion: bootwright/v1\nkind: Profile\nmetadata: {name: a}\nspec: {paused: true}\n";
        let parts = Parts { profiles: vec!["a".parse().unwrap()], security: Some(SecurityLevel::Minimal) };
        let (name, suite, channel) =
            ("x".parse().unwrap(), "bookworm".parse().unwrap(), "edge".parse().unwrap());
        let text = new_spec(&name, Base::DEBIAN, &suite, &channel, &parts);
        let files = [("specs/x.yaml", text.as_str()), ("profiles/a.yaml", profile)];
        let catalog = load(&files.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())));
        let spec = &catalog.images[&name].spec.spec;
        assert!(spec.paused && spec.security_features.firewall.is_some());
    }

    #[test]
    fn names_that_look_like_something_else() {
        for name in ["on", "no", "true", "null", "1234", "0x1f", "1e3", "007"] {
            let (suite, channel) = ("bookworm".parse().unwrap(), "no".parse().unwrap());
            let text = new_spec(&name.parse().unwrap(), Base::DEBIAN, &suite, &channel, &Parts::default());
            let catalog = load(&[("specs/x.yaml".to_owned(), text.into_bytes())]);
            assert_eq!(catalog.images.keys().next().unwrap().as_str(), name);
        }
    }
}
