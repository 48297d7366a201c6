//! The bill of materials: SPDX 2.3 in JSON, from the package database of the finished root.
//!
//! Format: SPDX specification 2.3. The same recipe gives the same document: its namespace
//! carries the recipe digest and its date is the recipe's epoch.

use super::purl;
use crate::model::artifact::InstalledPackage;
use crate::model::release::System;
use crate::model::{Digest, Failure, Result};
use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The name of the file.
pub const FILE_NAME: &str = "sbom.spdx.json";
/// "Nobody looked": we do not know licences or download places.
const NO_ASSERTION: &str = "NOASSERTION";
const DOCUMENT_ID: &str = "SPDXRef-DOCUMENT";
const IMAGE_ID: &str = "SPDXRef-Image";

/// What the document is about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The image.
    pub image: &'a str,
    /// The release.
    pub version: &'a str,
    /// What it is made from.
    pub system: &'a System,
    /// The recipe's identity.
    pub recipe: Digest,
    /// `SOURCE_DATE_EPOCH` of the recipe, in seconds.
    pub epoch: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    spdx_version: String,
    data_license: String,
    #[serde(rename = "SPDXID")]
    id: String,
    name: String,
    document_namespace: String,
    creation_info: CreationInfo,
    document_describes: Vec<String>,
    packages: Vec<Package>,
    relationships: Vec<Relationship>,
}

#[derive(Serialize, Deserialize)]
struct CreationInfo {
    created: String,
    creators: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Package {
    name: String,
    #[serde(rename = "SPDXID")]
    id: String,
    version_info: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    primary_package_purpose: Option<String>,
    supplier: String,
    download_location: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    homepage: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source_info: Option<String>,
    files_analyzed: bool,
    license_concluded: String,
    license_declared: String,
    copyright_text: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    checksums: Vec<Checksum>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    external_refs: Vec<ExternalRef>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Checksum {
    algorithm: String,
    checksum_value: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExternalRef {
    reference_category: String,
    reference_type: String,
    reference_locator: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Relationship {
    spdx_element_id: String,
    relationship_type: String,
    related_spdx_element: String,
}

/// Writes the document.
///
/// # Errors
/// Class *bug* if the recipe's epoch is no date.
pub fn write(subject: &Subject<'_>, packages: &[InstalledPackage]) -> Result<String> {
    // By identity: two entries of one identity would make an invalid document.
    let packages: BTreeMap<String, &InstalledPackage> = packages.iter().map(|p| (package_id(p), p)).collect();
    let created = DateTime::from_timestamp(subject.epoch, 0)
        .ok_or_else(|| Failure::bug(format!("the recipe's epoch {} is no date", subject.epoch)))?
        .to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut relationships = vec![relation(DOCUMENT_ID, "DESCRIBES", IMAGE_ID)];
    relationships.extend(packages.keys().map(|id| relation(IMAGE_ID, "CONTAINS", id)));
    let mut listed = vec![image_package(subject)];
    listed.extend(packages.iter().map(|(id, package)| installed_package(subject, id, package)));
    let document = Document {
        spdx_version: "SPDX-2.3".to_owned(),
        data_license: "CC0-1.0".to_owned(),
        id: DOCUMENT_ID.to_owned(),
        name: format!("{}-{}", subject.image, subject.version),
        document_namespace: format!(
            "urn:bootwright:sbom:{}:{}:{}",
            subject.image,
            subject.version,
            subject.recipe.hex()
        ),
        creation_info: CreationInfo {
            created,
            creators: vec![format!("Tool: {}", super::TOOL.replace(' ', "-"))],
        },
        document_describes: vec![IMAGE_ID.to_owned()],
        packages: listed,
        relationships,
    };
    let mut text = serde_json::to_string_pretty(&document)
        .map_err(|e| Failure::bug(format!("writing {FILE_NAME}: {e}")))?;
    text.push('\n');
    Ok(text)
}

fn relation(from: &str, kind: &str, to: &str) -> Relationship {
    Relationship {
        spdx_element_id: from.to_owned(),
        relationship_type: kind.to_owned(),
        related_spdx_element: to.to_owned(),
    }
}

fn image_package(subject: &Subject<'_>) -> Package {
    Package {
        name: subject.image.to_owned(),
        id: IMAGE_ID.to_owned(),
        version_info: subject.version.to_owned(),
        primary_package_purpose: Some("OPERATING-SYSTEM".to_owned()),
        supplier: NO_ASSERTION.to_owned(),
        download_location: NO_ASSERTION.to_owned(),
        homepage: None,
        source_info: Some(subject.system.words()),
        files_analyzed: false,
        license_concluded: NO_ASSERTION.to_owned(),
        license_declared: NO_ASSERTION.to_owned(),
        copyright_text: NO_ASSERTION.to_owned(),
        checksums: Vec::new(),
        external_refs: Vec::new(),
    }
}

fn installed_package(subject: &Subject<'_>, id: &str, package: &InstalledPackage) -> Package {
    let locator = purl::of_package(subject.system, &package.name, &package.version, &package.architecture);
    Package {
        name: package.name.clone(),
        id: id.to_owned(),
        version_info: package.version.clone(),
        primary_package_purpose: None,
        supplier: package.maintainer.as_deref().map_or_else(|| NO_ASSERTION.to_owned(), supplier),
        download_location: NO_ASSERTION.to_owned(),
        homepage: package.homepage.as_deref().and_then(homepage),
        source_info: package.source.as_ref().map(|source| format!("built from source package {source}")),
        files_analyzed: false,
        license_concluded: NO_ASSERTION.to_owned(),
        license_declared: NO_ASSERTION.to_owned(),
        copyright_text: NO_ASSERTION.to_owned(),
        checksums: package
            .sha256
            .iter()
            .map(|d| Checksum { algorithm: "SHA256".to_owned(), checksum_value: d.hex() })
            .collect(),
        external_refs: vec![ExternalRef {
            reference_category: "PACKAGE-MANAGER".to_owned(),
            reference_type: "purl".to_owned(),
            reference_locator: locator,
        }],
    }
}

/// `SPDXRef-Package-NAME-VERSION-ARCH`; an identifier has letters, digits, `.` and `-` only.
fn package_id(package: &InstalledPackage) -> String {
    let mut id = String::from("SPDXRef-Package");
    for part in [&package.name, &package.version, &package.architecture] {
        id.push('-');
        for byte in part.bytes() {
            if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.' {
                id.push(char::from(byte));
            } else {
                id.push_str(&format!(".x{}.", hex::encode_upper([byte])));
            }
        }
    }
    id
}

/// `Name <mail>` of a package database as SPDX wants it: `Organization: Name (mail)`. Who
/// stands there may be a person or a team; SPDX has no word for "either".
fn supplier(maintainer: &str) -> String {
    let clean = |text: &str| text.replace(['(', ')', '<', '>', '\n', '\r'], " ").trim().to_owned();
    match maintainer.split_once('<') {
        Some((name, rest)) => {
            let mail = clean(rest.split('>').next().unwrap_or_default());
            let name = clean(name);
            if name.is_empty() {
                format!("Organization: {mail}")
            } else {
                format!("Organization: {name} ({mail})")
            }
        }
        None if clean(maintainer).is_empty() => NO_ASSERTION.to_owned(),
        None => format!("Organization: {}", clean(maintainer)),
    }
}

fn homepage(url: &str) -> Option<String> {
    let parsed = reqwest::Url::parse(url).ok()?;
    (matches!(parsed.scheme(), "http" | "https") && parsed.has_host()).then(|| parsed.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn package(name: &str, version: &str) -> InstalledPackage {
        InstalledPackage {
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: "amd64".to_owned(),
            source: None,
            maintainer: Some("Some Team <team@example.org>".to_owned()),
            homepage: Some("https://example.org/x".to_owned()),
            sha256: Some(Digest::of(name)),
        }
    }

    fn subject() -> Subject<'static> {
        Subject {
            image: "demo",
            version: "20231114-ba7816bf",
            system: Box::leak(Box::new(crate::release::purl::debian())),
            recipe: Digest::of("recipe"),
            epoch: 1_700_000_000,
        }
    }

    #[test]
    fn the_same_packages_in_any_order_give_the_same_document() {
        let (a, b) = (package("bash", "5.2.15-2+b7"), package("libstdc++6", "12.2.0-14"));
        let one = write(&subject(), &[a.clone(), b.clone()]).unwrap();
        assert_eq!(one, write(&subject(), &[b.clone(), a.clone(), a]).unwrap());
        let document: Document = serde_json::from_str(&one).unwrap();
        assert_eq!(document.packages.len(), 3);
        assert_eq!(document.relationships.len(), 3);
        assert_eq!(document.creation_info.created, "2023-11-14T22:13:20Z");
        assert_eq!(document.packages[1].supplier, "Organization: Some Team (team@example.org)");
        assert!(document.packages.iter().all(|p| {
            p.id["SPDXRef-".len()..].bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
        }));
    }

    #[test]
    fn hostile_fields_cannot_break_the_document() {
        let mut hostile = package("a", "1");
        hostile.maintainer = Some("x (y) <a<b>\n".to_owned());
        hostile.homepage = Some("javascript:alert(1)".to_owned());
        let text = write(&subject(), &[hostile]).unwrap();
        let document: Document = serde_json::from_str(&text).unwrap();
        assert!(document.packages[1].homepage.is_none());
        assert_eq!(document.packages[1].supplier, "Organization: x  y (a b)");
    }
}
