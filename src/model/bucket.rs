//! Where a bucket is: `s3://BUCKET/PREFIX`, and the service that has it.

use super::{Failure, Result};

/// Where a bucket is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The bucket.
    pub bucket: String,
    /// The path in it, without slashes at its ends; empty for all of it.
    pub prefix: String,
    /// The address of the service; Amazon's own where there is none.
    pub endpoint: Option<String>,
    /// Its region.
    pub region: Option<String>,
    /// Whether the bucket's name is a part of the host name and not of the path.
    pub virtual_hosted_style: bool,
}

/// Whether a text is meant to be a bucket's address.
pub fn is_bucket(text: &str) -> bool {
    text.starts_with("s3://")
}

impl Access {
    /// Reads `s3://BUCKET` or `s3://BUCKET/PREFIX` (bucket names: Amazon S3 User Guide,
    /// "General purpose bucket naming rules").
    ///
    /// # Errors
    /// Class *spec* if it is none.
    pub fn parse(address: &str) -> Result<Self> {
        let bad = |why: &str| {
            Failure::spec(format!("{address:?} is not the address of a bucket: {why}"))
                .hint("Write it as s3://BUCKET or s3://BUCKET/PREFIX.")
        };
        let rest = address.strip_prefix("s3://").ok_or_else(|| bad("it does not begin with s3://"))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let fits = (3..=63).contains(&bucket.len())
            && bucket.bytes().all(|b| plain(b) || b == b'-' || b == b'.')
            && bucket.bytes().next().is_some_and(plain)
            && bucket.bytes().next_back().is_some_and(plain)
            && !bucket.contains("..");
        if !fits {
            return Err(bad("a bucket has 3 to 63 small letters, digits, - and ."));
        }
        let part_fits = |part: &str| {
            part.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        if prefix.len() > 512 || !(prefix.is_empty() || prefix.split('/').all(part_fits)) {
            return Err(bad("a prefix has letters, digits, . _ and -, and / between its parts"));
        }
        Ok(Self { bucket: bucket.to_owned(), prefix: prefix.to_owned(), ..Self::default() })
    }
}

/// Whether an endpoint is spoken to without TLS, which is for this host only.
///
/// # Errors
/// Class *spec* if it is no address, or another host without TLS.
pub fn is_plain_http(endpoint: &str) -> Result<bool> {
    let bad = || {
        Failure::spec(format!("{endpoint:?} is not the address of an S3 service"))
            .hint("Write it as https://host, without user name and password; http goes to this host only.")
    };
    let (scheme, rest) = endpoint.split_once("://").ok_or_else(bad)?;
    let host = rest.strip_suffix('/').unwrap_or(rest);
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let fits = !name.is_empty()
        && endpoint.len() <= 2048
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b));
    let here = ["localhost", "::1"].contains(&name) || is_loopback(name);
    match scheme {
        "https" if fits => Ok(false),
        "http" if fits && here => Ok(true),
        _ => Err(bad()),
    }
}

/// `127.0.0.0/8` (RFC 1122, section 3.2.1.3).
fn is_loopback(name: &str) -> bool {
    let parts: Vec<&str> = name.split('.').collect();
    parts.len() == 4 && parts[0] == "127" && parts.iter().all(|part| part.parse::<u8>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let access = Access::parse("s3://images/a/b.c/").unwrap();
        assert_eq!((access.bucket.as_str(), access.prefix.as_str()), ("images", "a/b.c"));
        assert_eq!(Access::parse("s3://my.bucket-1").unwrap().prefix, "");
        for bad in [
            "s3://",
            "s3://ab",
            "s3:///x",
            "s3://Images",
            "s3://-images",
            "s3://images-",
            "s3://a..b",
            "s3://images//x",
            "s3://images/../x",
            "s3://images/.hidden",
            "s3://images/a b",
            "s3://images/a%2fb",
            "s3://user@images",
            "s3://images?x=1",
            "https://images",
            "images",
        ] {
            assert!(Access::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_this_host_is_spoken_to_without_tls() {
        for plain in ["http://127.0.0.1:9000", "http://localhost", "http://[::1]:80/"] {
            assert!(is_plain_http(plain).unwrap(), "{plain}");
        }
        assert!(!is_plain_http("https://s3.example.org").unwrap());
        for bad in [
            "http://s3.example.org",
            "http://10.0.0.1",
            "http://127.0.0.1.example.org",
            "http://localhost.example.org",
            "http://localhost@example.org",
            "https://user:word@s3.example.org",
            "https://s3.example.org/?x=1",
            "https://s3.example.org/path",
            "https://",
            "ftp://127.0.0.1",
            "s3.example.org",
            "",
        ] {
            assert!(is_plain_http(bad).is_err(), "{bad:?}");
        }
    }
}
