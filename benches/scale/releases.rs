//! A store with one release of every image: real manifests, checksums and signatures, small
//! files where an image would be.
//!
//! [`bootwright::release::Store::publish`] would write the index anew for each of 10,000
//! releases; here it is written once. The releases are what that function leaves, file by file.
//! The tests of what is remembered between rounds use it, too.

use bootwright::catalog::lock_text;
use bootwright::model::catalog::Catalog;
use bootwright::model::digest::canonical_json;
use bootwright::model::failure::IoContext;
use bootwright::model::name::Version;
use bootwright::model::recipe::ResolvedRecipe;
use bootwright::model::release::{
    FileRole, Index, IndexedImage, IndexedRelease, Manifest, RELEASE_FORMAT, ReleaseFile, System,
};
use bootwright::model::{ArtifactKind, Digest, Failure, Result};
use bootwright::release::{Signer, dsse, sums};
use bootwright::resolve;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What the index's envelope says it holds.
const INDEX: &str = "application/vnd.bootwright.index+json";

/// Publishes one release of every image into a new store, signed with each of the keys.
pub fn publish_all(catalog: &Catalog, store: &Path, keys: &[PathBuf]) -> Result<()> {
    let signers = keys.iter().map(|key| Signer::load(key, None)).collect::<Result<Vec<_>>>()?;
    let published: DateTime<Utc> =
        "2026-11-20T04:00:00Z".parse().map_err(|e| Failure::bug(format!("{e}")))?;
    let mut index = Index { serial: 1, updated: published, ..Index::default() };
    for (name, document) in &catalog.images {
        let lock = document.lock.clone().ok_or_else(|| Failure::bug("a synthetic spec has no lock"))?;
        let resolved = resolve::resolve(document, lock, &catalog.settings)?;
        let recipe = resolved.recipe.digest();
        let version = Version::of(published, &recipe);
        let folder = store.join(name.as_str()).join(version.as_str());
        let manifest = release(&folder, &resolved, recipe, &version, published, &signers)?;
        let release = IndexedRelease { version: version.clone(), recipe, manifest, published };
        let channels = BTreeMap::from([(document.spec.spec.channel.clone(), version)]);
        index.images.insert(name.clone(), IndexedImage { channels, releases: vec![release] });
    }
    let payload = serde_json::to_vec_pretty(&index).map_err(|e| Failure::bug(e.to_string()))?;
    let signers: Vec<&Signer> = signers.iter().collect();
    write(&store.join("index.dsse.json"), &dsse::seal(INDEX, &payload, &signers)?)
}

fn write(path: &Path, text: &str) -> Result<()> {
    let folder = bootwright::effects::files::parent(path);
    std::fs::create_dir_all(folder).during(|| format!("making {}", folder.display()))?;
    std::fs::write(path, text).during(|| format!("writing {}", path.display()))
}

/// Writes one release and gives its manifest's digest.
fn release(
    folder: &Path,
    resolved: &ResolvedRecipe,
    recipe: Digest,
    version: &Version,
    published: DateTime<Utc>,
    signers: &[Signer],
) -> Result<Digest> {
    std::fs::create_dir_all(folder.join("evidence")).during(|| format!("making {}", folder.display()))?;
    let image = &resolved.recipe.image;
    let iso = format!("{image}-{version}-x86_64.iso");
    let mut files = Vec::new();
    let mut put = |name: String, role: FileRole, bytes: Vec<u8>| -> Result<()> {
        let path = folder.join(&name);
        std::fs::write(&path, &bytes).during(|| format!("writing {}", path.display()))?;
        files.push(ReleaseFile { name, role, size: bytes.len() as u64, sha256: Digest::of(&bytes) });
        Ok(())
    };
    let small = |what: &str| format!("{what} of {image} {version}\n").into_bytes();
    put(iso.clone(), FileRole::Artifact(ArtifactKind::Iso), small("iso"))?;
    put(format!("{iso}.bmap"), FileRole::BlockMap, small("block map"))?;
    put(
        format!("{image}-{version}-x86_64.oci.tar"),
        FileRole::Artifact(ArtifactKind::OciArchive),
        small("OCI image"),
    )?;
    put("sbom.spdx.json".to_owned(), FileRole::Sbom, small("SBOM"))?;
    put("provenance.json".to_owned(), FileRole::Provenance, small("provenance"))?;
    put("CHANGELOG.md".to_owned(), FileRole::Changelog, small("changelog"))?;
    put("recipe.json".to_owned(), FileRole::Recipe, canonical_json(&resolved.recipe))?;
    put("lock.yaml".to_owned(), FileRole::Lock, lock_text(&resolved.lock).into_bytes())?;
    for boot in ["bios", "uefi"] {
        put(format!("evidence/boot-{boot}.log"), FileRole::Evidence, small(boot))?;
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let manifest = Manifest {
        format: RELEASE_FORMAT,
        image: image.clone(),
        version: version.clone(),
        description: None,
        system: System::Image {
            base: resolved.recipe.base,
            suite: resolved.recipe.suite.to_string(),
            architecture: resolved.recipe.architecture,
        },
        recipe,
        lock: resolved.recipe.lock,
        commit: None,
        published,
        previous: None,
        registry: None,
        files,
        layers: Vec::new(),
        verification: Vec::new(),
        not_reproducible: Vec::new(),
        package_count: resolved.lock.packages.len(),
        tool: bootwright::release::TOOL.to_owned(),
    };
    let bytes = serde_json::to_string_pretty(&manifest).map_err(|e| Failure::bug(e.to_string()))?;
    let digest = Digest::of(&bytes);
    let mut listed: BTreeMap<String, Digest> =
        manifest.files.iter().map(|f| (f.name.clone(), f.sha256)).collect();
    listed.insert("manifest.json".to_owned(), digest);
    for (name, text) in [("manifest.json", bytes), (sums::FILE_NAME, sums::write(&listed)?)] {
        for (at, signer) in signers.iter().enumerate() {
            let tag = if at == 0 { String::new() } else { format!(".{}", signer.public().tag()) };
            write(&folder.join(format!("{name}{tag}.sig")), &signer.sign(text.as_bytes())?)?;
        }
        write(&folder.join(name), &text)?;
    }
    write(&folder.join("index.html"), "<!doctype html><title>release</title>\n")?;
    Ok(digest)
}
