//! Signed envelopes: payload and signatures in one file, so that no reader can ever see one
//! without the other.
//!
//! Format: DSSE v1.0.2, JSON, one signature of [`super::keys`] for each signer over the
//! pre-authentication encoding `DSSEv1 LEN(type) type LEN(payload) payload`.

use super::keys::{Signer, Standing, Trust};
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
    /// A hint only: every known key is tried.
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
pub fn seal(payload_type: &str, payload: &[u8], signers: &[&Signer]) -> Result<String> {
    let signed = pre_authentication(payload_type, payload);
    let sign = |signer: &&Signer| {
        Ok(EnvelopeSignature { keyid: signer.public().id().hex(), sig: signer.sign(&signed)? })
    };
    let envelope = Envelope {
        payload_type: payload_type.to_owned(),
        payload: BASE64.encode(payload),
        signatures: signers.iter().map(sign).collect::<Result<_>>()?,
    };
    let mut text = serde_json::to_string(&envelope)
        .map_err(|e| Failure::bug(format!("writing a signed envelope: {e}")))?;
    text.push('\n');
    Ok(text)
}

/// An envelope that was read and that nobody has vouched for yet.
#[derive(Debug)]
pub struct Sealed {
    payload: Vec<u8>,
    standing: Standing,
    /// The keys that it says signed it, shortened.
    names: String,
}

impl Sealed {
    /// Reads an envelope and looks who signed it as `payload_type`.
    ///
    /// # Errors
    /// *Untrusted* if it cannot be read or is of another type.
    pub fn read(payload_type: &str, envelope: &[u8], trust: &Trust) -> Result<Self> {
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
        let signed = pre_authentication(payload_type, &payload);
        let standing = trust.judge(&signed, envelope.signatures.iter().map(|s| s.sig.as_str()));
        let short = |s: &EnvelopeSignature| s.keyid.chars().take(8).collect::<String>();
        let names: Vec<String> = envelope.signatures.iter().take(4).map(short).collect();
        Ok(Self { payload, standing, names: names.join(", ") })
    }

    /// Who signed it.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// The payload, if enough active keys signed it.
    ///
    /// # Errors
    /// *Untrusted* if not.
    pub fn open(self) -> Result<Vec<u8>> {
        match &self.standing {
            Standing::Unknown if self.names.is_empty() => {
                Err(Failure::untrusted("the envelope has no signature"))
            }
            Standing::Unknown => Err(Failure::untrusted(format!(
                "no trusted key signed it; it names key {:?}",
                self.names
            ))
            .hint("Check that you have the publisher's present public key. A publisher who dropped the key puts it back into `signing.keys`, with an `until`, and lets both sign.")),
            standing => standing.accept().map(|()| self.payload),
        }
    }

    /// The payload, if any key signed it that counts or once counted.
    ///
    /// # Errors
    /// *Untrusted* if not.
    pub fn open_known(self) -> Result<Vec<u8>> {
        if self.standing == Standing::Unknown { self.open() } else { Ok(self.payload) }
    }
}

/// The payload of an envelope, whoever signed it: for bytes that something else vouches for.
///
/// # Errors
/// *Untrusted* if it cannot be read or is of another type.
pub fn open_vouched(payload_type: &str, envelope: &[u8]) -> Result<Vec<u8>> {
    Sealed::read(payload_type, envelope, &Trust::of([])).map(|sealed| sealed.payload)
}

/// Opens an envelope: its payload, once enough trusted keys have signed it as `payload_type`.
///
/// # Errors
/// *Untrusted* if it cannot be read, is of another type, or too few trusted keys signed it.
pub fn open(payload_type: &str, envelope: &[u8], trust: &Trust) -> Result<Vec<u8>> {
    Sealed::read(payload_type, envelope, trust)?.open()
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
        let keys = Trust::of([signer.public().clone()]);
        let text = seal("t", b"{\"a\":1}", &[&signer]).unwrap();
        assert_eq!(open("t", text.as_bytes(), &keys).unwrap(), b"{\"a\":1}");
        assert!(open("u", text.as_bytes(), &keys).is_err());
        assert!(open("t", text.as_bytes(), &Trust::of([])).is_err());
        assert!(open("t", text.as_bytes(), &Trust::of([other.public().clone()])).is_err());
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
    fn several_sign_and_the_threshold_is_kept() {
        let (a, b) = (signer(), signer());
        let both = Trust::of([a.public().clone(), b.public().clone()]).with_threshold(2);
        let text = seal("t", b"x", &[&a, &b]).unwrap();
        assert_eq!(open("t", text.as_bytes(), &both).unwrap(), b"x");
        for too_few in [seal("t", b"x", &[&a]).unwrap(), seal("t", b"x", &[&a, &a]).unwrap()] {
            let failure = open("t", too_few.as_bytes(), &both).unwrap_err();
            assert!(failure.message.contains("1 of the 2 keys"), "{failure}");
        }
    }

    #[test]
    fn encoding_is_the_protocols_own_example() {
        let encoded = pre_authentication("http://example.com/HelloWorld", b"hello world");
        assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }
}
