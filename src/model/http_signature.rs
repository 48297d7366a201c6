//! Signed HTTP requests: HTTP Message Signatures (RFC 9421) over method, path and
//! `Content-Digest` (RFC 9530), with Ed25519, a time and a nonce. One form only: what is written
//! otherwise is refused.

use super::digest::Digest;
use super::writer::WriterName;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// How far the clocks of two hosts may be apart, in seconds.
pub const SKEW: i64 = 300;

/// The headers of a signed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headers {
    /// `Content-Digest`.
    pub content_digest: String,
    /// `Signature-Input`.
    pub signature_input: String,
    /// `Signature`.
    pub signature: String,
}

/// What a request says of itself beside what it asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// When it was signed, in seconds since 1970.
    pub created: i64,
    /// 32 hexadecimal digits that no other request has.
    pub nonce: String,
    /// Who signed it.
    pub key_id: WriterName,
}

const COMPONENTS: &str = r#"("@method" "@path" "content-digest")"#;

impl Params {
    /// As they stand behind `sig=` in `Signature-Input`.
    fn text(&self) -> String {
        let Self { created, nonce, key_id } = self;
        format!(r#"{COMPONENTS};created={created};nonce="{nonce}";keyid="{key_id}";alg="ed25519""#)
    }

    /// What is signed.
    fn base(&self, method: &str, path: &str, content_digest: &str) -> Vec<u8> {
        format!(
            "\"@method\": {method}\n\"@path\": {path}\n\"content-digest\": {content_digest}\n\"@signature-params\": {}",
            self.text()
        )
        .into_bytes()
    }

    /// The headers of a request that `sign` (base64 of an Ed25519 signature) signs.
    pub fn sign(&self, method: &str, path: &str, body: &[u8], sign: impl FnOnce(&[u8]) -> String) -> Headers {
        let content_digest = content_digest(body);
        let signature = sign(&self.base(method, path, &content_digest));
        Headers {
            signature_input: format!("sig={}", self.text()),
            signature: format!("sig=:{signature}:"),
            content_digest,
        }
    }
}

/// What a request says of itself, if its headers have the one form and its body is what they say:
/// the parameters, the bytes that must be signed, and the signature over them in base64.
pub fn read(headers: &Headers, method: &str, path: &str, body: &[u8]) -> Option<(Params, Vec<u8>, String)> {
    let rest = headers.signature_input.strip_prefix("sig=")?.strip_prefix(COMPONENTS)?;
    let (created, rest) = rest.strip_prefix(";created=")?.split_once(";nonce=\"")?;
    let (nonce, rest) = rest.split_once("\";keyid=\"")?;
    let key_id = rest.strip_suffix("\";alg=\"ed25519\"")?;
    let is_nonce = nonce.len() == 32 && nonce.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let params = Params {
        created: created.parse().ok()?,
        nonce: is_nonce.then(|| nonce.to_owned())?,
        key_id: key_id.parse().ok()?,
    };
    let signature = headers.signature.strip_prefix("sig=:")?.strip_suffix(':')?.to_owned();
    let sound = headers.content_digest == content_digest(body)
        && headers.signature_input == format!("sig={}", params.text());
    let base = params.base(method, path, &headers.content_digest);
    sound.then_some((params, base, signature))
}

fn content_digest(body: &[u8]) -> String {
    format!("sha-256=:{}:", BASE64.encode(Digest::of(body).as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_form_with_the_right_body_is_read() {
        let params =
            Params { created: 1_800_000_000, nonce: "0".repeat(32), key_id: "bench-1".parse().unwrap() };
        let good = params.sign("POST", "/v1/writer/claim", b"{}", |bytes| BASE64.encode(bytes));
        let (read_params, base, signature) = read(&good, "POST", "/v1/writer/claim", b"{}").unwrap();
        assert_eq!((&read_params, BASE64.encode(&base)), (&params, signature));
        // Another method or path gives other bytes, which the signature does not hold for.
        assert_ne!(read(&good, "GET", "/v1/writer/claim", b"{}").unwrap().1, base);
        assert_ne!(read(&good, "POST", "/v1/writer/enroll", b"{}").unwrap().1, base);
        assert!(read(&good, "POST", "/v1/writer/claim", b"{} ").is_none());
        let changed = |from: &str, to: &str| Headers {
            signature_input: good.signature_input.replacen(from, to, 1),
            ..good.clone()
        };
        for (from, to) in [
            ("created=1", "created=+1"),
            ("created=", "expires="),
            ("\"@path\" ", ""),
            ("ed25519", "hmac-sha256"),
            ("bench-1", "../bench"),
            ("0000", "00\""),
            ("sig=", "sig1="),
        ] {
            assert!(read(&changed(from, to), "POST", "/v1/writer/claim", b"{}").is_none(), "{from} {to}");
        }
    }
}
