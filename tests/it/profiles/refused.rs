//! What is refused, where, and in which words.

use super::{errors, image, loaded, profile};
use crate::catalog::SPEC;
use bootwright::catalog::{Diagnostic, diagnostic};

fn one(entries: &[(&str, &str)], words: &str) -> Diagnostic {
    let mut found = errors(entries);
    let shown = diagnostic::render(&found, false);
    assert_eq!(found.len(), 1, "{words}\n{shown}");
    assert!(found[0].message.contains(words), "{words:?} is not in\n{shown}");
    assert!(found[0].hint.is_some(), "{shown}");
    found.remove(0)
}

#[test]
fn paths_that_are_no_files_of_the_catalog() {
    let cases = [
        ("''", "not a path"),
        ("/etc/passwd", "a path on a host"),
        ("/profiles/a.yaml", "a path on a host"),
        ("~/a.yaml", "a path on a host"),
        ("../../a.yaml", "leads out of the catalog"),
        ("../../../../etc/passwd", "leads out of the catalog"),
        ("../../profiles/a.yaml", "leads out of the catalog"),
        ("profiles/../profiles/a.yaml", "in its middle"),
        ("profiles/../../a.yaml", "in its middle"),
        ("profiles//a.yaml", "empty part"),
        ("'profiles\\a.yaml'", "is not a path"),
        ("'https://example.org/a.yaml'", "is not a path"),
        ("'file:///etc/passwd'", "is not a path"),
        ("../base.yaml", "neither a profile nor a spec"),
        ("base.yaml", "neither a profile nor a spec"),
        ("profiles/deep/a.yaml", "neither a profile nor a spec"),
        ("profiles/.a.yaml", "neither a profile nor a spec"),
        ("profiles/a.yml", "neither a profile nor a spec"),
        ("specs/edge.lock.yaml", "neither a profile nor a spec"),
        ("specs/overlays/edge/etc/motd", "neither a profile nor a spec"),
        ("policies/house.yaml", "neither a profile nor a spec"),
        ("bootwright.yaml", "neither a profile nor a spec"),
        ("\"profiles/a\\0.yaml\"", "not a path"),
        ("profiles/b.yaml", "there is no file profiles/b.yaml"),
        ("specs/other.yaml", "there is no file specs/other.yaml"),
        ("5", "should be a path"),
        ("[profiles/a.yaml]", "should be a path"),
        ("'profiles/a.yaml', 'profiles/a.yaml'", "included twice"),
        ("'profiles/a.yaml', ../profiles/a.yaml", "included twice"),
        ("specs/edge.yaml", "includes itself"),
        ("./edge.yaml", "includes itself"),
    ];
    let a = profile("a", "spec: {}\n");
    for (path, words) in cases {
        let good = if path.contains("'profiles/a.yaml',") { "" } else { "profiles/a.yaml, " };
        let text = image(&format!("{good}{path}"), "");
        let found = one(&[("profiles/a.yaml", &a), ("specs/edge.yaml", &text)], words);
        assert_eq!((found.file.as_str(), found.line), ("specs/edge.yaml", Some(1)), "{path}");
        assert!(found.column.is_some_and(|column| column > 10), "{path}: {found:?}");
    }
    one(&[("specs/edge.yaml", &format!("include: profiles/a.yaml\n{SPEC}"))], "should be a list of paths");
}

#[test]
fn rings_and_depths() {
    let include = |name: &str, path: &str| profile(name, &format!("include: [{path}]\nspec: {{}}\n"));
    let (a, b, c) = (include("a", "./b.yaml"), include("b", "./c.yaml"), include("c", "./a.yaml"));
    let edge = image("profiles/a.yaml", "");
    let files = [
        ("profiles/a.yaml", &*a),
        ("profiles/b.yaml", &b),
        ("profiles/c.yaml", &c),
        ("specs/edge.yaml", &edge),
    ];
    let found = one(&files, "profiles/a.yaml → profiles/b.yaml → profiles/c.yaml → profiles/a.yaml");
    assert_eq!((found.file.as_str(), found.line), ("profiles/c.yaml", Some(4)));
    let hint = found.hint.unwrap();
    assert!(
        hint.contains("Included at profiles/b.yaml:4, from profiles/a.yaml:4, from specs/edge.yaml:1"),
        "{hint}"
    );
    one(
        &[("profiles/a.yaml", &include("a", "./a.yaml")), ("specs/edge.yaml", &edge)],
        "profiles/a.yaml → profiles/a.yaml",
    );
    // Two images that include each other: each says so.
    let lab = SPEC.replace("name: edge", "name: lab");
    let lab = format!("include: [specs/edge.yaml]\n{lab}");
    let found = errors(&[("specs/edge.yaml", &image("specs/lab.yaml", "")), ("specs/lab.yaml", &lab)]);
    assert_eq!(found.len(), 2, "{found:?}");

    let chain = |length: usize| {
        let next = |n: usize| if n + 1 < length { format!("./p{}.yaml", n + 1) } else { String::new() };
        let file = |n: usize| (format!("profiles/p{n}.yaml"), include(&format!("p{n}"), &next(n)));
        let mut files: Vec<(String, String)> = (0..length).map(file).collect();
        files.push(("specs/edge.yaml".to_owned(), image("profiles/p0.yaml", "")));
        files
    };
    let text = |files: &[(String, String)]| -> Vec<(String, String)> { files.to_vec() };
    let good = text(&chain(16));
    let good: Vec<(&str, &str)> = good.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    loaded(&good);
    let deep = chain(17);
    let deep: Vec<(&str, &str)> = deep.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let found = errors(&deep);
    assert!(found.iter().any(|d| d.message.contains("more than 16 deep")), "{found:?}");
}

#[test]
fn bombs() {
    let many: Vec<(String, String)> =
        (0..70).map(|n| (format!("profiles/p{n}.yaml"), profile(&format!("p{n}"), "spec: {}\n"))).collect();
    let all: Vec<&str> = many.iter().map(|(path, _)| path.as_str()).collect();
    let edge = image(&all.join(", "), "");
    let mut files: Vec<(&str, &str)> = many.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    files.push(("specs/edge.yaml", &edge));
    assert!(errors(&files).iter().any(|d| d.message.contains("more than 64 files")));

    // Each file is within its own limits; together they are not.
    let packages = |n: usize| (0..3000).map(|i| format!("p{n}x{i}")).collect::<Vec<_>>().join(", ");
    let big: Vec<(String, String)> = (0..8)
        .map(|n| {
            let spec = format!("spec: {{packages: {{extra: {{add: [{}]}}}}}}\n", packages(n));
            (format!("profiles/p{n}.yaml"), profile(&format!("p{n}"), &spec))
        })
        .collect();
    let all: Vec<&str> = big.iter().map(|(path, _)| path.as_str()).collect();
    let edge = image(&all.join(", "), "");
    let mut files: Vec<(&str, &str)> = big.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    files.push(("specs/edge.yaml", &edge));
    assert!(errors(&files).iter().any(|d| d.message.contains("too much text")), "{:?}", errors(&files));

    let comment = format!("# {}\n", "x".repeat(1 << 20));
    let long: Vec<(String, String)> = (0..6)
        .map(|n| (format!("profiles/p{n}.yaml"), comment.clone() + &profile(&format!("p{n}"), "spec: {}\n")))
        .collect();
    let all: Vec<&str> = long.iter().map(|(path, _)| path.as_str()).collect();
    let edge = image(&all.join(", "), "");
    let mut files: Vec<(&str, &str)> = long.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    files.push(("specs/edge.yaml", &edge));
    assert!(errors(&files).iter().any(|d| d.message.contains("too much text")));

    // Every file includes all others that come after it: 2^n ways, each file read once.
    let names: Vec<String> = (0..14).map(|n| format!("profiles/p{n}.yaml")).collect();
    let web: Vec<(String, String)> = (0..14)
        .map(|n| {
            let rest = names[n + 1..].join(", ");
            (names[n].clone(), profile(&format!("p{n}"), &format!("include: [{rest}]\nspec: {{}}\n")))
        })
        .collect();
    let edge = image(&names.join(", "), "");
    let mut files: Vec<(&str, &str)> = web.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    files.push(("specs/edge.yaml", &edge));
    let start = std::time::Instant::now();
    loaded(&files);
    assert!(start.elapsed() < std::time::Duration::from_secs(5));
    // Aliases count as what they stand for.
    let bomb = format!(
        "x1: &a [{}]\nx2: &b [{}]\nx3: [{}]\n",
        ["lol"; 20].join(", "),
        ["*a"; 40].join(", "),
        ["*b"; 40].join(", ")
    );
    let a = profile("a", &format!("{bomb}spec: {{}}\n"));
    let found = errors(&[("profiles/a.yaml", &a), ("specs/edge.yaml", &image("profiles/a.yaml", ""))]);
    assert!(found.iter().any(|d| d.message.contains("too large")), "{found:?}");
}

/// A profile's spec and the image's own lines: what is said, in which file and line.
#[test]
fn lines_that_do_not_go_together() {
    let own = "specs/edge.yaml";
    let below = "profiles/a.yaml";
    let cases = [
        (
            "  limits: {isoSize: 1GiB}\n",
            "  limits: 5\n",
            "`spec.limits` is a single value here and a mapping at profiles/a.yaml:5:11",
            own,
            9,
        ),
        (
            "  packages: {utils: [nano]}\n",
            "  packages: {utils: nano}\n",
            "`spec.packages.utils` is a single value here and a list at profiles/a.yaml:5:21",
            own,
            9,
        ),
        (
            "  packages: {utils: [nano]}\n",
            "  packages: [nano]\n",
            "`spec.packages` is a list here and a mapping",
            own,
            9,
        ),
        (
            "  channel: stable\n",
            "  channel: {name: stable}\n",
            "`spec.channel` is a mapping here and a single value",
            own,
            9,
        ),
        (
            "  packages: {utils: [nano]}\n",
            "  packages: {utils: {remove: [vim]}}\n",
            "has no vim to remove",
            own,
            9,
        ),
        (
            "  packages: {utils: [nano]}\n",
            "  packages: {utils: {remove: [nan]}}\n",
            "has no nan to remove",
            own,
            9,
        ),
        (
            "  defaults: {users: [{name: ada}]}\n",
            "  defaults: {users: {remove: [{name: bob}]}}\n",
            "nothing like this to remove",
            own,
            9,
        ),
        (
            "  packages: {utils: [nano]}\n",
            "  packages: {utils: {add: vim}}\n",
            "`spec.packages.utils.add` should be a list",
            own,
            9,
        ),
        (
            "  packages: {utils: [nano]}\n",
            "  packages: {utils: {add: [vim], append: [less]}}\n",
            "`append` is not a change",
            own,
            9,
        ),
        ("  channel: stable\n", "  packages: {utils: {remove: [vim]}}\n", "has no vim to remove", own, 9),
        ("  channel: stable\n", "  limits: null\n", "`spec.limits` should be a mapping", own, 9),
        ("  channel: stable\n", "  packages: {utils: {add: [vim, vim]}}\n", "vim is listed twice", own, 9),
        ("  packages: {utils: [vim]}\n", "  packages: {servers: [vim]}\n", "vim is listed twice", below, 5),
        // What is wrong in a profile is told there, once, also where the image says otherwise.
        ("  chanel: stable\n", "", "unknown field `chanel`", below, 5),
        ("  channel: Stable\n", "  channel: edge\n", "is not a valid channel name", below, 5),
        ("  limits: {isoSize: 2 gigs}\n", "  limits: {isoSize: 1GiB}\n", "is not a size", below, 5),
        ("  packages: {utils: {add: ['a b']}}\n", "", "is not a valid package name", below, 5),
        ("  packages: {utils: {append: [vim]}}\n", "", "should be a list", below, 5),
        ("  defaults: {users: [{sudo: true}]}\n", "", "has no `name`", below, 5),
        ("  schedule: every day\n", "", "schedule", below, 5),
        ("  defaults: {timezone: Berlin}\n", "", "is not an IANA time zone", below, 5),
        (
            "  services: {enable: [nginx]}\n",
            "  services: {disable: [nginx]}\n",
            "both enabled and disabled",
            own,
            9,
        ),
        (
            "  services: {disable: [nginx]}\n",
            "  services: {enable: [nginx]}\n",
            "both enabled and disabled",
            below,
            5,
        ),
        ("  postInstall: {scripts: [specs/none.sh]}\n", "", "there is no file specs/none.sh", below, 5),
    ];
    for (profiles, lines, words, file, line) in cases {
        let a = profile("a", &format!("spec:\n{profiles}"));
        let edge = image("profiles/a.yaml", lines);
        let found = one(&[("profiles/a.yaml", &a), ("specs/edge.yaml", &edge)], words);
        assert_eq!((found.file.as_str(), found.line), (file, Some(line)), "{profiles}{lines}{found:?}");
        assert!(found.source_line.is_some());
    }
}

#[test]
fn the_chain_is_told() {
    let a = profile("a", "spec:\n  defaults: {timezone: Berlin}\n");
    let b = profile("b", "include: [./a.yaml]\nspec: {}\n");
    let edge = image("profiles/b.yaml", "");
    let found =
        one(&[("profiles/a.yaml", &a), ("profiles/b.yaml", &b), ("specs/edge.yaml", &edge)], "time zone");
    let hint = found.hint.unwrap();
    assert!(hint.ends_with("Included at profiles/b.yaml:4, from specs/edge.yaml:1."), "{hint}");
}

#[test]
fn what_a_level_asks_for_is_told_at_its_line() {
    let text = format!("{SPEC}  securityLevel: minimal\n  services: {{disable: [nftables]}}\n");
    let found = errors(&[("specs/edge.yaml", &text)]);
    assert_eq!(found.len(), 1, "{found:?}");
    let text = format!("{SPEC}  securityLevel: hardened\n");
    let found = errors(&[("specs/edge.yaml", &text)]);
    assert!(!found.is_empty());
    for d in &found {
        assert_eq!((d.file.as_str(), d.line), ("specs/edge.yaml", Some(8)), "{d:?}");
        assert!(d.message.contains("(set by `securityLevel: hardened`)"), "{d:?}");
        assert!(d.hint.as_ref().is_some_and(|hint| hint.contains("write `null` for `spec.")), "{d:?}");
    }
    one(&[("specs/edge.yaml", &format!("{SPEC}  securityLevel: hard\n"))], "`hard` is not a value");
}

/// A rule is broken by a line of a profile: that line is told, also when it was found before.
#[test]
fn what_a_policy_has_against_a_profile() {
    use bootwright::planner::policy::{self, Packages};
    let a = profile("a", "spec:\n  packages: {utils: [telnet]}\n");
    let house = "apiVersion: bootwright/v1\nkind: Policy\nmetadata: {name: house}\nspec:\n  rules:\n    - id: one\n      forbiddenPackages: [telnet]\n";
    let edge = image("profiles/a.yaml", "");
    let files = crate::catalog::in_memory(&[
        ("profiles/a.yaml", a.as_str()),
        ("specs/edge.yaml", &edge),
        ("policies/house.yaml", house),
    ]);
    let catalog =
        bootwright::catalog::load(&files).unwrap_or_else(|d| panic!("{}", diagnostic::render(&d, false)));
    let document = catalog.images.values().next().unwrap();
    let asked = bootwright::resolve::request(
        &document.spec,
        &bootwright::model::packaging::PackageSettings::default(),
    )
    .unwrap();
    let mut found = policy::of_image(&catalog.policies, document, &[], Packages::Asked(&asked));
    assert_eq!(found.len(), 1, "{found:?}");
    bootwright::catalog::locate(&files, &mut found[0]);
    assert_eq!(found[0].place.to_string(), "profiles/a.yaml:5:22");
    let told = bootwright::catalog::diagnostic_of(&files, &found[0]);
    assert_eq!((told.file.as_str(), told.line, told.column), ("profiles/a.yaml", Some(5), Some(22)));
}

/// What is wrong in a profile that many images include is one problem.
#[test]
fn many_images_of_one_profile() {
    let a = profile("a", "spec:\n  defaults: {timezone: Berlin}\n");
    let images: Vec<(String, String)> = (0..300)
        .map(|n| {
            (
                format!("specs/i{n}.yaml"),
                image("profiles/a.yaml", "").replace("name: edge", &format!("name: i{n}")),
            )
        })
        .collect();
    let mut files: Vec<(&str, &str)> = images.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    files.push(("profiles/a.yaml", &a));
    one(&files, "is not an IANA time zone");
}

#[test]
fn documents_that_cannot_be_included() {
    let edge = image("profiles/a.yaml", "");
    let with = |a: &str| errors(&[("profiles/a.yaml", a), ("specs/edge.yaml", &edge)]);
    let said = |a: &str, words: &str| {
        let found = with(a);
        assert!(found.iter().any(|d| d.message.contains(words)), "{words}: {found:?}");
    };
    said("# nothing\n", "holds no document");
    said("a: [\n", "not valid YAML");
    said("- a\n", "the document should be a mapping");
    said(SPEC, "images do not belong here");
    said(
        "apiVersion: bootwright/v1\nkind: Policy\nmetadata: {name: a}\nspec: {rules: []}\n",
        "policies do not belong",
    );
    let two = format!("{}---\n{}", profile("a", "spec: {}\n"), profile("b", "spec: {}\n"));
    said(&two, "a second profile in one file");
    said(&two, "holds 2 documents");
    said(&profile("a", ""), "has no `spec`");
    said(&profile("A b", "spec: {}\n"), "is not a valid profile name");
    said(&profile("a", "spec: {}\nspce: {}\n"), "unknown field `spce`");
    said(&profile("a", "bases: [alpine, void]\nspec: {}\n"), "is made for alpine, void, not for debian");
    said(&profile("a", "bases: [debain]\nspec: {}\n"), "`debain` is not a value");
    said("profile: a\nservice: [nginx]\n", "unknown field `service`");
    let found = with(&profile("a", "spec: {base: arch}\n"));
    assert!(found.is_empty(), "the image says otherwise: {found:?}");
    // An image that is no image is told where it stands, and where it is included.
    let lab = errors(&[("specs/lab.yaml", "a: 1\n"), ("specs/edge.yaml", &image("specs/lab.yaml", ""))]);
    assert!(lab.iter().any(|d| d.message.contains("holds no profile and no image")), "{lab:?}");
    assert!(with("\u{1}").len() == 1 || !with("\u{1}").is_empty());
}

#[test]
fn profiles_that_nothing_reads() {
    let a = profile("a", "spec: {}\n");
    let b = profile("b", "include: [./a.yaml]\nspec: {}\n");
    let found = one(&[("profiles/a.yaml", &a), ("specs/edge.yaml", SPEC)], "no image includes it");
    assert_eq!(found.file, "profiles/a.yaml");
    // Only another unread profile reads it.
    let found = errors(&[("profiles/a.yaml", &a), ("profiles/b.yaml", &b), ("specs/edge.yaml", SPEC)]);
    assert_eq!(found.len(), 2, "{found:?}");
    for (path, words) in [
        ("profiles/a.yml", "nothing reads this file"),
        ("profiles/deep/a.yaml", "nothing reads this file"),
        ("profiles/.a.yaml", "nothing reads this file"),
        ("profiles/a.txt", "nothing reads this file"),
    ] {
        one(&[(path, &a), ("specs/edge.yaml", SPEC)], words);
    }
    // A catalog that was just begun.
    assert!(errors(&[("profiles/a.yaml", &a)]).is_empty());
    assert!(errors(&[("profiles/README.md", "x"), ("specs/edge.yaml", SPEC)]).is_empty());
}
