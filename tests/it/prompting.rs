//! `bootwright prompt` as a user meets it.

use serde_json::Value;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn bootwright(folder: &Path, args: &[&str]) -> Command {
    #[expect(clippy::disallowed_methods, reason = "tests start the program as a user does")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_bootwright"));
    let names = ["URL", "MODEL", "KEY", "KIND"].map(|name| format!("BOOTWRIGHT_LLM_{name}"));
    for name in names {
        command.env_remove(name);
    }
    command.env_remove("OFFLINE_ONLY").env_remove("BOOTWRIGHT_CATALOG");
    command.current_dir(folder).arg("prompt").args(args).stdin(Stdio::null());
    command
}

fn run(folder: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    told(&bootwright(folder, args).output().unwrap())
}

fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn words_become_a_spec_and_each_line_says_from_which() {
    let folder = tempfile::tempdir().unwrap();
    let words = "Debian 12 with nginx and docker, no desktop, frobnicated";
    let (code, out, _) = run(folder.path(), &[words]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("suite: bookworm  # “Debian 12”"), "{out}");
    assert!(out.contains("servers: [nginx]  # “nginx”"), "{out}");
    assert!(out.contains("# not understood: “frobnicated” (characters 46 to 56)"), "{out}");
    assert!(out.contains("# left out as asked: “desktop”"), "{out}");
    // What is printed is the spec: as a file, `check` takes it.
    std::fs::create_dir(folder.path().join("specs")).unwrap();
    std::fs::write(folder.path().join("specs/x.yaml"), &out).unwrap();
    #[expect(clippy::disallowed_methods, reason = "tests start the program as a user does")]
    let check = Command::new(env!("CARGO_BIN_EXE_bootwright"))
        .current_dir(folder.path())
        .arg("check")
        .output()
        .unwrap();
    assert_eq!(told(&check).0, Some(0), "{:?}", told(&check));
}

/// The example of the documents is what is printed.
#[test]
fn the_documents_show_what_is_printed() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/prompts.md")).unwrap();
    let example = text.split("$ bootwright prompt \"").nth(1).unwrap();
    let (words, rest) = example.split_once("\"\n").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (code, out, _) = run(folder.path(), &[words]);
    assert_eq!((code, out.as_str()), (Some(0), rest.split("```").next().unwrap()));
}

#[test]
fn strict_is_for_scripts() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(folder.path(), &["--strict", "debian with nginx"]).0, Some(0));
    let (code, out, _) = run(folder.path(), &["--strict", "debian with nginx, frobnicated"]);
    assert_eq!(code, Some(2), "{out}");
    let (code, out, _) = run(folder.path(), &["--strict", "debian and fedora"]);
    assert_eq!(code, Some(2), "{out}");
    assert!(out.contains("error[COMPAT_ERROR]: spec.base"), "{out}");
}

#[test]
fn json_has_everything() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, _) =
        run(folder.path(), &["--output", "json", "debian, sway with xorg, üben, 16 GB of RAM"]);
    assert_eq!(code, Some(0), "{out}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["spec"]["spec"]["display"]["compositor"], "sway");
    let field =
        report["fields"].as_array().unwrap().iter().find(|f| f["path"] == "spec.display.compositor").unwrap();
    assert_eq!((&field["from"], &field["words"][0]["text"]), (&"words".into(), &"sway".into()));
    assert_eq!(report["notUnderstood"][0]["text"], "üben");
    assert_eq!(
        (&report["notUnderstood"][0]["start"], &report["notUnderstood"][0]["end"]),
        (&24.into(), &28.into())
    );
    assert!(report["notUnderstood"][1]["suggestion"].as_str().unwrap().contains("memoryMib"));
    assert!(report["findings"].as_array().unwrap().iter().any(|f| f["code"] == "COMPAT_ERROR"), "{out}");
}

#[test]
fn write_puts_it_into_the_catalog_and_over_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let words = "debian 12 with nginx";
    let (code, out, err) = run(folder.path(), &["--write", "web", words]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("wrote specs/web.yaml") && out.contains("bootwright check"), "{out}");
    let written = std::fs::read_to_string(folder.path().join("specs/web.yaml")).unwrap();
    assert!(written.contains("name: web") && written.contains("nginx"), "{written}");

    let (code, _, err) = run(folder.path(), &["--write", "web", "debian with caddy"]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("is there already"), "{err}");
    assert_eq!(std::fs::read_to_string(folder.path().join("specs/web.yaml")).unwrap(), written);
    assert_eq!(run(folder.path(), &["--write", "web", "--force", "debian with caddy"]).0, Some(0));
    assert!(std::fs::read_to_string(folder.path().join("specs/web.yaml")).unwrap().contains("caddy"));

    // Nothing that `check` refuses is written.
    let (code, _, err) = run(folder.path(), &["--write", "other", "void with hyprland"]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("was not written") && !folder.path().join("specs/other.yaml").exists(), "{err}");

    // The name is an image's name, whatever it looks like.
    for name in ["../evil", "a/b", "A", ""] {
        assert_ne!(run(folder.path(), &["--write", name, words]).0, Some(0), "{name:?}");
    }
    // An image of that name in another file is one of that name.
    let two = written.replace("name: web", "name: twin");
    std::fs::write(folder.path().join("specs/two.yaml"), two).unwrap();
    let (code, _, err) = run(folder.path(), &["--write", "twin", words]);
    assert_eq!(code, Some(2), "{err}");
}

/// A link in the place of the file leads nowhere.
#[test]
fn a_link_is_not_written_through() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("specs")).unwrap();
    let outside = folder.path().join("outside");
    std::fs::write(&outside, "precious").unwrap();
    std::os::unix::fs::symlink(&outside, folder.path().join("specs/web.yaml")).unwrap();
    assert_ne!(run(folder.path(), &["--write", "web", "--force", "debian with nginx"]).0, Some(0));
    assert_eq!(std::fs::read_to_string(outside).unwrap(), "precious");
}

fn from_stdin(folder: &Path, bytes: &[u8]) -> (Option<i32>, String, String) {
    let mut child = bootwright(folder, &["-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have read enough before all is written.
    let _ = child.stdin.take().unwrap().write_all(bytes);
    told(&child.wait_with_output().unwrap())
}

#[test]
fn stdin_is_read_as_far_as_a_prompt_may_go() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, _) = from_stdin(folder.path(), b"fedora\nwith gnome\n");
    assert_eq!(code, Some(0));
    assert!(out.contains("base: fedora") && out.contains("compositor: gnome"), "{out}");
    for bad in [&b""[..], b" \n", b"debian \xff", &[b'x'; 20_000]] {
        let (code, out, err) = from_stdin(folder.path(), bad);
        assert!(err.starts_with("error: the prompt "), "{err}");
        assert_eq!(code, Some(2), "{out}{err}");
    }
}

#[test]
fn a_model_is_asked_only_where_one_is_set_up() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, err) = run(folder.path(), &["--reader", "model", "debian"]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("BOOTWRIGHT_LLM_URL"), "{err}");

    let with_model = |url: &str, args: &[&str], offline: &str| {
        let mut command = bootwright(folder.path(), args);
        command
            .env("BOOTWRIGHT_LLM_URL", url)
            .env("BOOTWRIGHT_LLM_MODEL", "m")
            .env("BOOTWRIGHT_LLM_KEY", "sk-canary-77");
        if !offline.is_empty() {
            command.env("OFFLINE_ONLY", offline);
        }
        let (code, out, err) = told(&command.output().unwrap());
        assert!(!out.contains("canary") && !err.contains("canary"), "{out}{err}");
        (code, out, err)
    };
    // Nobody listens there.
    let (code, _, err) = with_model("http://127.0.0.1:9", &["debian"], "");
    assert_eq!(code, Some(4), "{err}");
    let (code, _, err) = with_model("http://models.example.org", &["debian"], "");
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("not encrypted"), "{err}");
    let (code, _, err) = with_model("https://me:sk-canary-88@models.example.org", &["debian"], "");
    assert_eq!(code, Some(2), "{err}");
    // Without network the words are read.
    let (code, out, _) = with_model("http://127.0.0.1:9", &["debian with nginx"], "true");
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("servers: [nginx]") && out.contains("no language model was asked"), "{out}");
    let (code, _, err) = with_model("http://127.0.0.1:9", &["--reader", "model", "debian"], "true");
    assert_ne!(code, Some(0), "{err}");
    let (code, out, _) = with_model("http://127.0.0.1:9", &["--reader", "words", "debian with nginx"], "");
    assert_eq!(code, Some(0), "{out}");
}
