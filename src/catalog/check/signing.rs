//! `signing` of `bootwright.yaml`: what can be said without reading keys or the clock. Whether
//! enough keys are active now is found out where both are at hand.

use super::Report;
use super::settings::{path_is_sane, web_address};
use crate::model::settings::{Keyless, Signing};
use crate::model::signing::{SigningKey, is_pem};

pub fn check(report: &mut Report<'_>, signing: &Signing) {
    for (field, path) in [("signing.key", &signing.key), ("signing.openpgpKey", &signing.openpgp_key)] {
        if let Some(path) = path {
            path_is_sane(report, field, path);
        }
    }
    for (index, key) in signing.trusted.iter().enumerate() {
        is_public_pem(report, &format!("signing.trusted[{index}]"), key);
    }
    if let Some(certificate) = &signing.openpgp_certificate {
        path_or_text(report, "signing.openpgpCertificate", certificate);
        if signing.openpgp_key.is_none() {
            report.conflict(
                "signing.openpgpCertificate",
                "nothing makes the signatures that this asks for",
                "Set `signing.openpgpKey` too.",
            );
        }
    }
    if let Some(keyless) = &signing.keyless {
        self::keyless(report, keyless);
    }
    keys(report, signing);
    threshold(report, signing);
}

fn keys(report: &mut Report<'_>, signing: &Signing) {
    if !signing.keys.is_empty() && (signing.key.is_some() || !signing.trusted.is_empty()) {
        let field = if signing.key.is_some() { "signing.key" } else { "signing.trusted" };
        report.conflict(
            field,
            format!("`{field}` and `signing.keys` do not go together"),
            "Make it an entry of `signing.keys`.",
        );
    }
    for (at, key) in signing.keys.iter().enumerate() {
        let field = format!("signing.keys[{at}]");
        one_key(report, &field, key);
        let earlier = &signing.keys[..at];
        if earlier.iter().any(|k| k.name == key.name) {
            report.error(
                &format!("{field}.name"),
                format!("two keys are called {}", key.name),
                "Give each key a name of its own.",
            );
        }
        if earlier.iter().any(|k| squeezed(&k.public) == squeezed(&key.public)) {
            report.error(
                &format!("{field}.public"),
                "this public key stands in the list twice",
                "Keep one of the two: a key counts once.",
            );
        }
    }
}

fn one_key(report: &mut Report<'_>, field: &str, key: &SigningKey) {
    let public = format!("{field}.public");
    if is_pem(&key.public) {
        is_public_pem(report, &public, &key.public);
    } else {
        path_is_sane(report, &public, &key.public);
    }
    if let Some(private) = &key.private {
        path_is_sane(report, &format!("{field}.private"), private);
    }
    if let (Some(from), Some(until)) = (key.from, key.until)
        && until <= from
    {
        report.conflict(
            &format!("{field}.until"),
            format!("key {} ends ({until}) before it begins ({from})", key.name),
            "Set an `until` after its `from`, or take the entry out.",
        );
    }
}

fn threshold(report: &mut Report<'_>, signing: &Signing) {
    let Some(threshold) = signing.threshold.map(|n| usize::from(n.get())) else { return };
    let keys = if signing.keys.is_empty() {
        signing.trusted.len() + usize::from(signing.key.is_some())
    } else {
        signing.keys.len()
    };
    if threshold > keys {
        report.conflict(
            "signing.threshold",
            format!("{threshold} keys must have signed, and the catalog has {keys}"),
            "Lower it, or add keys.",
        );
    }
}

fn keyless(report: &mut Report<'_>, keyless: &Keyless) {
    web_address(report, "signing.keyless.fulcioUrl", &keyless.fulcio_url);
    web_address(report, "signing.keyless.rekorUrl", &keyless.rekor_url);
    let parts = [
        ("trustedRoot", &keyless.trusted_root),
        ("identity", &keyless.identity),
        ("issuer", &keyless.issuer),
    ];
    let missing: Vec<&str> = parts.iter().filter(|(_, v)| v.is_none()).map(|(name, _)| *name).collect();
    if missing.len() == parts.len() {
        return;
    }
    for (name, value) in parts {
        let field = format!("signing.keyless.{name}");
        match value {
            Some(_) if !missing.is_empty() => report.conflict(
                &field,
                format!("nothing reads this: bundles cannot be checked without {}", missing.join(" and ")),
                "Set trustedRoot, identity and issuer, or none of them.",
            ),
            Some(text) if text.trim().is_empty() => {
                report.error(&field, format!("`{field}` is empty"), "Write what a bundle must carry.");
            }
            _ => {}
        }
    }
}

fn is_public_pem(report: &mut Report<'_>, field: &str, key: &str) {
    if !key.trim_start().starts_with("-----BEGIN PUBLIC KEY-----") {
        report.error(
            field,
            "this is not a public key in PEM",
            "Paste the text of a .pub file, with its BEGIN and END lines, after a |.",
        );
    }
}

fn path_or_text(report: &mut Report<'_>, field: &str, text: &str) {
    if !is_pem(text) {
        path_is_sane(report, field, text);
    }
}

/// A key however its lines are broken.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect()
}
