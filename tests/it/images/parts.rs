//! Every bar, launcher, terminal and notification daemon that sessions have settings for, and
//! every theme: started together by their compositor in one built root without a screen, from
//! what is written for them, in the colours of the theme.

use super::sessions::{built, shown};
use super::{machine, run};
use bootwright::configure::{self, File, FileContent, Plan, System};
use bootwright::model::name::PackageName;
use bootwright::model::spec::{Base, OsImage};
use bootwright::tables;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Output;

/// One session.
struct Case {
    server: &'static str,
    compositor: &'static str,
    bar: &'static str,
    launcher: &'static str,
    terminal: &'static str,
    notifications: &'static str,
    theme: &'static str,
    /// Background and accent that the makers of the theme publish.
    colours: [&'static str; 2],
}

const fn case(
    server: &'static str,
    compositor: &'static str,
    [bar, launcher, terminal, notifications]: [&'static str; 4],
    theme: &'static str,
    colours: [&'static str; 2],
) -> Case {
    Case { server, compositor, bar, launcher, terminal, notifications, theme, colours }
}

const fn on_wayland(parts: [&'static str; 4], theme: &'static str, colours: [&'static str; 2]) -> Case {
    case("wayland", "sway", parts, theme, colours)
}

const fn on_x(parts: [&'static str; 4], theme: &'static str, colours: [&'static str; 2]) -> Case {
    case("xorg", "i3", parts, theme, colours)
}

const CASES: [Case; 9] = [
    on_wayland(["waybar", "wofi", "foot", "mako"], "nord", ["2e3440", "88c0d0"]),
    on_wayland(["waybar", "fuzzel", "alacritty", "swaync"], "dracula", ["282a36", "bd93f9"]),
    on_wayland(["waybar", "bemenu", "kitty", "dunst"], "gruvbox", ["282828", "d79921"]),
    on_wayland(["waybar", "tofi", "foot", "mako"], "catppuccin", ["1e1e2e", "89b4fa"]),
    on_x(["polybar", "rofi", "xterm", "dunst"], "solarized", ["002b36", "268bd2"]),
    on_x(["i3status", "dmenu", "rxvt-unicode", "dunst"], "tokyo-night", ["1a1b26", "7aa2f7"]),
    on_x(["i3blocks", "rofi", "alacritty", "dunst"], "breeze", ["eff0f1", "3daee9"]),
    on_x(["xmobar", "dmenu", "kitty", "dunst"], "adwaita", ["fafafa", "3584e4"]),
    on_x(["lemonbar", "rofi", "st", "dunst"], "nord", ["2e3440", "88c0d0"]),
];

/// How a part that runs is called in `/proc/PID/comm`.
fn process(part: &str) -> &str {
    match part {
        "bemenu" => "bemenu-run",
        "tofi" => "tofi-drun",
        "rxvt-unicode" => "urxvt",
        other => other,
    }
}

/// Debian's packages of a name.
fn packages(name: &str) -> Vec<String> {
    let offer = tables::row(name).and_then(|row| row.on(Base::DEBIAN)?.on(Some("bookworm")).offer());
    match offer {
        Some(offer) => offer.packages.iter().map(PackageName::to_string).collect(),
        None => vec![name.to_owned()],
    }
}

impl Case {
    fn parts(&self) -> [&'static str; 4] {
        [self.bar, self.launcher, self.terminal, self.notifications]
    }

    /// The fields of its spec, with these packages beside those that it needs.
    fn spec(&self, packages: &BTreeSet<String>) -> Value {
        let Self { compositor, bar, launcher, terminal, notifications, theme, .. } = self;
        json!({
            "apiVersion": "bootwright/v1", "kind": "OsImage", "metadata": {"name": "desktop"},
            "spec": {
                "base": "debian", "suite": "bookworm", "architecture": "x86_64", "outputs": ["rootfs"],
                "channel": "edge", "packages": {"extra": packages},
                "display": {"server": self.server, "compositor": compositor, "bar": bar, "launcher": launcher,
                    "terminal": terminal, "notifications": notifications, "theme": theme},
                "defaults": {"users": [{"name": "live"}]},
            },
        })
    }

    /// What its spec becomes.
    fn plan(&self) -> Plan {
        let image: OsImage = serde_json::from_value(self.spec(&BTreeSet::new())).unwrap();
        let configuration = configure::configuration(&image.metadata.name, &image.spec).unwrap();
        configure::plan(&System {
            configuration: &configuration,
            base: Base::DEBIAN,
            suite: "bookworm",
            architecture: image.spec.architecture,
            packages: [].into(),
            outputs: &image.spec.outputs,
        })
    }

    /// What of that its session reads.
    fn files(&self) -> Vec<File> {
        let mut files = self.plan().files;
        let folders = ["etc/skel/", "etc/greetd/", "etc/gtk-", "usr/local/bin/"];
        files.retain(|file| folders.iter().any(|folder| file.path.starts_with(folder)));
        assert!(files.len() > 4, "{files:?}");
        files
    }

    /// Has its root look as if it had been built for it.
    fn lay(&self, root: &Path) {
        let skel = root.join("etc/skel");
        for folder in [&skel, &root.join("home/live")] {
            fs::remove_dir_all(folder).unwrap();
            fs::create_dir(folder).unwrap();
        }
        for file in self.files() {
            let path = root.join(&file.path);
            let FileContent::Bytes { mode, bytes } = &file.content else { continue };
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let _ = fs::remove_file(&path);
            fs::write(&path, bytes).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
        }
        let home = root.join("home/live");
        run(root, "cp", &["-a", &format!("{}/.", skel.display()), home.to_str().unwrap()]);
        run(root, "chown", &["-R", "1000:1000", home.to_str().unwrap()]);
    }

    /// What is wrong with the screen of its session.
    fn wrong(&self, root: &Path) -> Vec<String> {
        let (on_start, later): (Vec<&str>, Vec<&str>) = (
            vec![self.compositor, process(self.bar), self.notifications],
            vec![self.terminal, self.launcher],
        );
        let later: Vec<&str> = later.into_iter().map(process).collect();
        let (picture, words) = shown(root, self.compositor, &on_start, ["Return d", &later.join(" ")]);
        println!("{:?} {}: {}\n{words}", self.parts(), self.theme, picture.words());
        let colours = picture.colours();
        let share = |colour: &str| {
            let part = |at: usize| u8::from_str_radix(&colour[at..at + 2], 16).unwrap();
            colours.get(&[part(0), part(2), part(4)]).map_or(0, |n| n * 1000 / picture.pixels.len())
        };
        // The colours of st are compiled in, and its window fills the screen.
        let back = if self.terminal == "st" { 0 } else { 200 };
        let mut wrong = Vec::new();
        // With xmobar nothing has it but the border of the window that has the keyboard.
        let accent = if self.bar == "xmobar" { 5 } else { 15 };
        for (what, colour, least) in
            [("background", self.colours[0], back), ("accent", self.colours[1], accent)]
        {
            let found = share(colour);
            if found < least {
                wrong.push(format!("{:?}: {what} has {found} of 1000", self.parts()));
            }
        }
        let said = words.lines().filter(|line| COMPLAINTS.iter().any(|word| line.contains(word)));
        wrong.extend(said.map(|line| format!("{:?}: {line}", self.parts())));
        wrong
    }
}

/// How the programs complain of settings that they do not understand.
const COMPLAINTS: [&str; 7] =
    ["parse", "yntax", "nknown option", "nknown setting", "nvalid", "err: config", "Ignoring"];

/// Files of the first session have their bytes, owner and mode as the builder laid them out.
fn laid_out(case: &Case, root: &Path) {
    for file in case.files() {
        let FileContent::Bytes { mode, bytes } = &file.content else { continue };
        let path = root.join(&file.path);
        let meta = fs::symlink_metadata(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!((meta.mode() & 0o7777, meta.uid(), meta.gid()), (*mode, 0, 0), "{}", path.display());
        assert_eq!(fs::read(&path).unwrap(), *bytes, "{}", path.display());
        if let Some(inside) = file.path.strip_prefix("etc/skel/") {
            let meta = fs::metadata(root.join("home/live").join(inside)).unwrap();
            assert_eq!((meta.uid(), meta.gid()), (1000, 1000), "{inside}");
        }
    }
}

/// Runs a program of the root as its root.
pub(super) fn inside(root: &Path, program: &str, args: &[&str]) -> Output {
    let mut bwrap = super::command("bwrap");
    bwrap.arg("--bind").arg(root).args([
        "/",
        "--dev",
        "/dev",
        "--proc",
        "/proc",
        "--unshare-net",
        "--clearenv",
    ]);
    for folder in ["/tmp", "/run"] {
        bwrap.args(["--perms", "1777", "--tmpfs", folder]);
    }
    bwrap.args(["--setenv", "PATH", "/usr/sbin:/usr/bin:/sbin:/bin", program]).args(args).output().unwrap()
}

#[test]
#[ignore = "builds and boots a whole image: make test-images"]
fn every_part_and_theme_of_sessions_is_started_from_what_is_written() {
    let _one = machine();
    let named = CASES.iter().flat_map(|case| [&case.parts()[..], &[case.compositor]].concat());
    let mut all: BTreeSet<String> = named.flat_map(packages).collect();
    for others in ["xorg", "session-basics", "xvfb", "grim", "wtype"] {
        all.extend(packages(others));
    }
    let root = built("parts", &CASES[0].spec(&all).to_string());
    laid_out(&CASES[0], &root);
    let mut wrong = Vec::new();
    for case in &CASES {
        case.lay(&root);
        for test in case.plan().tests {
            let args: Vec<&str> = test.args.iter().map(String::as_str).collect();
            let output = inside(&root, &test.path, &args);
            assert!(output.status.success(), "{}: {output:?}", test.what);
        }
        wrong.extend(case.wrong(&root));
    }
    assert_eq!(wrong, [""; 0]);
    fs::remove_dir_all(root.parent().unwrap()).unwrap();
}
