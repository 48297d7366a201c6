//! Texts that are checked once, when a document is read, and what they mean.

use super::size::Size;
use crate::model::name::{BadName, checked_name};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether all bytes of a text are letters, digits or one of `also`.
fn only(text: &str, also: &[u8]) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || also.contains(&b))
}

/// Whether a text starts with a letter or digit.
fn starts_plain(text: &str) -> bool {
    text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
}

/// Whether the steps of a path, split at `/`, lead nowhere but down.
fn goes_down(path: &str) -> bool {
    path.split('/').all(|step| !step.is_empty() && step != "." && step != ".." && !step.starts_with('-'))
}

checked_name! {
    /// A file or folder of the catalog by its path from the catalog's root: `specs/pictures/logo.png`.
    CatalogPath, "path in the catalog",
    "write it from the catalog's root, without `..`, with letters, digits and . _ - + @ /",
    "^[A-Za-z0-9._][A-Za-z0-9._+@/-]{0,254}$",
    |t| (1..=255).contains(&t.len()) && only(t, b"._+@/-") && goes_down(t)
}

checked_name! {
    /// A file or folder of the running system: `/var/lib/postgresql`.
    SystemPath, "path of the system",
    "start with /, without `..` and a slash at the end, with letters, digits and . _ - + @ /",
    "^/([A-Za-z0-9._+@-]+(/[A-Za-z0-9._+@-]+)*)?$",
    |t| t.len() <= 255
        && t.strip_prefix('/').is_some_and(|rest| rest.is_empty() || (only(rest, b"._+@/-") && goes_down(rest)))
}

checked_name! {
    /// Where a partition appears: `/`, `/boot`, `/home`.
    MountPoint, "mount point",
    "start with /, without `..` and a slash at the end, with letters, digits and . _ -",
    "^/([A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*)?$",
    |t| t.len() <= 255
        && t.strip_prefix('/').is_some_and(|rest| rest.is_empty() || (only(rest, b"._-/") && goes_down(rest)))
}

checked_name! {
    /// How much of the disk a partition takes: `20GiB`, `50%`, or `rest` for all that is left.
    PartitionSize, "size of a partition",
    "write a size such as 20GiB, a share from 1% to 100%, or rest",
    "^(rest|[1-9][0-9]?%|100%|[0-9]+ *([KMGT]i?B|B)?)$",
    |t| partition_extent(t).is_some()
}

/// How much of the disk a partition takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionExtent {
    /// So many bytes.
    Bytes(Size),
    /// A share of the disk, 1 to 100.
    Percent(u8),
    /// All that is left.
    Rest,
}

fn partition_extent(text: &str) -> Option<PartitionExtent> {
    if text == "rest" {
        return Some(PartitionExtent::Rest);
    }
    if let Some(number) = text.strip_suffix('%') {
        let plain = !number.starts_with('0') && number.bytes().all(|b| b.is_ascii_digit());
        let share = number.parse().ok().filter(|share| plain && (1..=100).contains(share))?;
        return Some(PartitionExtent::Percent(share));
    }
    text.parse::<Size>().ok().filter(|size| size.bytes() > 0).map(PartitionExtent::Bytes)
}

impl PartitionSize {
    /// What the text means.
    pub fn extent(&self) -> PartitionExtent {
        partition_extent(self.as_str()).unwrap_or(PartitionExtent::Rest)
    }
}

checked_name! {
    /// A span of time with its unit: `30s`, `10m`, `12h`, `7d`, `2w`.
    TimeSpan, "span of time",
    "write a whole number and one of s, m, h, d, w: 10m, 12h, 7d",
    "^[1-9][0-9]{0,5}[smhdw]$",
    |t| span_seconds(t).is_some()
}

fn span_seconds(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let plain = (1..=6).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    let number: u64 = number.parse().ok().filter(|n| plain && *n > 0 && !number.starts_with('0'))?;
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    Some(number * factor)
}

impl TimeSpan {
    /// The span in seconds.
    pub fn seconds(&self) -> u64 {
        span_seconds(self.as_str()).unwrap_or_default()
    }
}

checked_name! {
    /// A time of the day, 00:00 to 23:59.
    TimeOfDay, "time of the day",
    "write hours and minutes in quotes: \"03:30\"",
    "^([01][0-9]|2[0-3]):[0-5][0-9]$",
    |t| t.len() == 5
        && t.bytes().enumerate().all(|(at, b)| if at == 2 { b == b':' } else { b.is_ascii_digit() })
        && t[..2] < *"24" && t[3..] < *"60"
}

checked_name! {
    /// How often something happens: `hourly`, `daily`, `weekly`, `monthly`, or five cron fields.
    Timing, "timing",
    "write hourly, daily, weekly, monthly or five cron fields (minute, hour, day of month, month, day of week)",
    "^(hourly|daily|weekly|monthly|[0-9*/,-]+ [0-9*/,-]+ [0-9*/,-]+ [0-9A-Za-z*/,-]+ [0-9A-Za-z*/,-]+)$",
    |t| is_timing(t)
}

/// Names that the last two cron fields know.
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Four words, or five fields as crontab(5) has them.
fn is_timing(text: &str) -> bool {
    if matches!(text, "hourly" | "daily" | "weekly" | "monthly") {
        return true;
    }
    let fields: Vec<&str> = text.split(' ').collect();
    let bounds: [(u32, u32, &[&str]); 5] =
        [(0, 59, &[]), (0, 23, &[]), (1, 31, &[]), (1, 12, &MONTHS), (0, 7, &DAYS)];
    fields.len() == 5
        && fields.iter().zip(bounds).all(|(field, (least, most, names))| {
            field.split(',').all(|part| is_cron_part(part, least, most, names))
        })
}

fn is_cron_part(part: &str, least: u32, most: u32, names: &[&str]) -> bool {
    let number = |text: &str| {
        let named = names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let named = named.and_then(|at| u32::try_from(at).ok()).map(|at| at + least);
        let plain = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        named.or_else(|| text.parse().ok().filter(|_| plain)).filter(|n| (least..=most).contains(n))
    };
    let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
    let stepped = step.is_none_or(|step| {
        let plain = (1..=2).contains(&step.len()) && step.bytes().all(|b| b.is_ascii_digit());
        plain && step.parse::<u32>().is_ok_and(|n| n > 0)
    });
    let ranged = match range.split_once('-') {
        _ if range == "*" => true,
        Some((from, to)) => number(from).zip(number(to)).is_some_and(|(from, to)| from <= to),
        None => number(range).is_some() && step.is_none(),
    };
    stepped && ranged
}

checked_name! {
    /// The name of a theme: `Adwaita-dark`, `robbyrussell`.
    ThemeName, "theme name",
    "use letters, digits and . _ + - and inner spaces, 64 characters at most",
    "^[A-Za-z0-9]([A-Za-z0-9._+ -]{0,62}[A-Za-z0-9._+-])?$",
    |t| (1..=64).contains(&t.len()) && starts_plain(t) && only(t, b"._+ -") && !t.ends_with(' ') && !t.contains("..")
}

checked_name! {
    /// A colour: `#` and six hexadecimal digits.
    Color, "colour",
    "write # and six hexadecimal digits in quotes: \"#1d2021\"",
    "^#[0-9A-Fa-f]{6}$",
    |t| t.len() == 7 && t.strip_prefix('#').is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()))
}

checked_name! {
    /// One line that is shown to people: 1 to 60 characters.
    Title, "title",
    "use one line of at most 60 characters, without quotes, backslashes, braces, angle brackets, $ and `",
    "^[^\"'\\\\$`{}<>\\u0000-\\u001f\\u007f]{1,60}$",
    |t| {
        !t.trim().is_empty()
            && t.chars().count() <= 60
            && !t.chars().any(|c| c.is_control() || "\"'\\$`{}<>".contains(c))
    }
}

checked_name! {
    /// A keyboard model, layout or variant as X and the console know it: `pc105`, `de`, `nodeadkeys`.
    KeyboardName, "keyboard name",
    "use letters, digits, _ and -, 32 characters at most",
    "^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$",
    |t| (1..=32).contains(&t.len()) && starts_plain(t) && only(t, b"_-")
}

checked_name! {
    /// A keyboard option: `ctrl:nocaps`.
    KeyboardOption, "keyboard option",
    "write group:option, such as ctrl:nocaps",
    "^[A-Za-z0-9_-]{1,32}:[A-Za-z0-9_-]{1,32}$",
    |t| t.split_once(':').is_some_and(|(group, option)| {
        [group, option].iter().all(|word| (1..=32).contains(&word.len()) && only(word, b"_-"))
    })
}

checked_name! {
    /// A country by its two letters (ISO 3166): `DE`.
    CountryCode, "country code",
    "write two capital letters, such as DE",
    "^[A-Z]{2}$",
    |t| t.len() == 2 && t.bytes().all(|b| b.is_ascii_uppercase())
}

checked_name! {
    /// A web address that begins with https and carries no name or password.
    HttpsUrl, "web address",
    "start with https:// and a host name, without user name, password, spaces and quotes",
    "^https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~%/+=&?,@:-]*)?$",
    |t| is_https(t)
}

fn is_https(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("https://").filter(|_| text.len() <= 255) else { return false };
    let (authority, path) = rest.split_once('/').map_or((rest, ""), |(host, path)| (host, path));
    let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
    is_host(host)
        && port.is_none_or(|port| port.parse::<std::num::NonZeroU16>().is_ok())
        && only(path, b"._~%/+=&?,@:-")
        && !path.split('/').any(|step| step == "..")
}

/// A DNS name or an IPv4 address.
fn is_host(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && only(label, b"-")
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

checked_name! {
    /// A commit of a git repository: 40 or 64 hexadecimal digits.
    GitRevision, "git commit",
    "write the whole commit: 40 or 64 lower-case hexadecimal digits",
    "^([0-9a-f]{40}|[0-9a-f]{64})$",
    |t| matches!(t.len(), 40 | 64) && t.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

checked_name! {
    /// A language model as Ollama names it: `phi3:instruct`, `qwen3:1.7b`.
    ModelName, "model name",
    "write name or name:tag with letters, digits and . _ - /",
    "^[a-z0-9][A-Za-z0-9._/-]{0,95}(:[A-Za-z0-9._-]{1,64})?$",
    |t| {
        let (name, tag) = t.split_once(':').map_or((t, None), |(name, tag)| (name, Some(tag)));
        (1..=96).contains(&name.len())
            && name.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            && only(name, b"._/-")
            && goes_down(name)
            && tag.is_none_or(|tag| (1..=64).contains(&tag.len()) && only(tag, b"._-"))
    }
}

checked_name! {
    /// A kernel setting below `/proc/sys`: `net.ipv4.ip_forward`.
    SysctlKey, "kernel setting",
    "write it with dots, such as net.ipv4.ip_forward",
    "^[a-z0-9_]+(\\.[A-Za-z0-9_-]+){1,7}$",
    |t| t.len() <= 128
        && t.split('.').count() >= 2
        && t.split('.').count() <= 8
        && t.split('.').all(|part| !part.is_empty() && !part.starts_with('-') && only(part, b"_-"))
        && t.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

checked_name! {
    /// The value of a kernel setting: a number, or words.
    SysctlValue, "value of a kernel setting",
    "use letters, digits, spaces and . _ / : , -",
    "^[A-Za-z0-9._/:,-]+( [A-Za-z0-9._/:,-]+)*$",
    |t| (1..=128).contains(&t.len())
        && only(t, b"._/:,- ")
        && !t.contains("..")
        && t.split(' ').all(|word| match word.strip_prefix('-') {
            Some(number) => !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()),
            None => !word.is_empty(),
        })
}

checked_name! {
    /// Where backups go: a folder (`/srv/backup`), `sftp://user@host/path`, `s3://bucket/path` or
    /// `https://host/path` of a restic server. Never with a password in it.
    Destination, "destination of a backup",
    "write a folder, sftp://user@host[:port]/path, s3://bucket/path or https://host/path, without a password",
    "^(/|sftp://|s3://|https://)[A-Za-z0-9._+@:/-]*$",
    |t| destination(t).is_some()
}

/// Where backups go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DestinationKind<'a> {
    /// A folder of the running system, usually on another disk.
    Folder(&'a str),
    /// A folder of another host, over SSH.
    Sftp {
        /// The account there.
        user: &'a str,
        /// The host.
        host: &'a str,
        /// The SSH port.
        port: u16,
        /// The folder there.
        path: &'a str,
    },
    /// A bucket of an S3 service, with a path in it.
    S3 {
        /// The bucket.
        bucket: &'a str,
        /// The path in it; may be empty.
        path: &'a str,
    },
    /// A restic server.
    Rest(&'a str),
}

fn destination(text: &str) -> Option<DestinationKind<'_>> {
    if text.len() > 255 {
        return None;
    }
    if text.starts_with('/') {
        return SystemPath::try_from(text.to_owned())
            .is_ok_and(|path| path.as_str() != "/")
            .then_some(DestinationKind::Folder(text));
    }
    if text.starts_with("https://") {
        return (is_https(text) && !text.contains(['?', '@'])).then_some(DestinationKind::Rest(text));
    }
    if let Some(rest) = text.strip_prefix("s3://") {
        let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
        let fits = (3..=63).contains(&bucket.len()) && starts_plain(bucket) && only(bucket, b".-");
        return (fits && (path.is_empty() || (only(path, b"._+-/") && goes_down(path))))
            .then_some(DestinationKind::S3 { bucket, path });
    }
    let (user, rest) = text.strip_prefix("sftp://")?.split_once('@')?;
    let (authority, path) = rest.split_at(rest.find('/')?);
    let (host, port) = authority.split_once(':').unwrap_or((authority, "22"));
    let port = port.parse().ok().filter(|port| *port > 0)?;
    let user_fits = !user.is_empty() && user.len() <= 32 && starts_plain(user) && only(user, b"_-");
    let path_fits = SystemPath::try_from(path.to_owned()).is_ok();
    (user_fits && is_host(host) && path_fits).then_some(DestinationKind::Sftp { user, host, port, path })
}

impl Destination {
    /// What the text means.
    pub fn kind(&self) -> DestinationKind<'_> {
        destination(self.as_str()).unwrap_or(DestinationKind::Folder(self.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Debug;
    use std::str::FromStr;

    fn all<T: FromStr<Err: Debug> + Debug>(good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(text.parse::<T>().is_ok(), "{text:?} {}", std::any::type_name::<T>());
        }
        let hostile =
            ["", " ", "$(touch x)", "`id`", "a;b", "a\nb", "../x", "/../x", "a'b", "a\"b", "\0", "-rf"];
        for text in bad.iter().chain(&hostile) {
            assert!(text.parse::<T>().is_err(), "{text:?} {}", std::any::type_name::<T>());
        }
    }

    #[test]
    fn paths() {
        all::<CatalogPath>(&["specs/a.png", "specs/dotfiles/me", ".config"], &["/a", "a//b", "a/", "a/../b"]);
        all::<SystemPath>(&["/", "/srv/backup", "/etc/wg0.conf"], &["srv", "/srv/", "//", "/a b"]);
        all::<MountPoint>(&["/", "/boot/efi", "/home"], &["home", "/home/", "swap", "/a+b"]);
    }

    #[test]
    fn sizes_and_times() {
        all::<PartitionSize>(
            &["rest", "50%", "100%", "512MiB"],
            &["0%", "101%", "050%", "%", "0", "20 gigs", "-5GiB"],
        );
        assert_eq!("50%".parse::<PartitionSize>().unwrap().extent(), PartitionExtent::Percent(50));
        all::<TimeSpan>(
            &["30s", "10m", "1h", "7d", "2w"],
            &["10", "m", "0m", "05m", "1y", "1.5h", "10 m", "1é"],
        );
        assert_eq!("10m".parse::<TimeSpan>().unwrap().seconds(), 600);
        all::<TimeOfDay>(&["00:00", "23:59", "03:30"], &["24:00", "3:30", "12:60", "12-30", "é:30"]);
        all::<Timing>(
            &["daily", "0 3 * * 1", "*/15 * * * *", "0 0 1,15 jan-mar mon-fri"],
            &["yearly", "0 3 * *", "60 * * * *", "* * * * * *", "5/2 * * * *", "*/0 * * * *", "5-1 * * * *"],
        );
    }

    #[test]
    fn names() {
        all::<ThemeName>(&["Adwaita-dark", "Arc Dark", "agnoster"], &["a/b", "a..b", "x "]);
        all::<Color>(&["#1d2021", "#FFFFFF"], &["red", "#fff", "1d2021", "#12345g"]);
        for bad in ["", " ", "a{b}", "a<b>", "a\nb", "$(id)", "`id`", "a'b", "a\"b"] {
            assert!(bad.parse::<Title>().is_err(), "{bad:?}");
        }
        assert!("Grüße 1.0; schön".parse::<Title>().is_ok());
        all::<ModelName>(&["phi3:instruct", "qwen3:1.7b", "library/llama3"], &["Phi", "a:", "a:b:c", "a//b"]);
        all::<GitRevision>(&["0123456789abcdef0123456789abcdef01234567"], &["main", "0123456", "v1.0"]);
        all::<CountryCode>(&["DE", "US"], &["de", "DEU"]);
        all::<KeyboardOption>(&["ctrl:nocaps"], &["ctrl", ":", "a:b:c"]);
        all::<SysctlKey>(&["vm.swappiness", "net.ipv4.conf.all.rp_filter"], &["vm", ".a", "a.", "a b.c"]);
        all::<SysctlValue>(&["1", "bbr", "4096 87380 6291456"], &["a  b", " a", "a=b"]);
    }

    #[test]
    fn addresses() {
        all::<HttpsUrl>(
            &["https://example.org", "https://example.org:8443/a/b.git"],
            &[
                "http://example.org",
                "https://",
                "https://a:b@example.org",
                "https://a b",
                "https://example.org:0",
            ],
        );
        all::<Destination>(
            &["/srv/backup", "sftp://me@nas:2222/backup", "s3://bucket/a", "https://rest.example.org/me"],
            &[
                "/",
                "sftp://nas/backup",
                "sftp://me:pw@nas/b",
                "s3://",
                "s3://x",
                "ftp://a/b",
                "https://u:p@h/x",
            ],
        );
        let destination: Destination = "sftp://me@nas:2222/backup".parse().unwrap();
        assert_eq!(
            destination.kind(),
            DestinationKind::Sftp { user: "me", host: "nas", port: 2222, path: "/backup" }
        );
    }
}
