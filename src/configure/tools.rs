//! Programs that a spec asks for by name: the booted system starts each and has it say its
//! version, which has to be that of the package in the lock.

use super::{Plan, System};
use crate::model::check::Expect;
use crate::model::name::PackageName;
use crate::model::spec::OsSpec;
use crate::tables;
use std::collections::BTreeSet;

/// Names of tables that a spec asks for and that have a program which says its version, each
/// by its category.
pub(super) fn asked(spec: &OsSpec) -> BTreeSet<(String, PackageName)> {
    let mut asked = BTreeSet::new();
    for (category, names) in spec.packages.categories() {
        // The distribution's own names are never looked up.
        let known =
            names.iter().filter(|_| category != "extra").filter_map(|name| tables::row(name.as_str()));
        let answering = known.filter(|row| row.answers().is_some());
        asked.extend(answering.filter_map(|row| Some((category.to_owned(), row.name.parse().ok()?))));
    }
    asked
}

pub(super) fn plan(system: &System<'_>, plan: &mut Plan) {
    for (category, name) in &system.configuration.tools {
        let Some(row) = tables::row(name.as_str()) else { continue };
        let suite = tables::of(system.base).suite(system.suite);
        let offer = row.on(system.base).and_then(|entry| entry.on(suite).offer());
        let (Some(answers), Some(package)) = (row.answers(), offer.and_then(|o| o.packages.first())) else {
            continue;
        };
        let Some(version) = system.packages.get(package.as_str()) else { continue };
        let contains = if answers.version { upstream(version) } else { "" };
        let argv = answers.run.split(' ').map(str::to_owned).collect();
        let field = format!("spec.packages.{category}");
        plan.check(&field, Expect::Output { argv, contains: contains.to_owned() });
    }
}

/// The digits of a version that its program says too: without the distribution's epoch,
/// repackaging and revision.
fn upstream(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_, version)| version);
    let end = version.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(version.len());
    version[..end].trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::upstream;
    use crate::configure::testing::planned_with;
    use crate::model::check::Expect;
    use crate::model::spec::Base;
    use serde_json::json;

    #[test]
    fn programs_say_what_the_lock_says() {
        for (version, said) in [
            ("4:14.2.0-1", "14.2.0"),
            ("20.19.2+dfsg-1", "20.19.2"),
            ("2:1.24~2", "1.24"),
            ("3.5a-3", "3.5"),
            ("14.2.1_p20241221", "14.2.1"),
            ("14.2.1+r134+gab884fffe3fc-1", "14.2.1"),
            ("3.12.10-r1", "3.12.10"),
            ("1.", "1"),
            ("", ""),
        ] {
            assert_eq!(upstream(version), said);
        }
    }

    #[test]
    fn what_is_asked_for_by_name_answers() {
        let fields =
            json!({"packages": {"development": ["golang", "cargo", "no-such-name"], "extra": ["git"]}});
        let locked = [("golang-go", "2:1.24~2"), ("cargo", "1.85.0+dfsg3-1"), ("git", "1:2.47.3-0+deb13u1")];
        let plan = planned_with(Base::DEBIAN, None, &fields, &locked);
        let answers: Vec<_> = plan
            .checks
            .iter()
            .filter(|check| check.field.starts_with("spec.packages."))
            .map(|check| match &check.expect {
                Expect::Output { argv, contains } => {
                    (check.field.as_str(), argv.join(" "), contains.as_str())
                }
                other => panic!("{other:?}"),
            })
            .collect();
        let field = "spec.packages.development";
        assert_eq!(
            answers,
            [
                (field, "/usr/bin/cargo --version".to_owned(), ""),
                (field, "/usr/bin/go version".to_owned(), "1.24")
            ]
        );
        // Not in the lock: there is nothing to ask.
        assert!(planned_with(Base::DEBIAN, None, &fields, &[]).checks.iter().all(|c| c.field != field));
    }
}
