//! Keyless signatures: Sigstore bundles (v0.3) by an identity that a CI system vouches for.
//!
//! The identity token comes from the caller; service addresses and the trust root are
//! settings. A bundle says who signed, not whether we trust them: checking always names an
//! identity and its issuer.

use crate::effects::fetch::chain;
use crate::model::settings::Keyless;
use crate::model::{Failure, Result};
use sigstore_sign::oidc::IdentityToken;
use sigstore_sign::{Error, SigningContext, SigningServices};
use sigstore_verify::trust_root::TrustedRoot;
use sigstore_verify::types::Bundle;
use sigstore_verify::{VerificationPolicy, verify as verify_bundle};

/// The name of the file.
pub const FILE_NAME: &str = "SHA256SUMS.sigstore.json";

/// Signs `bytes` with a certificate that the identity token buys; gives the bundle's JSON.
///
/// # Errors
/// Class *upstream* if a service cannot be reached or refuses, class *spec* if the token or
/// an address is none. The token stands in no message.
pub async fn sign(bytes: &[u8], services: &Keyless, identity_token: &str) -> Result<String> {
    let token = IdentityToken::from_jwt(identity_token).map_err(|_| {
        Failure::spec("the identity token is no JSON web token")
            .hint("Let the CI system give one for the audience \"sigstore\".")
    })?;
    if token.is_expired() {
        return Err(Failure::upstream("the identity token has expired")
            .hint("Ask the CI system for a new one right before signing."));
    }
    let context =
        SigningContext::new(SigningServices::new(services.fulcio_url.as_str(), services.rekor_url.as_str()));
    let bundle = context.signer(token).sign(bytes).await.map_err(|e| signing_failure(&e, services))?;
    bundle.to_json_pretty().map_err(|e| Failure::bug(format!("writing {FILE_NAME}: {e}")))
}

fn signing_failure(error: &Error, services: &Keyless) -> Failure {
    let words = chain(error);
    match error {
        Error::Fulcio(_) => {
            Failure::upstream(format!("the certificate authority {}: {words}", services.fulcio_url))
        }
        Error::Rekor(_) => Failure::upstream(format!("the transparency log {}: {words}", services.rekor_url)),
        Error::Config(_) => Failure::spec(format!("keyless signing: {words}")),
        _ => Failure::upstream(format!("keyless signing: {words}")),
    }
    .hint("Check signing.keyless in bootwright.yaml and that the services can be reached.")
}

/// Checks a bundle over `bytes`: certificate chain, log entry and signature against the
/// trust root (`trusted_root.json`), and that `identity` of `issuer` signed.
///
/// # Errors
/// *Untrusted* if anything does not hold; class *spec* if the trust root cannot be read.
pub fn verify(bytes: &[u8], bundle: &str, trusted_root: &str, identity: &str, issuer: &str) -> Result<()> {
    let root = TrustedRoot::from_json(trusted_root)
        .map_err(|e| Failure::spec(format!("the Sigstore trust root cannot be read: {}", chain(&e))))?;
    let bundle = Bundle::from_json(bundle)
        .map_err(|e| Failure::untrusted(format!("{FILE_NAME} is no Sigstore bundle: {}", chain(&e))))?;
    let policy = VerificationPolicy::new(identity, issuer);
    verify_bundle(bytes, &bundle, &policy, &root).map(|_| ()).map_err(|e| {
        Failure::untrusted(format!("{FILE_NAME} does not hold for {identity} of {issuer}: {}", chain(&e)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FailureClass;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    fn services(port: u16) -> Keyless {
        Keyless {
            fulcio_url: format!("http://127.0.0.1:{port}"),
            rekor_url: format!("http://127.0.0.1:{port}"),
            trusted_root: None,
            identity: None,
            issuer: None,
        }
    }

    fn token(expires: i64) -> String {
        let part = |json: String| URL_SAFE_NO_PAD.encode(json);
        format!(
            "{}.{}.c2VjcmV0c2lnbmF0dXJl",
            part(r#"{"alg":"RS256","typ":"JWT"}"#.to_owned()),
            part(format!(
                r#"{{"iss":"https://issuer.example","sub":"me","aud":"sigstore","email":"me@example.org","iat":1700000000,"exp":{expires}}}"#
            ))
        )
    }

    fn run(token: &str, port: u16) -> Failure {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(sign(b"x", &services(port), token)).unwrap_err()
    }

    #[test]
    fn an_unreachable_service_is_upstreams_and_named() {
        // Bound and dropped: nobody listens there.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let token = token(4_000_000_000);
        let failure = run(&token, port);
        assert_eq!(failure.class, FailureClass::Upstream);
        assert!(
            failure.message.contains(&format!("certificate authority http://127.0.0.1:{port}")),
            "{failure}"
        );
        assert!(!format!("{failure:?}").contains(&token));
    }

    #[test]
    fn bad_tokens_never_reach_a_service() {
        assert_eq!(run("not-a-token", 1).class, FailureClass::Spec);
        assert!(run(&token(1_700_000_001), 1).message.contains("expired"));
    }

    #[test]
    fn junk_is_no_bundle() {
        let root = sigstore_verify::trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT;
        let failure = verify(b"x", "{}", root, "me@example.org", "https://issuer.example").unwrap_err();
        assert_eq!(failure.code, crate::model::ErrorCode::Untrusted);
        assert_eq!(verify(b"x", "{}", "junk", "a", "b").unwrap_err().class, FailureClass::Spec);
    }

    /// Both files were made by [`sign`] against the handlers of the npm package
    /// `@sigstore/mock` 0.13 (on a plain Node server, its clock at 2024-06-01) over `sums`.
    const BUNDLE: &str = include_str!("fixtures/sums.sigstore.json");
    const ROOT: &str = include_str!("fixtures/trusted_root.json");

    #[test]
    fn a_bundle_holds_for_its_bytes_identity_issuer_and_root_only() {
        assert!(BUNDLE.contains("application/vnd.dev.sigstore.bundle.v0.3+json"));
        let (me, issuer) = ("me", "https://issuer.example");
        verify(b"sums", BUNDLE, ROOT, me, issuer).unwrap();
        let other_root = sigstore_verify::trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT;
        let log_time =
            BUNDLE.replace("\"integratedTime\": \"1717243200\"", "\"integratedTime\": \"1717243201\"");
        assert_ne!(log_time, BUNDLE);
        for refused in [
            verify(b"sumz", BUNDLE, ROOT, me, issuer),
            verify(b"sums", BUNDLE, ROOT, "you", issuer),
            verify(b"sums", BUNDLE, ROOT, "", issuer),
            verify(b"sums", BUNDLE, ROOT, me, "https://other.example"),
            verify(b"sums", BUNDLE, other_root, me, issuer),
            verify(b"sums", &log_time, ROOT, me, issuer),
        ] {
            assert_eq!(refused.unwrap_err().code, crate::model::ErrorCode::Untrusted);
        }
    }
}
