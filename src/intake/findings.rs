//! What the reader of files says to the document that was made of a prompt.

use super::document::{Document, Words};
use super::{Clash, Reading};
use crate::catalog::files::FileKind;
use crate::catalog::{Diagnostic, Files, Severity, check_some};
use crate::model::catalog::CatalogSource;
use crate::model::packaging::PackageSettings;
use crate::model::spec::OsImage;
use crate::model::{ErrorCode, Result};
use crate::resolve;
use serde::Serialize;
use std::collections::BTreeSet;

/// One thing that is wrong with what a prompt asks for, or worth knowing.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The stable code.
    pub code: ErrorCode,
    /// The field, where one is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    /// The words of the prompt that it is about.
    pub words: Vec<Words>,
}

/// Everything that is wrong with a document, by the rules that files are checked with. With
/// `settings`, those of its catalog too.
///
/// # Errors
/// None that a prompt can cause.
pub fn findings(document: &Document, settings: Option<&[u8]>) -> Result<Vec<Finding>> {
    let path = format!("specs/{}.yaml", document.name);
    let mut files = Files::new(CatalogSource { location: "prompt".to_owned(), commit: None });
    files.add(&path, FileKind::Regular, document.text.clone().into_bytes())?;
    if let Some(settings) = settings {
        files.add("bootwright.yaml", FileKind::Regular, settings.to_vec())?;
    }
    let (_, diagnostics) = check_some(&files, &BTreeSet::from([path.as_str()]));
    let of_prompt = diagnostics.iter().filter(|d| d.file == path);
    let mut found: Vec<Finding> = of_prompt.map(|diagnostic| finding(document, diagnostic)).collect();
    if let Ok(image) = serde_json::from_value::<OsImage>(document.value.clone()) {
        for problem in resolve::check(&image, &PackageSettings::default()).1 {
            let severity = if problem.fatal { Severity::Error } else { Severity::Warning };
            let known =
                found.iter().any(|f| f.field.as_deref() == Some(&problem.field) && f.code == problem.code);
            if !known {
                found.push(Finding {
                    severity,
                    code: problem.code,
                    words: words_of(document, &problem.field),
                    field: Some(problem.field),
                    message: problem.message,
                    suggestion: Some(problem.hint),
                });
            }
        }
    }
    Ok(found)
}

fn finding(document: &Document, diagnostic: &Diagnostic) -> Finding {
    Finding {
        severity: diagnostic.severity,
        code: diagnostic.code,
        field: diagnostic.field.clone(),
        message: diagnostic.message.clone(),
        suggestion: diagnostic.hint.clone(),
        words: diagnostic.field.as_deref().map(|field| words_of(document, field)).unwrap_or_default(),
    }
}

/// The words behind a field, or behind what lies below it.
fn words_of(document: &Document, field: &str) -> Vec<Words> {
    let below = |path: &str, branch: &str| {
        path.strip_prefix(branch).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    let related = document.fields.iter().filter(|f| below(&f.path, field) || below(field, &f.path));
    let mut words: Vec<Words> = Vec::new();
    for word in related.flat_map(|field| &field.words) {
        if !words.contains(word) {
            words.push(word.clone());
        }
    }
    words
}

/// What a prompt says against itself.
pub fn clashes(prompt: &str, reading: &Reading) -> Vec<Finding> {
    let finding = |clash: &Clash| Finding {
        severity: Severity::Error,
        code: ErrorCode::Compat,
        field: Some(if clash.path == "name" {
            "metadata.name".to_owned()
        } else {
            format!("spec.{}", clash.path)
        }),
        message: clash.message.clone(),
        suggestion: Some("Say only one of them, or begin the second with “actually”.".to_owned()),
        words: clash.words.iter().map(|span| Words::of(prompt, span)).collect(),
    };
    reading.clashes.iter().map(finding).collect()
}
