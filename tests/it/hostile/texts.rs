//! Texts of a catalog: bombs, encodings, names.

use super::Cases;
use crate::catalog::SPEC;
use bootwright::catalog::{self, Files, diagnostic, files::FileKind};
use bootwright::model::Result;
use bootwright::model::catalog::CatalogSource;
use std::time::{Duration, Instant};

fn load(entries: &[(&str, &[u8])]) -> Result<()> {
    let mut files = Files::new(CatalogSource { location: "test".to_owned(), commit: None });
    for (path, bytes) in entries {
        files.add(path, FileKind::Regular, bytes.to_vec())?;
    }
    let begun = Instant::now();
    let loaded = catalog::load(&files).map_err(|found| {
        assert!(diagnostic::render(&found, false).len() < 400_000, "more is said than anybody reads");
        diagnostic::failure(&found)
    });
    assert!(begun.elapsed() < Duration::from_secs(20), "it took {:?}", begun.elapsed());
    loaded.map(|_| ())
}

fn bomb(levels: usize) -> String {
    let mut text = "a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]\n".to_owned();
    for n in 1..levels {
        let alias = format!("*a{}, ", n - 1).repeat(10);
        text.push_str(&format!("a{n}: &a{n} [{alias}]\n"));
    }
    text
}

#[test]
fn texts_made_to_break_a_reader() {
    let mut cases = Cases::of("texts");
    load(&[("specs/edge.yaml", SPEC.as_bytes())]).unwrap();
    let wide: String = (0..30_000).map(|n| format!("k{n}: 1\n")).collect();
    let texts: Vec<(&str, Vec<u8>, &str)> = vec![
        ("billion laughs", bomb(12).into_bytes(), "too large"),
        (
            "billion laughs in a spec",
            format!("{SPEC}x:\n  {}", bomb(12).replace('\n', "\n  ")).into_bytes(),
            "",
        ),
        ("an alias of itself", b"a: &x [*x]\n".to_vec(), "inside the very thing"),
        ("an alias of nothing", b"a: *x\n".to_vec(), "not valid YAML"),
        ("deep lists", "[".repeat(100_000).into_bytes(), "nested too deeply|recursion limit"),
        ("deep mappings", "{a: ".repeat(100_000).into_bytes(), "nested too deeply|recursion limit"),
        (
            "deep block",
            (0..3_000).map(|n| format!("{}a:\n", " ".repeat(n))).collect::<String>().into_bytes(),
            "nested too deeply|recursion limit",
        ),
        ("many keys", wide.into_bytes(), "too large"),
        ("a huge key", format!("{SPEC}  {}: 1\n", "k".repeat(1 << 20)).into_bytes(), ""),
        ("a huge value", format!("{SPEC}  channel: {}\n", "v".repeat(1 << 20)).into_bytes(), ""),
        ("a huge name", SPEC.replace("edge", &"e".repeat(1 << 20)).into_bytes(), ""),
        ("many documents", "---\na: 1\n".repeat(20_000).into_bytes(), ""),
        ("many anchors", (0..15_000).map(|n| format!("- &a{n} x\n")).collect::<String>().into_bytes(), ""),
        ("a key twice", format!("{SPEC}  channel: a\n  channel: b\n").into_bytes(), "set twice"),
        ("a key twice, quoted", format!("{SPEC}  channel: a\n  \"channel\": b\n").into_bytes(), "set twice"),
        ("a merge key", format!("{SPEC}  <<: {{channel: a}}\n").into_bytes(), "unknown field"),
        (
            "a tag",
            format!("{SPEC}  channel: !!python/object/apply:os.system [x]\n").into_bytes(),
            "tags are not read",
        ),
        ("a key that is a list", format!("{SPEC}  ? [a]\n  : b\n").into_bytes(), "not a text"),
        ("a NUL byte", format!("{SPEC}  channel: \"a\0b\"\n").into_bytes(), ""),
        ("an escaped NUL byte", format!("{SPEC}  channel: \"a\\0b\"\n").into_bytes(), "not a valid"),
        ("no UTF-8", [SPEC.as_bytes(), b"  channel: \xff\xfe\n"].concat(), "UTF-8"),
        ("half a character", [SPEC.as_bytes(), b"  channel: \xe2\x82"].concat(), "UTF-8"),
        ("UTF-16", SPEC.encode_utf16().flat_map(u16::to_le_bytes).collect(), ""),
        (
            "UTF-16 with its mark",
            [0xff, 0xfe].into_iter().chain(SPEC.encode_utf16().flat_map(u16::to_le_bytes)).collect(),
            "UTF-8",
        ),
        ("a mark in the middle", format!("{SPEC}  \u{feff}channel: a\n").into_bytes(), ""),
        ("tabs", format!("{SPEC}\tchannel: a\n").into_bytes(), "not valid YAML"),
        ("a directive", format!("%YAML 9.9\n---\n{SPEC}  x: 1\n").into_bytes(), ""),
        ("an open quote", format!("{SPEC}  channel: \"a\n").into_bytes(), "not valid YAML"),
        ("nothing", Vec::new(), "no document"),
        ("noise", (0..65_536_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect(), ""),
        ("another kind of a later version", SPEC.replace("OsImage", "Runner").into_bytes(), "not there yet"),
        ("another version", SPEC.replace("v1", "v999").into_bytes(), ""),
    ];
    for (case, text, words) in &texts {
        cases.refused(case, load(&[("specs/edge.yaml", text)]), words);
    }
    for (case, text, _) in &texts {
        cases.refused(
            &format!("{case}, as settings"),
            load(&[("bootwright.yaml", text), ("specs/edge.yaml", SPEC.as_bytes())]).and_then(|()| {
                // What is no mapping at all are no settings; an empty file means the defaults.
                if text.is_empty() { Err(bootwright::model::Failure::spec("empty")) } else { Ok(()) }
            }),
            "",
        );
    }
    for (case, text, _) in texts.iter().filter(|(case, _, _)| !case.starts_with("another")) {
        let entries: [(&str, &[u8]); 2] =
            [("specs/edge.yaml", SPEC.as_bytes()), ("specs/edge.lock.yaml", text)];
        cases.refused(&format!("{case}, as a lock"), load(&entries), "");
    }
    cases.finish(80);
}

#[test]
fn names_with_tricks() {
    let mut cases = Cases::of("names");
    let names = [
        "../x",
        "..",
        "a/b",
        "/etc/passwd",
        "a;b",
        "a|b",
        "a&b",
        "$(x)",
        "${IFS}x",
        "`x`",
        "-rf",
        "--help",
        ".hidden",
        "a b",
        "a\tb",
        "a\nb",
        "a\r\nb",
        "a\0b",
        "a\u{7}b",
        "a\u{1b}[31mb",
        "a\u{202e}b",
        "a\u{200b}b",
        "\u{430}dmin",
        "\u{ff45}dge",
        "e\u{301}dge",
        "a'b",
        "a\"b",
        "a\\b",
        "a%2e%2e%2fb",
        "a*b",
        "~root",
        "a=b",
        "a,b",
        "a{b}",
        "",
    ];
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    let long = "a".repeat(300);
    for name in names.iter().copied().chain([long.as_str()]) {
        let quoted = quoted(name);
        let fields = [
            ("image", SPEC.replace("edge", &quoted)),
            ("suite", SPEC.replace("bookworm", &quoted)),
            ("channel", format!("{SPEC}  channel: {quoted}\n")),
            ("package", format!("{SPEC}  packages: {{utils: [{quoted}]}}\n")),
            ("host", format!("{SPEC}  defaults: {{hostname: {quoted}}}\n")),
            ("user", format!("{SPEC}  defaults: {{users: [{{name: {quoted}, sudo: true}}]}}\n")),
            ("script", format!("{SPEC}  postInstall: {{scripts: [{quoted}]}}\n")),
            ("picture", format!("{SPEC}  customization: {{bootloader: {{splash: {quoted}}}}}\n")),
            ("module", format!("{SPEC}  kernel: {{modules: {{enable: [{quoted}]}}}}\n")),
        ];
        for (field, text) in fields {
            // `a/b` is the name of a Gentoo package, and a package may be spelled long.
            let fine = field == "package" && name == "a/b";
            if !fine {
                cases.refused(
                    &format!("{field} {name:?}"),
                    load(&[("specs/edge.yaml", text.as_bytes())]),
                    "",
                );
            }
        }
    }
    cases.finish(300);
}
