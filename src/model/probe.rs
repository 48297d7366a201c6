//! The protocol between a booted image and its verifier, over a virtio-serial port.
//!
//! The host speaks first, and every answer repeats the host's nonce and carries the
//! image's build id, so that neither a recording nor another image can pass for it. What
//! arrives is written by the guest: the [`Reader`] bounds it and drops what it cannot read.
//!
//! ```text
//! host   hello 5f…c2
//! guest  begin hello 5f…c2 <build id>
//! guest  boot-id 1b4e28ba-2fa1-11d2-883f-0016d3cca427
//! guest  kernel 6.1.0-30-amd64
//! guest  firmware uefi
//! guest  end hello 5f…c2 <build id>
//! ```

mod checks;

use super::check::Check;
use super::digest::Digest;
use super::name::{ImageName, UnitName};
use super::spec::{Init, Protocol};
use std::collections::BTreeMap;
use std::fmt;

/// The name of the port: `/dev/virtio-ports/` + this in the guest.
pub const PORT: &str = "org.bootwright.verify.0";

/// The name under which a graphical session writes into the journal (`probe.sh` reads it there).
pub const SESSION: &str = "bootwright-session";

/// Lines longer than this are cut, in bytes.
const LONGEST_LINE: usize = 1024;
/// Facts of one answer; more are dropped.
const MOST_FACTS: usize = 4096;

/// A file that every image carries so that it can be verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeFile {
    /// Path in the image, without the leading slash.
    pub path: &'static str,
    /// Permissions; the owner is root. `None` for a symbolic link.
    pub mode: Option<u32>,
    /// Content, or where the link points.
    pub bytes: Vec<u8>,
}

/// The files that let an image prove that it is build `build_id` of `image`, sorted by path.
///
/// The init system starts the probe when the port is there; in a machine without the port
/// nothing of this ever runs, and no boot waits for it. The image carries the questions of
/// `checks`; the expected answers stay with the verifier where they can.
pub fn files(build_id: &Digest, image: &ImageName, init: Init, checks: &[Check]) -> Vec<ProbeFile> {
    let file = |path, mode, bytes: &[u8]| ProbeFile { path, mode: Some(mode), bytes: bytes.to_vec() };
    let link = |path, to: &str| ProbeFile { path, mode: None, bytes: to.as_bytes().to_vec() };
    let asks: &[u8] = match init {
        Init::Systemd => include_bytes!("probe/systemd.sh"),
        Init::Openrc => include_bytes!("probe/openrc.sh"),
        Init::Runit => concat!(include_str!("probe/sysv.sh"), include_str!("probe/runit.sh")).as_bytes(),
        Init::S6 => concat!(include_str!("probe/sysv.sh"), include_str!("probe/s6.sh")).as_bytes(),
    };
    let mut files = vec![
        file(BUILD_ID_PATH, 0o644, format!("{}\n", build_id.hex()).as_bytes()),
        file("usr/lib/bootwright/checker", 0o755, include_bytes!("probe/checker.sh")),
        file("usr/lib/bootwright/checks", 0o644, checks::lines(checks).as_bytes()),
        file("usr/lib/bootwright/image", 0o644, format!("{image}\n").as_bytes()),
        file("usr/lib/bootwright/init", 0o644, asks),
        file("usr/lib/bootwright/probe", 0o755, include_bytes!("probe/probe.sh")),
    ];
    match init {
        // udev starts it when the port appears, however late.
        Init::Systemd => files.extend([
            file(
                "usr/lib/systemd/system/bootwright-probe.service",
                0o644,
                include_bytes!("probe/bootwright-probe.service"),
            ),
            file(
                "usr/lib/udev/rules.d/90-bootwright-probe.rules",
                0o644,
                include_bytes!("probe/90-bootwright-probe.rules"),
            ),
        ]),
        // Last of the default runlevel: by then udev has settled.
        Init::Openrc => files.extend([
            file("etc/init.d/bootwright-probe", 0o755, include_bytes!("probe/openrc.service")),
            link("etc/runlevels/default/bootwright-probe", "/etc/init.d/bootwright-probe"),
        ]),
        Init::S6 => files.extend([
            file("etc/s6/sv/bootwright-probe/run", 0o755, include_bytes!("probe/runit.run")),
            link("etc/s6/default/bootwright-probe", "../sv/bootwright-probe"),
        ]),
        Init::Runit => files.extend([
            file("etc/sv/bootwright-probe/run", 0o755, include_bytes!("probe/runit.run")),
            link("etc/runit/runsvdir/default/bootwright-probe", "/etc/sv/bootwright-probe"),
        ]),
    }
    files.sort_by_key(|file| file.path);
    files
}

/// Where an image keeps its build id: 64 hexadecimal digits and a line feed.
pub const BUILD_ID_PATH: &str = "usr/lib/bootwright/build-id";

/// A number used once: 32 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nonce(String);

impl Nonce {
    /// A nonce of 16 random bytes.
    pub fn new(random: [u8; 16]) -> Self {
        Self(hex::encode(random))
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the host may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Who are you?
    Hello,
    /// How are you, and these units?
    Check,
    /// Restart cleanly.
    Reboot,
    /// Power off cleanly.
    Poweroff,
}

impl Verb {
    fn as_str(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Check => "check",
            Self::Reboot => "reboot",
            Self::Poweroff => "poweroff",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Hello, Self::Check, Self::Reboot, Self::Poweroff].into_iter().find(|v| v.as_str() == text)
    }

    /// The request as one line.
    pub fn ask(self, nonce: &Nonce) -> String {
        format!("{} {nonce}\n", self.as_str())
    }
}

/// The request for the system's state and that of `units`, as one line.
pub fn ask_check(nonce: &Nonce, units: &[UnitName]) -> String {
    let mut line = format!("{} {nonce}", Verb::Check.as_str());
    for unit in units {
        line.push(' ');
        line.push_str(&unit.full());
    }
    line.push('\n');
    line
}

/// A whole answer, from `begin` to `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What it answers.
    pub verb: Verb,
    /// The nonce it repeats; the caller compares it.
    pub nonce: String,
    /// The build id it carries; the caller compares it.
    pub build_id: String,
    /// What it says.
    pub facts: Facts,
}

impl Answer {
    /// Whether it answers the question that was asked with `nonce`.
    pub fn answers(&self, nonce: &Nonce) -> bool {
        self.nonce == nonce.0
    }

    /// Whether it comes from the image of this build.
    pub fn is_from(&self, build_id: &Digest) -> bool {
        self.build_id == build_id.hex()
    }
}

/// Facts that a guest told of itself. Absent is not the same as false.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The image's name.
    pub image: Option<String>,
    /// `/proc/sys/kernel/random/boot_id`: another one after each boot.
    pub boot_id: Option<String>,
    /// The kernel's release.
    pub kernel: Option<String>,
    /// Whether UEFI started it (`/sys/firmware/efi` is there).
    pub uefi: Option<bool>,
    /// Whether Secure Boot is on (UEFI variable `SecureBoot`).
    pub secure_boot: Option<bool>,
    /// `systemctl is-system-running`.
    pub state: Option<String>,
    /// Units in state *failed*.
    pub failed: Vec<Unit>,
    /// The last journal lines of failed units and of [`SESSION`]: whose, line.
    pub journal: Vec<(String, String)>,
    /// The units that were asked for.
    pub units: Vec<Unit>,
    /// What the checker found, by the number of the check; the first word on it counts.
    pub results: BTreeMap<usize, String>,
    /// Sockets that wait for others.
    pub listening: Vec<Listening>,
    /// Seconds since the kernel started, as `/proc/uptime` has them.
    pub uptime: Option<String>,
    /// `/proc/sys/kernel/tainted`.
    pub taint: Option<u64>,
    /// The lines of `systemd-analyze time`.
    pub time: Vec<String>,
}

/// A unit as systemd sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Full name.
    pub name: String,
    /// `LoadState`: `loaded`, `not-found`, …
    pub load: String,
    /// `ActiveState`: `active`, `failed`, …
    pub active: String,
    /// `SubState`: `running`, `exited`, …
    pub sub: String,
    /// `Result`: `success`, `exit-code`, …
    pub result: String,
}

/// A socket that waits for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listening {
    /// Its protocol.
    pub protocol: Protocol,
    /// The port.
    pub port: u16,
    /// Whether only the machine itself can reach it.
    pub loopback: bool,
}

impl Facts {
    /// Takes one line in; lines of an unknown kind, and malformed ones, are no facts.
    fn add(&mut self, line: &str) {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        let text = || Some(value.trim().to_owned()).filter(|v| !v.is_empty());
        match key {
            "image" => self.image = text(),
            "boot-id" => self.boot_id = text(),
            "kernel" => self.kernel = text(),
            "firmware" => self.uefi = one_of(value, "uefi", "bios"),
            "secure-boot" => self.secure_boot = one_of(value, "1", "0"),
            "state" => self.state = text(),
            "failed" => self.failed.extend(parse_unit(value)),
            "unit" => self.units.extend(parse_unit(value)),
            "journal" => {
                self.journal.extend(value.split_once(' ').map(|(u, l)| (u.to_owned(), l.to_owned())));
            }
            "result" => {
                let (number, found) = value.split_once(' ').unwrap_or((value, ""));
                if let Ok(number) = number.parse() {
                    self.results.entry(number).or_insert_with(|| found.trim().to_owned());
                }
            }
            "listen" => self.listening.extend(parse_listening(value)),
            "uptime" => self.uptime = value.split_whitespace().next().map(str::to_owned),
            "taint" => self.taint = value.trim().parse().ok(),
            "time" => self.time.extend(text()),
            _ => {}
        }
    }
}

fn one_of(value: &str, yes: &str, no: &str) -> Option<bool> {
    match value.trim() {
        v if v == yes => Some(true),
        v if v == no => Some(false),
        _ => None,
    }
}

fn parse_unit(value: &str) -> Option<Unit> {
    let mut words = value.split_whitespace().map(str::to_owned);
    let unit = Unit {
        name: words.next()?,
        load: words.next()?,
        active: words.next()?,
        sub: words.next()?,
        result: words.next()?,
    };
    words.next().is_none().then_some(unit)
}

/// `tcp 0100007F:0016`: addresses as in `/proc/net/tcp`, `udp6` and so on (proc(5)): words of
/// 32 bits in the host's byte order, which is little endian on everything we boot.
fn parse_listening(value: &str) -> Option<Listening> {
    let (family, socket) = value.trim().split_once(' ')?;
    let (address, port) = socket.split_once(':')?;
    let digits = |text: &str, n| text.len() == n && text.bytes().all(|b| b.is_ascii_hexdigit());
    let loopback = match family {
        "tcp" | "udp" if digits(address, 8) => address.ends_with("7F"),
        "tcp6" | "udp6" if digits(address, 32) => {
            address == "00000000000000000000000001000000"
                || (address.starts_with("0000000000000000FFFF0000") && address.ends_with("7F"))
        }
        _ => return None,
    };
    let port = digits(port, 4).then(|| u16::from_str_radix(port, 16).ok())??;
    let protocol = if family.starts_with("udp") { Protocol::Udp } else { Protocol::Tcp };
    Some(Listening { protocol, port, loopback })
}

/// Puts answers together from the bytes that come out of the port.
#[derive(Debug, Default)]
pub struct Reader {
    line: Vec<u8>,
    open: Option<(Answer, usize)>,
}

impl Reader {
    /// Takes more bytes in and gives the answers that are whole now.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Answer> {
        let mut answers = Vec::new();
        for &byte in bytes {
            if byte == b'\n' {
                let line = clean(&std::mem::take(&mut self.line));
                answers.extend(self.take_line(&line));
            } else if self.line.len() < LONGEST_LINE {
                self.line.push(byte);
            }
        }
        answers
    }

    fn take_line(&mut self, line: &str) -> Option<Answer> {
        if let Some((verb, nonce, build_id)) = parse_edge(line, "begin") {
            // Whatever was open was never ended: the guest died in the middle of it.
            let answer = Answer {
                verb,
                nonce: nonce.to_owned(),
                build_id: build_id.to_owned(),
                facts: Facts::default(),
            };
            self.open = Some((answer, 0));
            return None;
        }
        if let Some((verb, nonce, build_id)) = parse_edge(line, "end") {
            return self
                .open
                .take()
                .map(|(answer, _)| answer)
                .filter(|a| a.verb == verb && a.nonce == nonce && a.build_id == build_id);
        }
        if let Some((answer, count)) = &mut self.open
            && *count < MOST_FACTS
        {
            *count += 1;
            answer.facts.add(line);
        }
        None
    }
}

fn parse_edge<'a>(line: &'a str, edge: &str) -> Option<(Verb, &'a str, &'a str)> {
    let mut words = line.split(' ');
    if words.next() != Some(edge) {
        return None;
    }
    let verb = Verb::parse(words.next()?)?;
    let (nonce, build_id) = (words.next()?, words.next()?);
    words.next().is_none().then_some((verb, nonce, build_id))
}

/// Guests write what they like; what is kept must not steer a terminal or a page.
fn clean(line: &[u8]) -> String {
    String::from_utf8_lossy(line).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonce() -> Nonce {
        Nonce::new([7; 16])
    }

    fn answer(body: &str) -> Vec<Answer> {
        let (n, id) = (nonce(), Digest::of("build").hex());
        Reader::default().push(format!("begin check {n} {id}\n{body}\nend check {n} {id}\n").as_bytes())
    }

    fn facts(body: &str) -> Facts {
        answer(body).remove(0).facts
    }

    #[test]
    fn an_answer_arrives_in_pieces() {
        let (n, id) = (nonce(), Digest::of("build"));
        let text = format!(
            "noise\nbegin hello {n} {h}\nboot-id abc\nkernel 6.1\nfirmware uefi\nsecure-boot    1\nend hello {n} {h}\n",
            h = id.hex()
        );
        let mut reader = Reader::default();
        let answers: Vec<_> = text.as_bytes().chunks(3).flat_map(|c| reader.push(c)).collect();
        let [answer] = answers.as_slice() else { panic!("{answers:?}") };
        assert!(answer.answers(&n) && answer.is_from(&id) && answer.verb == Verb::Hello);
        assert_eq!(answer.facts.uefi, Some(true));
        assert_eq!(answer.facts.secure_boot, Some(true));
    }

    #[test]
    fn facts_are_read() {
        let facts = facts(
            "state degraded\nfailed ssh.service loaded failed failed exit-code\njournal ssh.service no host keys\n\
             unit nginx.service loaded active running success\nlisten tcp 0100007F:0016\nlisten tcp 00000000:0050\n\
             listen tcp6 00000000000000000000000001000000:0277\nlisten udp 00000000:0035\n\
             result 1 0 yes policy drop;\nresult 1 later words\nresult 2\nresult x 3\nuptime 34.12 60.00\ntaint 0\n\
             time Startup finished in 3.2s (kernel)",
        );
        assert_eq!(facts.state.as_deref(), Some("degraded"));
        assert_eq!(facts.failed[0].result, "exit-code");
        assert_eq!(facts.journal[0].1, "no host keys");
        assert_eq!(facts.units[0].active, "active");
        let ports: Vec<_> = facts.listening.iter().map(|l| (l.port, l.loopback)).collect();
        assert_eq!(ports, [(22, true), (80, false), (631, true), (53, false)]);
        assert_eq!(facts.listening[3].protocol, Protocol::Udp);
        assert_eq!(facts.results, BTreeMap::from([(1, "0 yes policy drop;".to_owned()), (2, String::new())]));
        assert_eq!((facts.uptime.as_deref(), facts.taint), (Some("34.12"), Some(0)));
    }

    #[test]
    fn what_is_no_answer_is_none() {
        let (n, id) = (nonce(), Digest::of("build").hex());
        for bad in [
            format!("end check {n} {id}\n"),
            format!("begin check {n} {id}\nstate running\n"),
            format!("begin check {n} {id}\nend hello {n} {id}\n"),
            format!("begin check {n} {id}\nend check other {id}\n"),
            format!("begin check {n} {id}\nend check {n} {}\n", Digest::of("x").hex()),
            format!("begin check {n}\nend check {n}\n"),
            format!("begin launch {n} {id}\nend launch {n} {id}\n"),
            format!("begin check {n} {id} more\nend check {n} {id} more\n"),
        ] {
            assert!(Reader::default().push(bad.as_bytes()).is_empty(), "{bad}");
        }
    }

    #[test]
    fn another_nonce_or_build_is_told_apart() {
        let (n, id) = (nonce(), Digest::of("build"));
        let text = format!(
            "begin hello {} {}\nend hello {} {}\n",
            "0".repeat(32),
            "1".repeat(64),
            "0".repeat(32),
            "1".repeat(64)
        );
        let answer = Reader::default().push(text.as_bytes()).remove(0);
        assert!(!answer.answers(&n) && !answer.is_from(&id));
    }

    #[test]
    fn malformed_facts_are_no_facts() {
        let facts = facts(
            "firmware maybe\nsecure-boot 7\nunit nginx.service active\nunit a b c d e f\nlisten tcp 0:0\n\
             listen raw 00000000:0050\nlisten tcp 00000000:+050\ntaint lots\nstate ",
        );
        assert_eq!(facts, Facts::default());
    }

    #[test]
    fn floods_are_bounded_and_cleaned() {
        let body = format!("kernel {}\nstate a\x1b[2Jb\n{}", "x".repeat(1 << 16), "time x\n".repeat(1 << 14));
        let facts = facts(&body);
        assert!(facts.kernel.unwrap().len() <= LONGEST_LINE);
        assert_eq!(facts.state.unwrap(), "a [2Jb");
        assert!(facts.time.len() < MOST_FACTS);
        let mut reader = Reader::default();
        reader.push(&vec![b'x'; 1 << 20]);
        assert!(reader.line.len() <= LONGEST_LINE);
    }

    #[test]
    fn requests_are_one_line_each() {
        let units: Vec<UnitName> = ["nginx", "a@b.service"].iter().map(|u| u.parse().unwrap()).collect();
        let line = ask_check(&nonce(), &units);
        assert_eq!(line, format!("check {} nginx.service a@b.service\n", "07".repeat(16)));
        assert_eq!(Verb::Reboot.ask(&nonce()), format!("reboot {}\n", "07".repeat(16)));
    }

    #[test]
    fn the_image_gets_its_build_id_and_the_port_has_one_name() {
        for init in [Init::Systemd, Init::Openrc, Init::Runit, Init::S6] {
            let files = files(&Digest::of("abc"), &"edge".parse().unwrap(), init, &[]);
            assert!(files.is_sorted_by_key(|f| f.path));
            let id = files.iter().find(|f| f.path == BUILD_ID_PATH).unwrap();
            assert_eq!(id.bytes, format!("{}\n", Digest::of("abc").hex()).as_bytes());
            for file in files.iter().filter(|f| f.path.contains("probe") && f.mode.is_some()) {
                assert!(String::from_utf8_lossy(&file.bytes).contains(PORT), "{}", file.path);
            }
        }
    }
}
