//! What every operation gets beside its request.

use crate::build::registry::Credentials;
use crate::effects::{Cancel, Clock};
use crate::model::Emitter;
use std::path::PathBuf;

/// What every operation gets beside its request. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// Where progress goes.
    pub events: Emitter,
    /// A wish to stop.
    pub cancel: Cancel,
    /// The time.
    pub clock: Clock,
    /// Relative paths of requests are relative to this folder.
    pub cwd: PathBuf,
    /// Opens the private signing key.
    pub passphrase: Option<Secret>,
    /// Who signs without a key, where CI says so.
    pub identity: Option<Identity>,
    /// Who pushes OCI images, where `store.registry` is set: user and password.
    pub registry: Option<(String, Secret)>,
    /// The language model that reads prompts, where the environment names one.
    pub model: Option<super::LanguageModel>,
    /// Where docker's daemon listens, as `DOCKER_HOST` has it; its usual socket if absent.
    pub docker_host: Option<String>,
    /// Who reads and writes a store in a bucket.
    pub bucket: crate::effects::place::Credentials,
    /// Nothing may be asked of the network: what is not in the caches is missing.
    pub offline: bool,
}

impl Context {
    /// Who asks a registry.
    pub(super) fn registry_credentials(&self) -> Credentials {
        match &self.registry {
            Some((user, password)) => {
                Credentials::Basic { user: user.clone(), password: password.reveal().to_owned() }
            }
            None => Credentials::Anonymous,
        }
    }
}

/// A text that is never shown: `Debug` hides it and it cannot be serialised.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text from being shown.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Where the OpenID Connect token for keyless signing comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The token itself.
    Token(Secret),
    /// GitHub Actions gives a fresh one on request (its tokens live for minutes, a build
    /// may take longer): `GET url&audience=sigstore` with `Authorization: bearer …`.
    GitHubActions {
        /// The address, with a query already.
        url: String,
        /// What it is asked with.
        bearer: Secret,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let context = Context {
            passphrase: Some(Secret::new("hunter2")),
            identity: Some(Identity::GitHubActions {
                url: "https://x".into(),
                bearer: Secret::new("abc123"),
            }),
            ..Context::default()
        };
        let text = format!("{context:?}");
        assert!(!text.contains("hunter2") && !text.contains("abc123"), "{text}");
        assert_eq!(context.passphrase.map(|s| s.reveal().to_owned()).as_deref(), Some("hunter2"));
    }
}
