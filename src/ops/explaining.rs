//! `explain`: how the values of an image came about.

use super::workspace::{clones, locate};
use super::{CatalogRef, Context};
use crate::catalog::{self, Resolved};
use crate::model::catalog::CatalogSource;
use crate::model::{Digest, Failure, ImageName, Result};
use crate::resolve;
use serde::Serialize;

/// Put an image together and say where each value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainRequest {
    /// The catalog.
    pub catalog: CatalogRef,
    /// The image.
    pub image: ImageName,
    /// Only this field and what is in it: `spec.packages.utils`.
    pub field: Option<String>,
}

/// An image, put together.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainReport {
    /// Where it was read from.
    pub source: CatalogSource,
    /// The image.
    pub image: ImageName,
    /// The digest of its recipe, if the catalog is in order and has a lock for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Digest>,
    /// Its values, and the whole as one document.
    #[serde(flatten)]
    pub resolved: Resolved,
}

/// Says how the values of an image came about; also of one that cannot be built.
///
/// # Errors
/// Class *spec* if there is no such image or field, or its shape is wrong.
pub fn explain(context: &Context, request: ExplainRequest) -> Result<ExplainReport> {
    let (location, _) = locate(context, &request.catalog)?;
    let files = catalog::read(&location, &clones(context))?;
    let mut resolved = catalog::resolved(&files, &request.image)?;
    if let Some(field) = &request.field {
        let inside = |path: &str| {
            path.strip_prefix(field.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        resolved.values.retain(|value| inside(&value.field));
        if resolved.values.is_empty() {
            return Err(Failure::not_found(format!("{} has no value at {field}", request.image))
                .hint("Leave --origin out to see all of its fields."));
        }
    }
    let (mut loaded, _) = catalog::check(&files);
    if let Some(catalog) = &mut loaded {
        super::workspace::gather(context, catalog);
    }
    let recipe = loaded.as_ref().and_then(|catalog| {
        let document = catalog.images.get(&request.image)?;
        let recipe = resolve::resolve(document, document.lock.clone()?, &catalog.settings).ok()?;
        Some(recipe.recipe.digest())
    });
    Ok(ExplainReport { source: files.source.clone(), image: request.image, recipe, resolved })
}
