//! What the security levels stand for (requirement 1, section 8.3): documents of kind
//! `Profile`, laid below everything else that an image says.
//!
//! Two fields say where a part counts: `bases`, as in any profile, and `with`, a field of the
//! spec that something above must set: fail2ban guards an SSH server and installs none.

use super::super::yaml::{self, Node, Value};
use crate::model::profile::SecurityLevel;
use std::sync::LazyLock;

/// One part of a security level.
pub struct Preset {
    /// The text of its file.
    pub text: &'static str,
    /// The document.
    pub document: Node,
}

static MINIMAL: LazyLock<Vec<Preset>> = LazyLock::new(|| read(include_str!("levels/minimal.yaml")));
static STANDARD: LazyLock<Vec<Preset>> = LazyLock::new(|| read(include_str!("levels/standard.yaml")));
static HARDENED: LazyLock<Vec<Preset>> = LazyLock::new(|| read(include_str!("levels/hardened.yaml")));

fn read(text: &'static str) -> Vec<Preset> {
    let (documents, _) = yaml::parse(text);
    documents.into_iter().map(|document| Preset { text, document }).collect()
}

/// The parts of a level for a distribution, lowest first, below some parts of a spec: each
/// level has what the one before it has. Parts that are made for others are left out.
pub fn presets(
    level: SecurityLevel,
    base: Option<&str>,
    above: &[Node],
) -> impl Iterator<Item = &'static Preset> {
    let levels = [&*MINIMAL, &*STANDARD, &*HARDENED];
    let count = SecurityLevel::ALL.iter().filter(|known| **known <= level).count();
    let parts = levels.into_iter().take(count).flatten();
    parts.filter(move |preset| is_for(&preset.document, base) && is_with(&preset.document, above))
}

fn is_for(document: &Node, base: Option<&str>) -> bool {
    let Some(Value::List(bases)) = document.get("bases").map(|node| &node.value) else { return true };
    bases.iter().any(|known| base.is_some() && known.text() == base)
}

fn is_with(document: &Node, above: &[Node]) -> bool {
    let Some(field) = document.get("with").and_then(Node::text) else { return true };
    let said = |layer: &&Node| field.split('.').try_fold(*layer, |node, name| node.get(name)).is_some();
    // What the topmost of them says: `ssh: null` takes it away.
    let last = above.iter().rev().find(said);
    let value = last.and_then(|layer| field.split('.').try_fold(layer, |node, name| node.get(name)));
    value.is_some_and(|node| !matches!(node.value, Value::Null))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(level: SecurityLevel, base: &str, spec: &str) -> Vec<String> {
        let (above, faults) = yaml::parse(spec);
        assert!(faults.is_empty());
        let name =
            |p: &Preset| p.document.get("metadata").unwrap().get("name").unwrap().text().unwrap().to_owned();
        presets(level, Some(base), &above).map(name).collect()
    }

    #[test]
    fn a_level_has_what_the_one_before_it_has() {
        use SecurityLevel::{Hardened, Minimal, Standard};
        assert_eq!(names(Minimal, "debian", ""), ["minimal"]);
        assert_eq!(names(Standard, "debian", "a: 1"), ["minimal", "standard"]);
        assert_eq!(names(Hardened, "debian", ""), ["minimal", "standard", "hardened", "hardened-apparmor"]);
        assert_eq!(names(Hardened, "fedora", "")[3..], ["hardened-selinux"]);
        let ssh = "securityFeatures: {ssh: {port: 22}}";
        assert_eq!(names(Standard, "alpine", ssh), ["minimal", "standard", "standard-ssh"]);
        let gone = "securityFeatures: {ssh: {port: 22}}\n---\nsecurityFeatures: {ssh: null}\n";
        assert_eq!(names(Standard, "alpine", gone), ["minimal", "standard"]);
    }

    #[test]
    fn the_files_are_in_order() {
        for text in [
            include_str!("levels/minimal.yaml"),
            include_str!("levels/standard.yaml"),
            include_str!("levels/hardened.yaml"),
        ] {
            let (documents, faults) = yaml::parse(text);
            assert!(faults.is_empty(), "{faults:?}");
            assert!(documents.iter().all(|document| document.get("spec").is_some()));
        }
    }
}
