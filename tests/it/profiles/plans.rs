//! A changed profile is a changed image: in the plan, and in what is remembered.

use super::profile;
use crate::remembered::{IMAGES, SETTINGS, World, spec};

/// The images `edge` and `lab` include a profile, `core` does not.
fn world() -> World {
    let a = profile("a", "spec:\n  defaults:\n    locale: de_DE.UTF-8\n");
    let b = profile("b", "include: [./a.yaml]\nspec:\n  customization: {bootloader: {timeout: 7}}\n");
    World::with(&[("profiles/a.yaml", &a), ("profiles/b.yaml", &b)], |name| match name {
        "edge" => format!("include: [profiles/b.yaml]\n{}", spec(name)),
        "lab" => format!("include: [profiles/a.yaml]\n{}", spec(name)),
        _ => spec(name),
    })
}

#[test]
fn a_changed_profile_shows_in_every_image_that_includes_it() {
    let world = world();
    world.nothing_to_do("first");
    world.nothing_to_do("remembered");
    let memory = std::fs::read_to_string(world.memory()).unwrap();
    assert!(memory.contains("profiles/b.yaml"), "{memory}");

    let change = |path: &str, from: &str, to: &str| {
        let text = std::fs::read_to_string(world.path(path)).unwrap();
        assert!(text.contains(from));
        std::fs::write(world.path(path), text.replace(from, to)).unwrap();
        world.repo.commit("change");
    };
    let both = |images: &[&str], what: &str| {
        let expected: Vec<String> = images.iter().map(ToString::to_string).collect();
        for round in ["first", "second"] {
            assert_eq!(world.steps(), (expected.clone(), IMAGES.len()), "{what}, {round} plan");
        }
    };
    change("profiles/a.yaml", "de_DE", "fr_FR");
    both(&["edge", "lab"], "a profile that another one includes");
    let planned = world.plan().unwrap();
    let text = bootwright::planner::text(&planned);
    let line = "configuration.locale: de_DE.UTF-8 -> fr_FR.UTF-8 (set at profiles/a.yaml:6)";
    assert_eq!(text.matches(line).count(), 2, "{text}");
    world.repo.git(&["reset", "-q", "--hard", "HEAD~1"]);
    world.nothing_to_do("taken back");

    change("profiles/b.yaml", "timeout: 7", "timeout: 8");
    both(&["edge"], "a profile that one image includes");
    world.repo.git(&["reset", "-q", "--hard", "HEAD~1"]);

    // What is said otherwise by the image does not matter.
    change("profiles/a.yaml", "metadata: {name: a}", "metadata: {name: a, description: the same}");
    both(&[], "words about a profile");
    world.repo.git(&["reset", "-q", "--hard", "HEAD~1"]);

    let refused = |words: &str| {
        for round in ["first", "second"] {
            let failure = world.plan().err().unwrap_or_else(|| panic!("{words}, {round}: was taken"));
            let text = format!("{failure} {}", failure.details.clone().unwrap_or_default());
            assert!(text.contains(words), "{words:?}, {round}: {text}");
        }
        world.repo.git(&["reset", "-q", "--hard", "HEAD~1"]);
        world.nothing_to_do("taken back");
    };
    change("profiles/a.yaml", "locale: de", "lcale: de");
    refused("unknown field `lcale`");
    change("profiles/b.yaml", "./a.yaml", "./c.yaml");
    refused("there is no file profiles/c.yaml");
    std::fs::remove_file(world.path("profiles/a.yaml")).unwrap();
    world.repo.commit("gone");
    refused("there is no file profiles/a.yaml");
    world.repo.write("profiles/c.yaml", &profile("c", "spec: {}\n"));
    world.repo.commit("unread");
    refused("no image includes it");
    std::fs::write(world.path("bootwright.yaml"), format!("{SETTINGS}channels: [stable]\n")).unwrap();
    world.repo.write("profiles/b.yaml", &profile("b", "include: [./a.yaml]\nspec: {channel: edge}\n"));
    world.repo.commit("a channel below the image's own");
    both(&["edge"], "the boot menu's time is gone");
    world.repo.git(&["reset", "-q", "--hard", "HEAD~1"]);
}

#[test]
fn a_script_that_a_profile_names() {
    let a = profile("a", "spec:\n  postInstall: {scripts: {add: [specs/more.sh]}}\n");
    let files = [("profiles/a.yaml", a.as_str()), ("specs/more.sh", "#!/bin/sh\n")];
    let world = World::with(&files, |name| match name {
        "edge" => format!("include: [profiles/a.yaml]\n{}", spec(name))
            .replace("scripts: [", "scripts: {add: [")
            .replace("]}", "]}}"),
        _ => spec(name),
    });
    world.nothing_to_do("first");
    world.nothing_to_do("remembered");
    std::fs::write(world.path("specs/more.sh"), "#!/bin/sh\ntrue\n").unwrap();
    world.repo.commit("script");
    for round in ["first", "second"] {
        assert_eq!(world.steps().0, ["edge"], "{round}");
    }
    std::fs::remove_file(world.path("specs/more.sh")).unwrap();
    world.repo.commit("no script");
    assert!(world.plan().is_err());
}
