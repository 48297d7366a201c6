//! Signed envelopes: payload and signatures in one file, so that no reader can ever see one
//! without the other.
//!
//! Format: DSSE v1.0.2, JSON, one signature of [`super::keys`] over the pre-authentication
//! encoding `DSSEv1 LEN(type) type LEN(payload) payload`.

use super::keys::{PublicKey, Signer};
use crate::model::{Failure, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload_type: String,
    payload: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Serialize, Deserialize)]
struct EnvelopeSignature {
    /// A hint only: every trusted key is tried.
    #[serde(default)]
    keyid: String,
    sig: String,
}

/// The bytes that are signed (DSSE protocol, "PAE").
fn pre_authentication(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// Seals a payload: one line of JSON with a line end.
///
/// # Errors
/// As [`Signer::sign`].
pub fn seal(payload_type: &str, payload: &[u8], signer: &Signer) -> Result<String> {
    let envelope = Envelope {
        payload_type: payload_type.to_owned(),
        payload: BASE64.encode(payload),
        signatures: vec![EnvelopeSignature {
            keyid: signer.public().id().hex(),
            sig: signer.sign(&pre_authentication(payload_type, payload))?,
        }],
    };
    let mut text = serde_json::to_string(&envelope)
        .map_err(|e| Failure::bug(format!("writing a signed envelope: {e}")))?;
    text.push('\n');
    Ok(text)
}

/// Opens an envelope: its payload, once a trusted key has signed it as `payload_type`.
///
/// # Errors
/// *Untrusted* if it cannot be read, is of another type, or no trusted key signed it.
pub fn open(payload_type: &str, envelope: &[u8], keys: &[PublicKey]) -> Result<Vec<u8>> {
    let envelope: Envelope = serde_json::from_slice(envelope)
        .map_err(|e| Failure::untrusted(format!("not a signed envelope: {e}")))?;
    if envelope.payload_type != payload_type {
        return Err(Failure::untrusted(format!(
            "the envelope holds {:?}, expected {payload_type:?}",
            envelope.payload_type
        )));
    }
    let payload = BASE64
        .decode(&envelope.payload)
        .map_err(|_| Failure::untrusted("the payload of the envelope is no base64"))?;
    if envelope.signatures.is_empty() {
        return Err(Failure::untrusted("the envelope has no signature"));
    }
    let signed = pre_authentication(payload_type, &payload);
    let trusted =
        envelope.signatures.iter().take(16).any(|s| keys.iter().any(|key| key.verifies(&signed, &s.sig)));
    if trusted {
        return Ok(payload);
    }
    let made_by: Vec<String> =
        envelope.signatures.iter().take(4).map(|s| s.keyid.chars().take(8).collect()).collect();
    Err(Failure::untrusted(format!("no trusted key signed it; it names key {:?}", made_by.join(", ")))
        .hint("Check that you have the publisher's present public key."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::keys::generate;

    fn signer() -> Signer {
        Signer::parse(&generate(None).unwrap().0, None).unwrap()
    }

    #[test]
    fn only_the_signed_payload_of_the_asked_type_comes_out() {
        let (signer, other) = (signer(), signer());
        let keys = [signer.public().clone()];
        let text = seal("t", b"{\"a\":1}", &signer).unwrap();
        assert_eq!(open("t", text.as_bytes(), &keys).unwrap(), b"{\"a\":1}");
        assert!(open("u", text.as_bytes(), &keys).is_err());
        assert!(open("t", text.as_bytes(), &[]).is_err());
        assert!(open("t", text.as_bytes(), &[other.public().clone()]).is_err());
        let swapped = text.replace(&BASE64.encode(b"{\"a\":1}"), &BASE64.encode(b"{\"a\":2}"));
        assert_ne!(swapped, text);
        assert!(open("t", swapped.as_bytes(), &keys).is_err());
        let renamed = text.replace("\"payloadType\":\"t\"", "\"payloadType\":\"u\"");
        assert!(open("u", renamed.as_bytes(), &keys).is_err(), "the type is signed too");
        for bad in ["", "{}", "[]", r#"{"payloadType":"t","payload":"e30=","signatures":[]}"#] {
            assert!(open("t", bad.as_bytes(), &keys).is_err(), "{bad}");
        }
    }

    #[test]
    fn encoding_is_the_protocols_own_example() {
        let encoded = pre_authentication("http://example.com/HelloWorld", b"hello world");
        assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }
}
