//! What was written is recorded, bad cards are refused, and a booted device is compared.

use super::super::observe::shop::Shop;
use super::card::{Card, Flashed, MIB, answer, bootwright, flash, image};
use super::liar::{Liar, Lies};
use std::fs;
use std::io::Write;
use std::process::Stdio;

fn told(catalog: &str, args: &[&str]) -> Flashed {
    answer(
        bootwright().args(["--output", "json", "--catalog", catalog, "flash"]).args(args).output().unwrap(),
    )
}

fn check(catalog: &str, reported: &str, args: &[&str]) -> Flashed {
    let mut child = bootwright()
        .args(["--output", "json", "--catalog", catalog, "flash", "check", "-"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(reported.as_bytes()).unwrap();
    answer(child.wait_with_output().unwrap())
}

#[test]
fn every_write_is_recorded_and_a_booted_device_is_compared() {
    let Some(card) = Card::used(2 * MIB) else { return };
    let shop = Shop::empty();
    let old = shop.publish("one", 10);
    let new = shop.publish("two", 0);
    let catalog = shop.dir.path().to_str().unwrap();
    let asked = ["demo@edge", "--catalog", catalog, "-d", card.path()];
    assert_eq!(flash(&[&asked[..], &["--dry-run"]].concat()).code, 0);
    let empty = told(catalog, &["history"]);
    assert_eq!((empty.code, empty.report["writes"].as_array().unwrap().len()), (0, 0), "{}", empty.report);
    assert_eq!(flash(&[&asked[..], &["--yes"]].concat()).code, 0);
    let refused = flash(&[&asked[..], &["--yes", "--architecture", "aarch64"]].concat());
    assert_eq!(refused.code, 2, "{}", refused.report);

    let history = told(catalog, &["history", "--image", "demo"]);
    let writes = history.report["writes"].as_array().unwrap();
    assert_eq!(writes.len(), 2, "{}", history.report);
    assert_eq!((&writes[0]["result"], &writes[1]["result"]), (&"refused".into(), &"good".into()));
    assert!(writes[0]["message"].as_str().unwrap().contains("aarch64"), "{}", writes[0]);
    let good = &writes[1];
    assert_eq!(good["version"], new.version.to_string());
    assert_eq!(good["recipe"], new.recipe.to_string());
    let identity = good["card"].as_str().unwrap();
    assert!(identity.starts_with("file:") && identity.ends_with("/card"), "{identity}");
    assert!(
        good["digest"].as_str().unwrap().starts_with("sha256:") && good["finished"].is_string(),
        "{good}"
    );
    let health = &history.report["cards"][0];
    assert_eq!(
        (&health["writes"], &health["good"], &health["isUnhealthy"]),
        (&1.into(), &1.into(), &false.into())
    );
    for (args, found) in [
        (["history", "--card", identity], 2),
        (["history", "--slot", card.path()], 2),
        (["history", "--card", "cid:none"], 0),
        (["history", "--image", "other"], 0),
    ] {
        let history = told(catalog, &args);
        assert_eq!(history.report["writes"].as_array().unwrap().len(), found, "{args:?}");
    }

    let runs = |recipe: &str, args: &[&str]| {
        let checked = check(catalog, recipe, args);
        (checked.code, checked.report["verdict"].as_str().unwrap_or_default().to_owned())
    };
    let (is, was) = (new.recipe.hex() + "\n", old.recipe.hex());
    assert_eq!(runs(&is, &[]), (0, "same".to_owned()));
    assert_eq!(runs(&is, &["--card", identity]), (0, "same".to_owned()));
    assert_eq!(runs(&was, &[]), (7, "unknown".to_owned()));
    let first = format!("demo/{}", old.version);
    assert_eq!(flash(&[&first, "--catalog", catalog, "-d", card.path(), "--yes"]).code, 0);
    assert_eq!(runs(&is, &["--card", identity]), (7, "other".to_owned()));
    assert_eq!(check(catalog, "ID=debian\n", &[]).code, 2);
}

#[test]
fn a_card_that_was_found_to_be_unhealthy_is_refused_until_force() {
    let dir = tempfile::tempdir().unwrap();
    let (path, bytes) = (dir.path().join("image.img"), image(8 * MIB));
    fs::write(&path, &bytes).unwrap();
    let catalog = dir.path().to_str().unwrap();
    let lies = Lies { drop: Some(6 << 20..7 << 20), ..Lies::default() };
    let Some(card) = Liar::new(16 << 20, 16 * MIB, lies) else { return };
    let asked = [path.to_str().unwrap(), "--catalog", catalog, "--yes", "-d", card.path()];
    let first = flash(&asked);
    assert_eq!((first.code, first.card(0)["unhealthy"].as_bool()), (7, Some(true)), "{}", first.report);
    let second = flash(&asked);
    assert_eq!(second.code, 7);
    assert!(second.refusal().contains("was found to be unhealthy"), "{}", second.report);
    assert!(second.refusal().contains("--force"), "{}", second.report);
    let forced = flash(&[&asked[..], &["--force"]].concat());
    assert_eq!(forced.card(0)["unhealthy"], true, "it was written to: {}", forced.report);
    let history = told(catalog, &["history"]);
    let health = &history.report["cards"][0];
    assert_eq!((&health["writes"], &health["unhealthy"]), (&2.into(), &2.into()), "{}", history.report);
    let results: Vec<&str> =
        history.report["writes"].as_array().unwrap().iter().map(|w| w["result"].as_str().unwrap()).collect();
    assert_eq!(results, ["failed", "refused", "failed"]);
}
