//! Forms of texts: each function says whether a text is of the form, with the source of the form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// One line without control characters, of at most so many characters.
pub fn is_one_line(text: &str, longest: usize) -> bool {
    !text.trim().is_empty() && text.chars().count() <= longest && !text.chars().any(char::is_control)
}

/// A UTF-8 locale: `language[_TERRITORY].UTF-8[@modifier]` (locale(7)), or `C.UTF-8`.
pub fn is_locale(text: &str) -> bool {
    if text == "C.UTF-8" {
        return true;
    }
    let (head, modifier) = text.split_once('@').map_or((text, None), |(h, m)| (h, Some(m)));
    let Some(name) = head.strip_suffix(".UTF-8") else { return false };
    let (language, territory) = name.split_once('_').map_or((name, None), |(l, t)| (l, Some(t)));
    let lower = |t: &str| t.bytes().all(|b| b.is_ascii_lowercase());
    (2..=3).contains(&language.len())
        && lower(language)
        && territory.is_none_or(|t| t.len() == 2 && t.bytes().all(|b| b.is_ascii_uppercase()))
        && modifier.is_none_or(|m| (1..=16).contains(&m.len()) && lower(m))
}

/// A network in CIDR form (RFC 4632, RFC 4291), or one address; says why not.
pub fn check_network(text: &str) -> Result<(), String> {
    let (address, length) = text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
    let address: std::net::IpAddr =
        address.parse().map_err(|_| "not an address or network such as 192.0.2.0/24 or 2001:db8::/32")?;
    let (bits, width) = match address {
        std::net::IpAddr::V4(a) => (u128::from(u32::from(a)), 32),
        std::net::IpAddr::V6(a) => (u128::from(a), 128),
    };
    let Some(length) = length else { return Ok(()) };
    let plain = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
    let length = length.parse::<u32>().ok().filter(|l| plain && *l <= width);
    let length = length.ok_or_else(|| format!("the length after the slash goes from 0 to {width}"))?;
    let host = width - length;
    let host_bits = if host == 128 { bits } else { bits & ((1u128 << host) - 1) };
    if host_bits == 0 { Ok(()) } else { Err("bits are set behind the network's length".to_owned()) }
}

/// A hash in crypt(5) form by a method that is not broken; says why not, never what it was.
pub fn check_password_hash(text: &str) -> Result<(), &'static str> {
    const CLEAR: &str = "not a crypt(5) hash";
    if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"./$=,-".contains(&b)) {
        return Err(CLEAR);
    }
    let parts: Vec<&str> = text.split('$').collect();
    let last = parts.last().map_or(0, |p| p.len());
    let filled = parts.iter().skip(1).all(|p| !p.is_empty());
    let (fewest, hash_length) = match parts.as_slice() {
        ["", "y" | "gy", ..] => (5, 43..=43),
        ["", "7", ..] => (4, 43..=43),
        ["", "2b" | "2y", ..] => (4, 53..=53),
        ["", "6", ..] => (4, 86..=86),
        ["", "5", ..] => (4, 43..=43),
        ["", "1", ..] => return Err("an MD5 hash, which is broken"),
        _ => return Err(CLEAR),
    };
    if parts.len() >= fewest && parts.len() <= 5 && filled && hash_length.contains(&last) {
        Ok(())
    } else {
        Err("an incomplete crypt(5) hash")
    }
}

/// The key types that OpenSSH 9 still takes by default (sshd(8), "AUTHORIZED_KEYS FILE FORMAT").
const KEY_TYPES: [&str; 7] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
];

/// One OpenSSH public key: type, base64, comment; says why not.
pub fn check_ssh_key(text: &str) -> Result<(), String> {
    if text.contains("PRIVATE KEY") {
        return Err("this is a private key: take it out of the repository and replace it everywhere".into());
    }
    if !is_one_line(text, 16_384) {
        return Err("a key is one line".into());
    }
    let mut words = text.split(' ');
    let kind = words.next().unwrap_or_default();
    if !KEY_TYPES.contains(&kind) {
        return Err(format!("a key starts with its type, one of {}", KEY_TYPES.join(", ")));
    }
    let blob = words.next().unwrap_or_default();
    let damaged = || "the base64 text after the type is damaged".to_owned();
    let bytes = STANDARD.decode(blob).map_err(|_| damaged())?;
    let (inner, rest) = ssh_string(&bytes).ok_or_else(damaged)?;
    if inner != kind.as_bytes() || rest.is_empty() {
        return Err(damaged());
    }
    match kind {
        "ssh-rsa" => check_rsa(rest).ok_or_else(damaged)?,
        "ssh-ed25519" if ssh_string(rest).is_none_or(|(key, rest)| key.len() != 32 || !rest.is_empty()) => {
            Err(damaged())
        }
        _ => Ok(()),
    }
}

fn check_rsa(rest: &[u8]) -> Option<Result<(), String>> {
    let (_exponent, rest) = ssh_string(rest)?;
    let (modulus, rest) = ssh_string(rest)?;
    let zeros = modulus.iter().take_while(|b| **b == 0).count();
    let short = (modulus.len() - zeros) * 8 < 2048;
    rest.is_empty().then_some(if short {
        Err("an RSA key needs at least 2048 bits; better make an ed25519 key".to_owned())
    } else {
        Ok(())
    })
}

/// A length in four bytes and so many bytes (RFC 4251, section 5).
fn ssh_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}

/// Whether a time zone name is known; if not, the nearest one.
pub fn check_time_zone(name: &str) -> Result<(), Option<&'static str>> {
    if name.parse::<chrono_tz::Tz>().is_ok() {
        return Ok(());
    }
    let names: Vec<&'static str> = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()).collect();
    let city = names.iter().find(|n| n.rsplit('/').next().is_some_and(|c| c.eq_ignore_ascii_case(name)));
    Err(city.copied().or_else(|| super::super::shape::nearest(name, &names)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locales() {
        for good in ["C.UTF-8", "en_US.UTF-8", "de_DE.UTF-8@euro", "eo.UTF-8", "ast_ES.UTF-8"] {
            assert!(is_locale(good), "{good}");
        }
        for bad in ["en_US", "en_US.utf8", "english", "en_us.UTF-8", "", "C", "../x.UTF-8", "en_US.UTF-8@"] {
            assert!(!is_locale(bad), "{bad}");
        }
    }

    #[test]
    fn networks() {
        for good in ["192.0.2.0/24", "10.0.0.1", "::/0", "0.0.0.0/0", "2001:db8::/32", "::1"] {
            assert_eq!(check_network(good), Ok(()), "{good}");
        }
        for bad in
            ["192.0.2.1/24", "192.0.2.0/33", "::/129", "any", "10.0.0.0/", "10.0.0.0/+8", "2001:db8::1/32"]
        {
            assert!(check_network(bad).is_err(), "{bad}");
        }
    }

    /// Made with `openssl passwd -6`, `openssl passwd -5`, `mkpasswd -m yescrypt` and `mkpasswd -m bcrypt`.
    #[test]
    fn password_hashes() {
        let sha512 = format!("$6$rounds=5000$salt$s{}", "a".repeat(85));
        let yescrypt = format!("$y$j9T$F5Jx5fExrKuPp53xLKQ..1${}", "a".repeat(43));
        for good in [sha512.as_str(), &yescrypt, &format!("$5$salt${}", "b".repeat(43))] {
            assert_eq!(check_password_hash(good), Ok(()));
        }
        for bad in
            ["hunter2", "", "!", "*", "$6$salt$short", "$1$salt$abc", "$y$", "root:x", "$6$$a", "$6$a b$c"]
        {
            let why = check_password_hash(bad).unwrap_err();
            assert!(bad.is_empty() || bad.len() < 3 || !why.contains(bad));
        }
    }

    #[test]
    fn ssh_keys() {
        // ssh-keygen -t ed25519 -C demo
        let good =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f demo key";
        assert_eq!(check_ssh_key(good), Ok(()));
        for bad in [
            "",
            "ssh-ed25519",
            "ssh-ed25519 AAAA",
            "ssh-dss AAAAB3NzaC1kc3M= x",
            "from=\"10.0.0.1\" ssh-ed25519 AAAA",
            "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgME\nssh-rsa x",
            "-----BEGIN OPENSSH PRIVATE KEY-----",
        ] {
            assert!(check_ssh_key(bad).is_err(), "{bad}");
        }
        let mut short = vec![0, 0, 0, 7];
        short.extend(b"ssh-rsa");
        short.extend([0, 0, 0, 3, 1, 0, 1]);
        short.extend([0, 0, 0, 128]);
        short.extend([0x7f; 128]);
        let short = format!("ssh-rsa {}", STANDARD.encode(short));
        assert!(check_ssh_key(&short).unwrap_err().contains("2048"));
    }

    #[test]
    fn time_zones() {
        assert_eq!(check_time_zone("Europe/Berlin"), Ok(()));
        assert_eq!(check_time_zone("berlin"), Err(Some("Europe/Berlin")));
        assert_eq!(check_time_zone("Europe/Berlim"), Err(Some("Europe/Berlin")));
        assert_eq!(check_time_zone("../../etc/passwd").unwrap_err(), None);
    }
}
