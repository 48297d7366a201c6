//! The program as a user meets it: the real binary, its words, its JSON, its exit codes.

use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

const HERE: &str = env!("CARGO_MANIFEST_DIR");

#[expect(clippy::disallowed_methods, reason = "tests start the program as a user does")]
fn command(program: &str) -> Command {
    Command::new(program)
}

fn bootwright() -> Command {
    let mut command = command(env!("CARGO_BIN_EXE_bootwright"));
    for name in ["NO_COLOR", "BOOTWRIGHT_CATALOG", "BOOTWRIGHT_LOG", "BOOTWRIGHT_KEY_PASSPHRASE"] {
        command.env_remove(name);
    }
    command
}

fn run(args: &[&str]) -> Output {
    bootwright().args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn help_names_every_command() {
    let output = run(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let help = stdout(&output);
    for name in [
        "init",
        "new",
        "prompt",
        "check",
        "lock",
        "plan",
        "reconcile",
        "boot",
        "release",
        "cache",
        "key",
        "doctor",
        "completions",
        "man",
    ] {
        assert!(help.lines().any(|l| l.trim_start().starts_with(&format!("{name} "))), "{name} in {help}");
    }
    for option in ["--catalog", "--rev", "--output", "--quiet", "--verbose", "--no-color", "--log"] {
        assert!(help.contains(option), "{option} in {help}");
    }
    assert!(output.stderr.is_empty());
}

#[test]
fn version_is_the_packages() {
    assert_eq!(stdout(&run(&["--version"])), format!("bootwright {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_arguments_exit_with_2_and_name_the_right_one() {
    let output = run(&["reconcil"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert!(stderr(&output).contains("reconcile"), "{}", stderr(&output));
    for args in
        [&["release"][..], &["boot"], &["new", "../evil"], &["plan", "--rev"], &["reconcile", "-j", "0"]]
    {
        assert_eq!(run(args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn wrong_arguments_are_json_when_json_is_asked_for() {
    let output = run(&["--output", "json", "reconcil"]);
    assert_eq!(output.status.code(), Some(2));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["error"]["code"], "VALIDATION_ERROR");
    assert_eq!(json["error"]["class"], "spec");
    assert_eq!(json["error"]["exitCode"], 2);
    assert!(json["error"]["suggestion"].is_string());
    assert!(output.stderr.is_empty());
}

#[test]
fn doctor_says_what_is_there_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let folder_arg = folder.path().to_str().unwrap();
    let output = run(&["doctor", "--output", "json", "--folder", folder_arg]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let ready = report["ready"].as_bool().unwrap();
    assert_eq!(output.status.code(), Some(if ready { 0 } else { 5 }));
    let tools = report["tools"].as_array().unwrap();
    for tool in tools {
        for field in ["name", "purpose", "package", "state"] {
            assert!(tool[field].is_string(), "{field} in {tool}");
        }
    }
    let dpkg = tools.iter().find(|t| t["name"] == "dpkg-deb").unwrap();
    assert_eq!(dpkg["state"], "found");
    assert!(dpkg["version"].as_str().unwrap().starts_with(|c: char| c.is_ascii_digit()));
    let checks: Vec<_> =
        report["host"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(checks, ["rights", "disk", "memory", "sandbox", "kvm", "loop devices"]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "doctor left something behind");
    for line in stderr(&output).lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert!(event["event"].is_string() && event["format"] == 1, "{line}");
    }
}

/// `make setup` installs what the tests need; a host without it must not pass by skipping.
#[test]
fn this_host_has_what_the_tests_need() {
    let folder = tempfile::tempdir_in(HERE).unwrap();
    let output = run(&["doctor", "--quiet", "--folder", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "run `make setup` as root\n{}", stdout(&output));
    assert!(stdout(&output).contains("✔ sandbox"), "{}", stdout(&output));
}

#[test]
fn no_escapes_where_there_is_no_terminal() {
    let output = bootwright().args(["doctor", "--verbose"]).output().unwrap();
    for text in [stdout(&output), stderr(&output)] {
        assert!(!text.contains('\u{1b}') && !text.contains('\r'), "{text:?}");
    }
    assert!(stderr(&output).starts_with("… looking at tools\n"), "{}", stderr(&output));
    assert!(stdout(&run(&["doctor", "--color", "always"])).contains("\u{1b}["));
}

#[test]
fn quiet_leaves_only_the_result() {
    let output = run(&["doctor", "-q"]);
    assert_eq!(stderr(&output), "");
    assert!(stdout(&output).starts_with("TOOL "));
}

/// Runs a command line on a terminal of its own (`script` makes one); gives what it showed.
fn on_a_terminal(line: &str, env: &[(&str, &str)]) -> String {
    let mut command = command("script");
    command.args(["--quiet", "--return", "--command", line, "/dev/null"]).env("TERM", "xterm");
    command.env_remove("NO_COLOR").envs(env.iter().copied()).stdin(Stdio::null());
    let output = command.output().expect("script is installed (package bsdutils)");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_terminal_gets_bars_and_colours_and_a_clean_end() {
    let line = format!("stty cols 40; {} doctor", env!("CARGO_BIN_EXE_bootwright"));
    let shown = on_a_terminal(&line, &[]);
    assert!(shown.contains("\u{1b}[32m"), "no colours: {shown:?}");
    assert!(shown.contains("looking at tools"), "{shown:?}");
    // The table starts on a line of its own.
    let heading = shown.lines().find(|l| l.contains("TOOL")).unwrap();
    assert!(!heading.contains("looking at tools"), "{heading:?}");
    let plain = on_a_terminal(&line, &[("NO_COLOR", "1")]);
    assert!(!plain.contains("\u{1b}[32m") && plain.contains("looking at tools"), "{plain:?}");
}

#[test]
fn a_closed_pipe_is_no_failure() {
    for args in [&["completions", "bash"][..], &["doctor"], &["--help"], &["man", "reconcile"]] {
        let mut child =
            bootwright().args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
        assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
    }
}

#[test]
fn completions_are_understood_by_their_shells() {
    // With this option all three read a script and run nothing of it.
    for (shell, option) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let script = run(&["completions", shell]).stdout;
        assert!(script.len() > 1000, "{shell}");
        let mut parser = command(shell);
        parser.arg(option).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = parser.spawn().unwrap_or_else(|e| panic!("{shell}: {e}; run `make setup-test`"));
        child.stdin.take().unwrap().write_all(&script).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{shell}: {}", stderr(&output));
        assert!(output.stderr.is_empty(), "{shell}: {}", stderr(&output));
    }
}

#[test]
fn man_pages_render() {
    for page in [&["man"][..], &["man", "reconcile"], &["man", "release", "verify"]] {
        let roff = run(page).stdout;
        let mut groff = command("groff");
        groff
            .args(["-man", "-Tutf8", "-ww", "-P-cbou"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = groff.spawn().expect("groff is installed (package groff-base)");
        child.stdin.take().unwrap().write_all(&roff).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{page:?}: {}", stderr(&output));
        assert!(stdout(&output).contains("SYNOPSIS"), "{page:?}: {}", stdout(&output));
    }
    assert_eq!(run(&["man", "no-such-command"]).status.code(), Some(2));
}

#[test]
fn the_log_holds_events_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    assert_eq!(run(&["doctor", "-q", "--log", log.to_str().unwrap()]).status.code(), Some(0));
    let lines: Vec<Value> = BufReader::new(std::fs::File::open(&log).unwrap())
        .lines()
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    assert!(
        lines.iter().any(|l| l["message"] == "task finished" && l["label"] == "looking at tools"),
        "{lines:?}"
    );
    let output = run(&["doctor", "--log", "/no/such/folder/log"]);
    assert_eq!(output.status.code(), Some(5));
    assert!(stderr(&output).starts_with("error: opening /no/such/folder/log: "), "{}", stderr(&output));
}

#[test]
fn make_knows_what_the_readme_promises() {
    let makefile = std::fs::read_to_string(Path::new(HERE).join("Makefile")).unwrap();
    for target in ["setup", "demo", "test", "test-images", "bench", "fmt", "lint"] {
        assert!(makefile.lines().any(|l| l.starts_with(&format!("{target}:"))), "{target}");
    }
    for script in ["scripts/setup.sh", "scripts/demo.sh", ".ci/run"] {
        let output = command("bash").args(["-n", script]).current_dir(HERE).output().unwrap();
        assert!(output.status.success(), "{script}: {}", stderr(&output));
    }
}
