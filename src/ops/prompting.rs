//! `prompt`: plain words → a spec, printed or put into a catalog.

use super::workspace::{clones, locate, runtime};
use super::{CatalogRef, Context, Secret};
use crate::catalog::{self, Location, Severity};
use crate::effects::ask::Bounds;
use crate::effects::files::write_atomic;
use crate::intake::{self, Document, Field, Finding, Kind, Reading, Words, model};
use crate::model::failure::IoContext;
use crate::model::{ErrorCode, Failure, ImageName, Result};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::PathBuf;

/// The file of a catalog's settings.
const SETTINGS: &str = "bootwright.yaml";
/// Larger settings are not read for a prompt.
const LONGEST_SETTINGS: u64 = 1 << 20;

/// A language model, as the environment names it.
#[derive(Clone, Debug)]
pub struct LanguageModel {
    /// How it is spoken to.
    pub kind: Kind,
    /// Its address.
    pub url: String,
    /// Its name there.
    pub model: String,
    /// The key, if it wants one.
    pub key: Option<Secret>,
}

/// Who reads a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromptReader {
    /// The language model where one is set up and may be asked, else the keyword table.
    Any,
    /// The keyword table.
    Words,
    /// The language model.
    Model,
}

/// Read a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptRequest {
    /// The catalog whose settings hold, and that `write` puts the spec into.
    pub catalog: CatalogRef,
    /// What somebody wants.
    pub prompt: String,
    /// The image's name; taken from the prompt when absent.
    pub name: Option<ImageName>,
    /// Whether the spec is put into the catalog.
    pub write: bool,
    /// Whether it is put there although it has errors or the file is there already.
    pub force: bool,
    /// Who reads it.
    pub reader: PromptReader,
}

/// What a prompt was made into.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PromptReport {
    /// The image's name.
    pub name: ImageName,
    /// The spec as YAML, the words of each field behind it as a comment.
    pub yaml: String,
    /// The same as a tree.
    pub spec: serde_json::Value,
    /// Each field with the words that it came from.
    pub fields: Vec<Field>,
    /// What was not understood.
    pub not_understood: Vec<NotUnderstood>,
    /// What was asked to stay out.
    pub refused: Vec<Words>,
    /// What is wrong with the spec, or worth knowing: by the rules that files are checked with.
    pub findings: Vec<Finding>,
    /// Spelling that was mended, choices that were made, what a model was not allowed to set.
    pub notes: Vec<String>,
    /// The model that read it, and how many answers it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<AskedModel>,
    /// The file that was written, relative to the catalog.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<String>,
}

/// The model that read a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AskedModel {
    /// Its name.
    pub name: String,
    /// How many answers it took.
    pub tries: u32,
}

/// Words that were not understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NotUnderstood {
    /// The words.
    #[serde(flatten)]
    pub words: Words,
    /// What to say instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

impl PromptReport {
    /// Whether everything was understood and nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.not_understood.is_empty() && self.findings.iter().all(|f| f.severity != Severity::Error)
    }
}

/// Reads a prompt and makes a spec of it.
///
/// # Errors
/// `PARSE_ERROR` for no prompt, one that is too long, or answers that cannot be read; with
/// `write`, for a spec with errors or a file that is there already, unless `force` says so.
pub fn prompt(context: &Context, request: PromptRequest) -> Result<PromptReport> {
    let folder = working_tree(context, &request)?;
    let settings = match &folder {
        Some(folder) => settings(folder)?,
        None => None,
    };
    let settings = settings.as_deref();
    let mut report = match asked(context, request.reader)? {
        Some(model) => by_model(context, &request, model, settings)?,
        None => by_words(&request, settings)?,
    };
    if context.offline && context.model.is_some() && request.reader == PromptReader::Any {
        report.notes.push("no language model was asked: work without network is wanted".to_owned());
    }
    if let Some(folder) = folder.filter(|_| request.write) {
        report.written = Some(write(context, &folder, &report, request.force)?);
    }
    Ok(report)
}

/// The model that is to be asked, if one is.
fn asked(context: &Context, reader: PromptReader) -> Result<Option<&LanguageModel>> {
    match (reader, &context.model) {
        (PromptReader::Words, _) => Ok(None),
        (PromptReader::Any, model) => Ok(model.as_ref().filter(|_| !context.offline)),
        (PromptReader::Model, None) => Err(intake::answer::not_set_up()),
        (PromptReader::Model, Some(_)) if context.offline => {
            Err(Failure::offline("a language model cannot be asked without network")
                .hint("Leave --offline and OFFLINE_ONLY out, or use `--reader words`."))
        }
        (PromptReader::Model, Some(model)) => Ok(Some(model)),
    }
}

fn by_words(request: &PromptRequest, settings: Option<&[u8]>) -> Result<PromptReport> {
    let prompt = &request.prompt;
    let reading: Reading = intake::read(prompt)?;
    let document = intake::document(prompt, &reading, request.name.as_ref())?;
    let mut findings = intake::clashes(prompt, &reading);
    findings.extend(intake::findings(&document, settings)?);
    let not_understood = reading.unread.iter().map(|unread| NotUnderstood {
        words: Words::of(prompt, &unread.span),
        suggestion: unread.hint.clone(),
    });
    let mut report = report(document, findings);
    report.not_understood = not_understood.collect();
    report.refused = reading.refused.iter().map(|span| Words::of(prompt, span)).collect();
    report.notes = reading.notes.iter().map(|note| note.message.clone()).collect();
    Ok(report)
}

fn by_model(
    context: &Context,
    request: &PromptRequest,
    language: &LanguageModel,
    settings: Option<&[u8]>,
) -> Result<PromptReport> {
    let access = model::Access {
        kind: language.kind,
        url: &language.url,
        model: &language.model,
        key: language.key.as_ref().map(Secret::reveal),
        bounds: Bounds::default(),
    };
    let name = request.name.as_ref();
    let asking = model::read(&access, &request.prompt, name, settings, &context.cancel);
    let modelled = runtime()?.block_on(asking)?;
    let mut report = report(modelled.document, modelled.findings);
    report.notes = modelled.dropped;
    report.model = Some(AskedModel { name: language.model.clone(), tries: modelled.tries });
    Ok(report)
}

fn report(document: Document, findings: Vec<Finding>) -> PromptReport {
    PromptReport {
        name: document.name,
        yaml: document.text,
        spec: document.value,
        fields: document.fields,
        not_understood: Vec::new(),
        refused: Vec::new(),
        findings,
        notes: Vec::new(),
        model: None,
        written: None,
    }
}

/// The working tree of the catalog, if there is one; needed only to write.
fn working_tree(context: &Context, request: &PromptRequest) -> Result<Option<PathBuf>> {
    match locate(context, &request.catalog) {
        Ok((Location::WorkTree(folder), _)) => Ok(Some(folder)),
        _ if request.write => Err(Failure::spec("a spec can be added to a working tree only")
            .hint("Clone the catalog and run this in it.")),
        _ => Ok(None),
    }
}

fn settings(folder: &std::path::Path) -> Result<Option<Vec<u8>>> {
    let path = folder.join(SETTINGS);
    let plain =
        std::fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() <= LONGEST_SETTINGS);
    if !plain {
        return Ok(None);
    }
    std::fs::read(&path).map(Some).during(|| format!("reading {}", path.display()))
}

/// Puts the spec into the catalog as a file of its own.
fn write(context: &Context, folder: &std::path::Path, report: &PromptReport, force: bool) -> Result<String> {
    let errors: Vec<&Finding> = report.findings.iter().filter(|f| f.severity == Severity::Error).collect();
    if let Some(first) = errors.first().filter(|_| !force) {
        let mut details = String::new();
        for error in &errors {
            let field = error.field.as_deref().unwrap_or("the document");
            let _ = writeln!(details, "{}: {field}: {}", error.code.as_str(), error.message);
        }
        let message = match errors.len() {
            1 => format!("the spec was not written: {}", first.message),
            n => format!("the spec was not written: {} (and {} more)", first.message, n - 1),
        };
        return Err(Failure::spec(message).code(first.code).details(details).hint(
            "Ask for something else, or write it anyway with --force: `bootwright check` will refuse it.",
        ));
    }
    let path = format!("specs/{}.yaml", report.name);
    let to = folder.join(&path);
    let there = std::fs::symlink_metadata(&to);
    if there.is_ok() && !force {
        return Err(Failure::spec(format!("{path} is there already"))
            .hint("Choose another name, or write over it with --force."));
    }
    if there.is_ok_and(|meta| !meta.is_file()) {
        return Err(
            Failure::spec(format!("{path} is there and is no plain file")).hint("Take it away first.")
        );
    }
    let read = catalog::read(&Location::WorkTree(folder.to_owned()), &clones(context))?;
    let (now, _) = catalog::check(&read);
    let elsewhere = now
        .iter()
        .flat_map(|c| &c.images)
        .find(|(name, document)| **name == report.name && !document.place.starts_with(&format!("{path}:")));
    if let Some((name, document)) = elsewhere {
        return Err(Failure::spec(format!("the catalog has an image {name} already, at {}", document.place))
            .code(ErrorCode::Validation)
            .hint("Choose another name."));
    }
    let specs = folder.join("specs");
    std::fs::create_dir_all(&specs).during(|| format!("making {}", specs.display()))?;
    write_atomic(&to, report.yaml.as_bytes(), 0o644)?;
    Ok(path)
}
