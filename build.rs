//! Lists the folders of `src/tables/distributions`, so that a distribution is added by adding one.

// Cargo tells build scripts by the environment alone.
#![allow(clippy::disallowed_methods)]

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    let root = env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?;
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    let folder = Path::new(&root).join("src/tables/distributions");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder)? {
        names.push(entry?.file_name().into_string().map_err(|n| io::Error::other(format!("{n:?}")))?);
    }
    names.sort();
    let mut text = format!("const NAMES: &[&str] = &{names:?};\nconst TEXTS: &[Texts] = &[\n");
    for name in &names {
        // The same text in every checkout: a build that is copied elsewhere reads its own tables.
        let file = |file: &str| {
            let path = format!("/src/tables/distributions/{name}/{file}");
            format!("include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {path:?}))")
        };
        let (about, system, seen) = (file("about.yaml"), file("system.yaml"), file("seen.yaml"));
        let _ = writeln!(text, "    Texts {{ about: {about}, system: {system}, seen: {seen} }},");
    }
    text.push_str("];\n");
    fs::write(Path::new(&out).join("distributions.rs"), text)
}
