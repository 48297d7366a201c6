//! How rules are written down, and what their conditions ask again and again.

use super::Hit;
use crate::model::name::PackageName;
use crate::model::spec::OsImage;

/// Everything that one rule finds.
pub(super) type Hits = Vec<Hit>;

/// A table of rules: name, severity, code, fields, what is wrong, what to do, why, condition.
macro_rules! rules {
    ($($id:literal $severity:ident $code:ident [$($field:literal),+ $(,)?]
        says $message:literal does $suggestion:literal why $why:literal => $when:expr),+ $(,)?) => {
        /// The rules of this file.
        pub(super) const RULES: &[Rule] = &[$(Rule {
            id: $id,
            severity: crate::catalog::diagnostic::Severity::$severity,
            code: crate::model::ErrorCode::$code,
            fields: &[$($field),+],
            when: $when,
            message: $message,
            suggestion: $suggestion,
            why: $why,
        }),+];
    };
}
pub(super) use rules;

/// One hit at a field if something is wrong there.
pub(super) fn here(wrong: bool, field: &str) -> Hits {
    wrong.then(|| Hit::at(field)).into_iter().collect()
}

/// All packages of a spec with their fields.
pub(super) fn packages(image: &OsImage) -> impl Iterator<Item = (String, &PackageName)> {
    image.spec.packages.categories().into_iter().flat_map(|(category, names)| {
        names
            .iter()
            .enumerate()
            .map(move |(index, name)| (format!("spec.packages.{category}[{index}]"), name))
    })
}

/// The first package of a spec with one of some names, and its field.
pub(super) fn package<'i>(image: &'i OsImage, names: &[&str]) -> Option<(String, &'i PackageName)> {
    packages(image).find(|(_, name)| names.contains(&name.as_str()))
}

/// Whether a spec lists a package with one of some names.
pub(super) fn has(image: &OsImage, names: &[&str]) -> bool {
    package(image, names).is_some()
}
