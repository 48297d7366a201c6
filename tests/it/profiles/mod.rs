//! Images that are put together: what they include, and their security level.

mod merged;
mod plans;
mod refused;
mod resolved;

use crate::catalog::{SPEC, in_memory};
use bootwright::catalog::{self, Diagnostic, Severity, diagnostic};
use bootwright::model::OsImage;

/// The text of a profile; the lines of its spec are indented by two.
pub fn profile(name: &str, rest: &str) -> String {
    format!("apiVersion: bootwright/v1\nkind: Profile\nmetadata: {{name: {name}}}\n{rest}")
}

/// A spec that includes files, with more lines of its own.
pub fn image(include: &str, spec: &str) -> String {
    format!("include: [{include}]\n{SPEC}{spec}")
}

/// What is wrong with a catalog.
pub fn errors(entries: &[(&str, &str)]) -> Vec<Diagnostic> {
    let (_, found) = catalog::check(&in_memory(entries));
    found.into_iter().filter(|d| d.severity == Severity::Error).collect()
}

/// The one image of a catalog that is in order.
pub fn loaded(entries: &[(&str, &str)]) -> OsImage {
    let (catalog, found) = catalog::check(&in_memory(entries));
    let name = "edge".parse().unwrap();
    match catalog {
        Some(mut catalog) => catalog.images.remove(&name).unwrap().spec,
        None => panic!("{}\n{entries:?}", diagnostic::render(&found, false)),
    }
}
