//! Sessions without a screen: the programs that each compositor's spec asks for start together
//! in the root that was built for it, from the settings that were written there, and draw in
//! the theme's colours.

use super::{Image, command, file, machine, run};
use bootwright::verify::picture::Picture;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// One compositor: its server, its other parts, and the processes that a session of it has.
struct Session {
    compositor: &'static str,
    server: &'static str,
    parts: &'static str,
    /// What takes pictures there: an X server without a screen, or a program of Wayland.
    eyes: &'static str,
    runs: &'static [&'static str],
    /// Whether background and bar have exactly the theme's colours.
    painted: bool,
}

const ON_X: &str = "bar: polybar, launcher: rofi, notifications: dunst, terminal: xterm";
const ON_WAYLAND: &str = "bar: waybar, launcher: wofi, notifications: mako, terminal: foot";

/// Those that draw a background and a bar and nothing else, and Xfce. Debian has no Hyprland.
const SESSIONS: [Session; 5] = [
    on_x("i3", &["i3", "polybar", "dunst"]),
    on_x("bspwm", &["bspwm", "sxhkd", "polybar", "dunst"]),
    on_x("dwm", &["dwm", "polybar", "dunst"]),
    Session {
        parts: "launcher: rofi, terminal: xterm",
        painted: false,
        ..on_x("xfce", &["xfce4-session", "xfce4-panel", "xfdesktop", "xfwm4", "xfsettingsd"])
    },
    Session {
        server: "wayland",
        parts: ON_WAYLAND,
        eyes: "grim",
        ..on_x("sway", &["sway", "swaybg", "waybar", "mako"])
    },
];

const fn on_x(compositor: &'static str, runs: &'static [&'static str]) -> Session {
    Session { compositor, server: "xorg", parts: ON_X, eyes: "xvfb", runs, painted: true }
}

/// Runs as the user in the root, with an empty folder at /mnt. It waits until all processes
/// that are named are there, has the compositor do what each key in `KEYS` does and waits for its
/// process in `LATER`, and takes a picture if all are still there.
const SCRIPT: &str = r#"
name=$1; shift
export XDG_RUNTIME_DIR=/tmp/run; mkdir -m 0700 /tmp/run; cd
entry=/usr/share/xsessions/$name.desktop
if [ ! -e "$entry" ]; then
	entry=/usr/share/wayland-sessions/$name.desktop
	export WLR_BACKENDS=headless WLR_RENDERER=pixman WLR_LIBINPUT_NO_DEVICES=1
else
	mkdir -m 1777 /tmp/.X11-unix
	Xvfb :9 -screen 0 1024x768x24 -fbdir /tmp -noreset -nolisten tcp 2>/dev/null &
	until [ -S /tmp/.X11-unix/X9 ]; do sleep 1; done
	export DISPLAY=:9
	# As Debian's Xsession does.
	if [ -e .Xresources ]; then xrdb -merge .Xresources; fi
fi
dbus-run-session -- $(sed -n 's/^Exec=//p' "$entry" | head -n 1) >/mnt/words 2>&1 &
for process; do until cat /proc/[0-9]*/comm 2>/dev/null | grep -qx "$process"; do sleep 1; done; done
if [ -z "$DISPLAY" ] && [ -n "$KEYS" ]; then
	# Some launchers want a seat with a keyboard: this one is held for as long as it sleeps.
	WAYLAND_DISPLAY=$(basename "$(ls -d /tmp/run/wayland-? | head -n 1)") wtype -s 600000 -k Shift_L &
fi
config=$(ls .config/i3/config .config/sway/config 2>/dev/null)
tell() {
	if [ -n "$DISPLAY" ]; then i3-msg "$1"; else swaymsg -s "$(ls /tmp/run/sway-ipc.*.sock | head -n 1)" "$1"; fi
}
waiting=$LATER
for key in $KEYS; do
	tell "$(sed -n "s/^bindsym \$mod+$key //p" "$config")" >>/mnt/words 2>&1
	until cat /proc/[0-9]*/comm 2>/dev/null | grep -qx "${waiting%% *}"; do sleep 1; done
	waiting=${waiting#* }
	# Its window is to be there too: a launcher ends when another one takes the keyboard from it.
	sleep 8
done
sleep 15
for process in "$@" $LATER; do
	cat /proc/[0-9]*/comm 2>/dev/null | grep -qx "$process" || { echo "$process is gone" >>/mnt/words; exit 1; }
done
if [ -e /tmp/Xvfb_screen0 ]; then cp /tmp/Xvfb_screen0 /mnt/screen.xwd; exit; fi
WAYLAND_DISPLAY=$(basename "$(ls -d /tmp/run/wayland-? | head -n 1)") grim /mnt/screen.png
"#;

const KDE: Session = Session {
    parts: "terminal: konsole",
    painted: false,
    ..on_x("kde", &["plasmashell", "kwin_x11", "kded5"])
};
const GNOME: Session = Session {
    server: "wayland",
    parts: "terminal: gnome-terminal",
    eyes: "adwaita-icon-theme",
    ..on_x("gnome", &[])
};

/// As `SCRIPT`, for GNOME, which is its own eyes: a monitor that is not there, and what the bus has
/// to say. It wants a bus of the system too; nothing is on this one.
const GNOME_SCRIPT: &str = r#"
export XDG_RUNTIME_DIR=/tmp/run XDG_SESSION_TYPE=wayland XDG_CURRENT_DESKTOP=GNOME
mkdir -m 0700 /tmp/run; mkdir -m 1777 /tmp/.X11-unix; cd
export DBUS_SYSTEM_BUS_ADDRESS=unix:path=/tmp/run/system
dbus-daemon --session --fork --nopidfile --address="$DBUS_SYSTEM_BUS_ADDRESS"
cat >/tmp/session <<'SESSION'
ask() { gdbus call --session --dest "$1" --object-path "$2" --method "$3" "$4" $5 $6; }
gnome-shell --headless --unsafe-mode --virtual-monitor 1024x768 >/mnt/shell 2>&1 &
until ask org.gnome.Shell /org/gnome/Shell org.gnome.Shell.Eval 'Main.layoutManager._startingUp' 2>/dev/null | grep -q false
do sleep 1; done
# From the overview that it starts with to the desktop.
ask org.gnome.Shell /org/gnome/Shell org.gnome.Shell.Eval 'Main.overview.hide()' >/mnt/words
sleep 10
for key in color-scheme gtk-theme; do gsettings get org.gnome.desktop.interface $key; done >>/mnt/words
ask org.gnome.Shell.Screenshot /org/gnome/Shell/Screenshot org.gnome.Shell.Screenshot.Screenshot false false /mnt/screen.png
SESSION
dbus-run-session -- sh /tmp/session
"#;

impl Session {
    fn spec(&self) -> String {
        let Self { compositor, server, parts, eyes, .. } = self;
        format!(
            "apiVersion: bootwright/v1\nkind: OsImage\nmetadata: {{name: desktop}}\nspec:\n  base: debian\n  \
             suite: bookworm\n  architecture: x86_64\n  outputs: [rootfs]\n  channel: edge\n  \
             packages: {{extra: [{eyes}]}}\n  \
             display: {{server: {server}, compositor: {compositor}, {parts}, theme: nord}}\n  \
             defaults: {{users: [{{name: live}}]}}\n"
        )
    }

    /// The root that is built for it.
    fn root(&self) -> PathBuf {
        built(self.compositor, &self.spec())
    }

    /// Starts it in its root: what is on its screen then.
    fn picture(&self, root: &Path) -> Picture {
        self.shown(root).0
    }

    fn shown(&self, root: &Path) -> (Picture, String) {
        shown(root, self.compositor, self.runs, ["", ""])
    }
}

/// The root that is built for a spec of the image `desktop`.
pub(super) fn built(variant: &str, spec: &str) -> PathBuf {
    let image = Image::new("desktop", &format!("-{variant}"));
    std::fs::remove_dir_all(image.dir.join("specs/pictures")).unwrap();
    std::fs::write(image.dir.join("specs/desktop.yaml"), spec).unwrap();
    let (release, _) = image.publish();
    let (root, archive) = (image.dir.join("root"), file(&release, ".rootfs.tar.zst"));
    std::fs::create_dir(&root).unwrap();
    run(&root, "tar", &["--zstd", "-xpf", archive.to_str().unwrap()]);
    std::fs::remove_dir_all(image.dir.join("releases")).unwrap();
    root
}

/// Starts a session in its root until all these processes are there, presses keys and waits for
/// what they start: what is on its screen then, and what it said.
pub(super) fn shown(root: &Path, name: &str, runs: &[&str], [keys, later]: [&str; 2]) -> (Picture, String) {
    let out = root.parent().unwrap().join("out");
    let _ = std::fs::remove_dir_all(&out);
    std::fs::create_dir(&out).unwrap();
    run(&out, "chmod", &["0777", "."]);
    let mut bwrap = command("bwrap");
    bwrap.arg("--bind").arg(root).args(["/", "--dev", "/dev", "--proc", "/proc"]);
    for folder in ["/tmp", "/dev/shm", "/run"] {
        bwrap.args(["--perms", "1777", "--tmpfs", folder]);
    }
    bwrap.arg("--bind").arg(&out).arg("/mnt");
    bwrap.args(["--unshare-pid", "--unshare-net", "--unshare-ipc", "--die-with-parent", "--clearenv"]);
    for (name, value) in [
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
        ("HOME", "/home/live"),
        ("USER", "live"),
        ("SHELL", "/bin/sh"),
        ("LANG", "C.UTF-8"),
        ("KEYS", keys),
        ("LATER", later),
    ] {
        bwrap.args(["--setenv", name, value]);
    }
    bwrap.args(["timeout", "300", "setpriv", "--reuid=live", "--regid=live", "--init-groups"]);
    let (script, name) = match name {
        "gnome" => (GNOME_SCRIPT, name),
        "kde" => (SCRIPT, "plasma"),
        _ => (SCRIPT, name),
    };
    bwrap.args(["sh", "-c", script, "sh", name]).args(runs);
    let began = Instant::now();
    let status = bwrap.status().unwrap();
    let words = std::fs::read_to_string(out.join("words")).unwrap_or_default();
    assert!(status.success(), "{name}: {runs:?} {later} is not all there: {words}");
    assert!(began.elapsed() < Duration::from_mins(6));
    let picture = match std::fs::read(out.join("screen.png")) {
        Ok(bytes) => Picture::of(&bytes).unwrap(),
        Err(_) => of_xwd(&std::fs::read(out.join("screen.xwd")).unwrap()),
    };
    (picture, words)
}

/// The screen of Xvfb as `-fbdir` keeps it (X11/XWDFile.h): a header of big-endian words,
/// colours, then rows of blue, green, red and nothing.
fn of_xwd(bytes: &[u8]) -> Picture {
    let word = |n: usize| u32::from_be_bytes(bytes[n * 4..n * 4 + 4].try_into().unwrap()) as usize;
    let (header, width, height, row, colours) = (word(0), word(4), word(5), word(12), word(19));
    assert_eq!((word(1), word(7), word(11)), (7, 0, 32), "version, byte order, bits of a pixel");
    let rows = bytes[header + colours * 12..].chunks_exact(row).take(height);
    let pixels = rows.flat_map(|row| row[..width * 4].chunks_exact(4).map(|p| [p[2], p[1], p[0]]));
    Picture { width, height, pixels: pixels.collect() }
}

#[test]
#[ignore = "builds and boots a whole image: make test-images"]
fn five_compositors_draw_what_was_asked_for() {
    let _one = machine();
    for session in &SESSIONS {
        let root = session.root();
        let picture = session.picture(&root);
        println!("{}: {}", session.compositor, picture.words());
        let colours = picture.colours();
        assert!(colours.len() > 50, "{}: {}", session.compositor, picture.words());
        if session.painted {
            // Nord's background on the screen, its accent behind the bar.
            let percent = |colour| colours.get(&colour).map_or(0, |n| n * 100 / picture.pixels.len());
            assert!(percent([0x2e, 0x34, 0x40]) >= 80, "{}: {}", session.compositor, picture.words());
            assert!(percent([0x88, 0xc0, 0xd0]) >= 2, "{}: {}", session.compositor, picture.words());
        }
        std::fs::remove_dir_all(root.parent().unwrap()).unwrap();
    }
}

#[test]
#[ignore = "builds and boots a whole image: make test-images"]
fn whole_desktops_come_up_as_they_were_asked_for() {
    let _one = machine();
    let root = GNOME.root();
    let (picture, words) = GNOME.shown(&root);
    println!("gnome: {}", picture.words());
    assert!(words.contains("'prefer-dark'") && words.contains("'Adwaita'"), "{words}");
    // Nord's background, below the bar.
    let nord = picture.colours().get(&[0x2e, 0x34, 0x40]).map_or(0, |n| n * 100 / picture.pixels.len());
    assert!(nord >= 80, "{}: {words}", picture.words());
    std::fs::remove_dir_all(root.parent().unwrap()).unwrap();

    let root = KDE.root();
    let (picture, words) = KDE.shown(&root);
    println!("kde: {}", picture.words());
    assert!(picture.colours().len() > 500, "{}: {words}", picture.words());
    // The panel at the bottom is dark, as Nord is.
    let panel = &picture.pixels[picture.pixels.len() - picture.width * 30..];
    let dark = panel.iter().filter(|pixel| pixel.iter().all(|part| *part < 0x40)).count();
    assert!(dark * 100 >= panel.len() * 60, "{dark} of {}: {}", panel.len(), picture.words());
    std::fs::remove_dir_all(root.parent().unwrap()).unwrap();
}
