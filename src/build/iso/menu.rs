//! The boot menu: GRUB's configuration, as text made from values.
//!
//! Titles and kernel flags come from a catalog and are not trusted: GRUB's script language
//! would run what is in them. Text goes between single quotes, where nothing has a
//! meaning (GRUB manual, "Quoting"), and what GRUB or the kernel would still read
//! otherwise is refused.

use super::theme;
use crate::model::recipe::BootMenu;
use crate::model::spec::Architecture;
use crate::model::{Digest, Failure, Result};
use crate::tables::Live;

/// Letters of a title that fit into a menu line of 80 columns.
const LONGEST_TITLE: usize = 72;
/// The kernel's `COMMAND_LINE_SIZE` on x86, with the ending NUL.
const COMMAND_LINE_SIZE: usize = 2048;
/// Loop devices that the kernel makes by itself (`CONFIG_BLK_DEV_LOOP_MIN_COUNT`). live-boot
/// takes only those that are there, one for each module.
const LOOP_DEVICES: usize = 8;
/// Words that say where the system is and which build it is: not the catalog's to set.
const RESERVED: [&str; 18] = [
    "boot",
    "live-media",
    "live-media-path",
    "live-media-offset",
    "module",
    "fromiso",
    "findiso",
    "root",
    "rootflags",
    "rootfstype",
    "layerfs-path",
    "rd.live.image",
    "rd.live.dir",
    "rd.live.squashimg",
    "archisobasedir",
    "archisolabel",
    "archisodevice",
    "archisosearchuuid",
];

/// What the menu speaks about beside the catalog's wishes.
#[derive(Debug, Clone, Copy)]
pub struct System<'a> {
    /// The build that this ISO is.
    pub build: Digest,
    /// What it runs on.
    pub architecture: Architecture,
    /// How it finds its root.
    pub live: &'a Live,
    /// The medium's volume id.
    pub label: &'a str,
    /// How many squashfs modules are stacked.
    pub modules: usize,
}

/// The name of the file by which GRUB knows this ISO from any other medium.
pub fn marker(build: Digest) -> String {
    format!(".disk/bootwright-{}", build.hex())
}

/// What GRUB reads first, under BIOS and UEFI: it looks for this very ISO and goes on there.
pub fn first_stage(build: Digest) -> String {
    format!(
        "search --no-floppy --file --set=root /{}\n\
         set prefix=($root)/boot/grub\n",
        marker(build)
    )
}

/// One way to start, as the menu shows it.
#[derive(Debug)]
pub(in crate::build) struct Start<'a> {
    /// The word that GRUB knows it by.
    pub id: &'static str,
    /// The kernel's path.
    pub kernel: &'a str,
    /// The paths of the initramfs archives.
    pub initrd: &'a str,
    /// The first words of the kernel command line: where the system is.
    pub words: &'a str,
    /// What it runs on.
    pub architecture: Architecture,
}

/// `boot/grub/grub.cfg` of an ISO.
///
/// # Errors
/// Class *spec* if the title or a kernel flag cannot be taken.
pub fn grub_cfg(menu: &BootMenu, system: System<'_>) -> Result<String> {
    let live = system.live;
    let mut initrd = format!("/{}", live.initrd);
    if live.identity.is_some() {
        initrd.push_str(&format!(" /{}", medium(live)));
    }
    let start = Start {
        id: "live",
        kernel: &format!("/{}", live.kernel),
        initrd: &initrd,
        words: &live_words(system),
        architecture: system.architecture,
    };
    configuration(menu, system.build, &start)
}

/// One line of a menu.
#[derive(Debug)]
pub(in crate::build) struct Entry {
    /// As people read it.
    pub title: String,
    /// The word that the boot loader knows it by.
    pub id: &'static str,
    /// The kernel command line.
    pub line: String,
}

/// One system, started with few and with all messages. `quote` makes a kernel flag one word for
/// the boot loader.
///
/// # Errors
/// Class *spec* if the title or a kernel flag cannot be taken.
pub(in crate::build) fn entries(
    menu: &BootMenu,
    start: &Start<'_>,
    quote: fn(&str) -> String,
) -> Result<[Entry; 2]> {
    let title = title(menu)?.to_owned();
    let verbose = format!("{title} (all messages)");
    let line = |words| command_line(menu, start, words, quote);
    Ok([
        Entry { title, id: start.id, line: line(QUIET)? },
        Entry { title: verbose, id: "verbose", line: line(VERBOSE)? },
    ])
}

/// GRUB's configuration with one system, started with few and with all messages.
///
/// # Errors
/// Class *spec* if the title or a kernel flag cannot be taken.
pub(in crate::build) fn configuration(menu: &BootMenu, build: Digest, start: &Start<'_>) -> Result<String> {
    let mut cfg = format!(
        "# Bootwright build {build}\n\
         set default=0\n\
         set timeout={timeout}\n\
         set timeout_style=menu\n\
         set gfxpayload=keep\n",
        build = build.hex(),
        timeout = menu.timeout,
    );
    if start.architecture == Architecture::X86_64 {
        cfg.push_str(SERIAL);
    }
    cfg.push_str(&theme::set_up(menu));
    for Entry { title, id, line } in entries(menu, start, quoted)? {
        cfg.push_str(&format!(
            "menuentry {title} --id {id} {{\n\
             \x20 linux {kernel} {line}\n\
             \x20 initrd {initrd}\n\
             }}\n",
            title = quoted(&title),
            kernel = start.kernel,
            initrd = start.initrd,
        ));
    }
    cfg.push_str(
        "if [ \"$grub_platform\" = efi ]; then\n\
         \x20 menuentry 'Firmware setup' --id firmware {\n\
         \x20   fwsetup\n\
         \x20 }\n\
         fi\n",
    );
    Ok(cfg)
}

/// A PC's first serial line. On ARM the firmware's console is on the serial line already.
const SERIAL: &str = "\
if serial --unit=0 --speed=115200; then
  terminal_input console serial
  terminal_output console serial
fi
";

/// The first serial line, as the kernel calls it.
fn serial_line(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "ttyS0",
        Architecture::Aarch64 => "ttyAMA0",
    }
}

/// Messages of the kernel from warnings up, and systemd's.
const QUIET: &str = "quiet loglevel=4 systemd.show_status=1";
/// Everything.
const VERBOSE: &str = "loglevel=7 systemd.show_status=1 systemd.log_level=info ignore_loglevel";

fn title(menu: &BootMenu) -> Result<&str> {
    let field = "customization.bootloader.title";
    if menu.title.trim().is_empty() {
        return Err(Failure::spec(format!("{field} is empty")).hint("Write a title or leave the field out."));
    }
    if menu.title.chars().count() > LONGEST_TITLE {
        return Err(Failure::spec(format!(
            "{field} has {} letters, {LONGEST_TITLE} fit into a menu line",
            menu.title.chars().count()
        ))
        .hint("Shorten the title."));
    }
    if let Some(bad) = menu.title.chars().find(|c| reorders_or_controls(*c)) {
        return Err(Failure::spec(format!("{field} has the control character U+{:04X}", u32::from(bad)))
            .hint("Use letters, digits, spaces and punctuation on one line."));
    }
    Ok(&menu.title)
}

/// Control characters, line ends, and marks that make text read otherwise than it stands.
fn reorders_or_controls(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}'..='\u{200f}' | '\u{feff}')
}

/// Text as one word of GRUB's script language.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// The place of the small initramfs that ties the other one to its medium: beside it.
pub fn medium(live: &Live) -> String {
    match live.initrd.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/medium.img"),
        None => "medium.img".to_owned(),
    }
}

/// Where the live system finds its root.
fn live_words(system: System<'_>) -> String {
    let mut line = format!("{} bootwright.build={}", system.live.words(system.label), system.build.hex());
    if system.modules + 1 > LOOP_DEVICES {
        // One more for `findiso`.
        line.push_str(&format!(" loop.max_loop={}", (system.modules + 1).next_power_of_two()));
    }
    line
}

fn command_line(
    menu: &BootMenu,
    start: &Start<'_>,
    words: &str,
    quote: fn(&str) -> String,
) -> Result<String> {
    let mut line = start.words.to_owned();
    line.push_str(&format!(" console=tty0 console={},115200 ", serial_line(start.architecture)));
    line.push_str(words);
    // GRUB adds BOOT_IMAGE=KERNEL in front.
    let mut length = line.len() + "BOOT_IMAGE= ".len() + start.kernel.len();
    for flag in &menu.kernel_flags {
        check_flag(flag)?;
        length += flag.len() + 1;
        line.push(' ');
        line.push_str(&quote(flag));
    }
    if length >= COMMAND_LINE_SIZE {
        return Err(Failure::spec(format!(
            "kernel.customFlags make a command line of {length} bytes, the kernel takes {}",
            COMMAND_LINE_SIZE - 1
        ))
        .hint("Move module options into an overlay file below etc/modprobe.d."));
    }
    Ok(line)
}

fn check_flag(flag: &str) -> Result<()> {
    let refuse = |why: &str, hint: &str| {
        Err(Failure::spec(format!("kernel.customFlags: {flag:?} {why}")).hint(hint.to_owned()))
    };
    if flag.is_empty() {
        return refuse("is empty", "Remove the entry.");
    }
    if let Some(bad) = flag.chars().find(|c| !c.is_ascii_graphic() || "'\"\\".contains(*c)) {
        let hint = "Write each flag as one list entry, in ASCII, without spaces, quotes and backslashes.";
        return refuse(&format!("has the character {bad:?}"), hint);
    }
    let name = flag.split('=').next().unwrap_or(flag);
    // The kernel reads - and _ as the same letter in names.
    let same = |reserved: &str| name.replace('_', "-").eq_ignore_ascii_case(reserved);
    if RESERVED.iter().any(|reserved| same(reserved)) || name.starts_with("bootwright.") {
        return refuse("is set by Bootwright", "Remove it: where the system is found is fixed.");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn menu(title: &str, flags: &[&str]) -> BootMenu {
        BootMenu {
            kind: Default::default(),
            title: title.to_owned(),
            timeout: 3,
            splash: None,
            colors: None,
            kernel_flags: flags.iter().map(|f| (*f).to_owned()).collect(),
        }
    }

    fn system(modules: usize) -> System<'static> {
        let live = crate::tables::live("live-boot").unwrap();
        System { build: Digest::of("x"), architecture: Architecture::X86_64, live, label: "T", modules }
    }

    #[test]
    fn every_live_system_has_its_own_words_and_places() {
        let cfg = |name: &str| {
            let live = crate::tables::live(name).unwrap();
            grub_cfg(&menu("t", &[]), System { live, label: "EDGE_01", ..system(1) }).unwrap()
        };
        let debian = cfg("live-boot");
        assert!(debian.contains(" linux /live/vmlinuz boot=live live-media-path=/live bootwright.build="));
        assert!(debian.contains(" initrd /live/initrd.img /live/medium.img\n"), "{debian}");
        let dracut = cfg("dmsquash-live");
        assert!(dracut.contains(" linux /images/pxeboot/vmlinuz root=live:CDLABEL=EDGE_01 rd.live.image"));
        assert!(dracut.contains(" initrd /images/pxeboot/initrd.img\n"), "{dracut}");
        let arch = cfg("archiso");
        assert!(arch.contains(" archisobasedir=arch archisolabel=EDGE_01 bootwright.build="), "{arch}");
        let casper = cfg("casper");
        assert!(casper.contains(" initrd /casper/initrd /casper/medium.img\n"), "{casper}");
        for flag in ["archisolabel=X", "rd.live.image=0", "layerfs_path=x"] {
            assert!(grub_cfg(&menu("t", &[flag]), system(1)).is_err(), "{flag}");
        }
    }

    #[test]
    fn titles_cannot_leave_their_quotes() {
        let cfg = grub_cfg(&menu("a'; reboot; '$(halt) ${x} \\ \"", &[]), system(3)).unwrap();
        let line = cfg.lines().find(|l| l.starts_with("menuentry")).unwrap();
        assert_eq!(line, "menuentry 'a'\\''; reboot; '\\''$(halt) ${x} \\ \"' --id live {");
    }

    #[test]
    fn hostile_titles_are_refused() {
        for bad in
            ["", "  ", "a\nmenuentry x {", "a\r", "a\0", "a\u{1b}[2J", "a\u{202e}b", "a\u{85}", "a\u{2028}b"]
        {
            assert!(grub_cfg(&menu(bad, &[]), system(3)).is_err(), "{bad:?}");
        }
        assert!(grub_cfg(&menu(&"x".repeat(73), &[]), system(3)).is_err());
        assert!(grub_cfg(&menu(&"ü".repeat(72), &[]), system(3)).is_ok());
    }

    #[test]
    fn hostile_flags_are_refused() {
        let bad = [
            "",
            "a b",
            "a\nb",
            "a'b",
            "a\"b",
            "a\\b",
            "ä",
            "boot=local",
            "BOOT=live",
            "live-media=/dev/sda",
            "live_media_path=/x",
            "bootwright.build=0",
            "root=/dev/sda1",
            "a\tb",
            "findiso=/x.iso",
        ];
        for flag in bad {
            assert!(grub_cfg(&menu("t", &[flag]), system(3)).is_err(), "{flag:?}");
        }
        assert!(grub_cfg(&menu("t", &[&"x".repeat(2000)]), system(3)).is_err());
    }

    #[test]
    fn a_plain_menu_has_no_theme_and_a_coloured_one_does() {
        let plain = menu("t", &[]);
        assert!(!grub_cfg(&plain, system(3)).unwrap().contains("theme"));
        let coloured = BootMenu { colors: Some(Default::default()), ..plain };
        let cfg = grub_cfg(&coloured, system(3)).unwrap();
        let (theme, entry) = (cfg.find("set theme=$prefix/theme.txt"), cfg.find("menuentry"));
        assert!(theme.is_some() && theme < entry, "{cfg}");
    }

    #[test]
    fn flags_come_last_and_quoted() {
        let cfg = grub_cfg(&menu("t", &["net.ifnames=0", "x=$(y);z"]), system(3)).unwrap();
        let line = cfg.lines().find(|l| l.contains("linux /live/vmlinuz")).unwrap();
        assert!(line.ends_with("systemd.show_status=1 'net.ifnames=0' 'x=$(y);z'"), "{line}");
        assert!(line.contains(&format!("bootwright.build={}", Digest::of("x").hex())));
    }

    #[test]
    fn arm_has_another_serial_line() {
        let arm = System { architecture: Architecture::Aarch64, ..system(3) };
        let cfg = grub_cfg(&menu("t", &[]), arm).unwrap();
        assert!(cfg.contains("console=ttyAMA0,115200") && !cfg.contains("ttyS0"), "{cfg}");
        assert!(!cfg.contains("serial --unit"), "{cfg}");
        let pc = grub_cfg(&menu("t", &[]), system(3)).unwrap();
        assert!(pc.contains("console=ttyS0,115200") && pc.contains("serial --unit=0"), "{pc}");
    }

    #[test]
    fn more_modules_than_loop_devices_get_more_devices() {
        let cfg = |n| grub_cfg(&menu("t", &[]), system(n)).unwrap();
        assert!(!cfg(7).contains("max_loop"));
        assert!(cfg(8).contains("loop.max_loop=16"));
        assert!(cfg(15).contains("loop.max_loop=16"));
        assert!(cfg(16).contains("loop.max_loop=32"));
    }
}
