//! The only place that reads the environment.

use crate::effects::place::Credentials;
use crate::effects::point::{self, Stop};
use crate::intake::Kind;
use crate::model::{Failure, Result};
use crate::ops::{Identity, LanguageModel, Secret};
use std::fs::File;

/// What a window needs to find its display.
const DISPLAY: [&str; 4] = ["DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR"];

/// Everything of the environment that matters.
#[derive(Debug, Default)]
pub struct Environment {
    /// `NO_COLOR` is set and not empty (no-color.org), or `TERM` is `dumb`.
    pub no_color: bool,
    /// `BOOTWRIGHT_KEY_PASSPHRASE`: opens the private signing key.
    pub passphrase: Option<Secret>,
    /// `SIGSTORE_ID_TOKEN`, or what GitHub Actions gives a job with `id-token: write`.
    pub identity: Option<Identity>,
    /// `BOOTWRIGHT_REGISTRY_USER` and `BOOTWRIGHT_REGISTRY_PASSWORD`: who pushes OCI images.
    pub registry: Option<(String, Secret)>,
    /// `BOOTWRIGHT_LLM_URL`, `BOOTWRIGHT_LLM_MODEL`, `BOOTWRIGHT_LLM_KEY`, `BOOTWRIGHT_LLM_KIND`:
    /// the language model that reads prompts.
    pub model: Option<LanguageModel>,
    /// `AWS_ACCESS_KEY_ID` and its like: who reads and writes a store in a bucket.
    pub bucket: Credentials,
    /// `DOCKER_HOST`: where docker's daemon listens.
    pub docker_host: Option<String>,
    /// The variables that lead to the desktop's display, of those in [`DISPLAY`].
    pub display: Vec<(String, String)>,
    /// `OFFLINE_ONLY` is set and says yes: nothing may be asked of the network.
    pub offline: bool,
    /// `BOOTWRIGHT_LOG`: what the log holds, in the form of tracing's `EnvFilter`.
    pub log_filter: Option<String>,
    /// `BOOTWRIGHT_STOP_AT`, `BOOTWRIGHT_STOP_HOW`, `BOOTWRIGHT_POINTS_FD`: where a test of
    /// crash safety stops this process, how, and the open file that hears of passed points.
    pub points: Points,
}

/// What a test of crash safety asks for (`docs/crash-safety.md`).
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Points {
    /// The point, as NAME or NAME:PASSING.
    pub stop_at: Option<String>,
    /// What happens there.
    pub stop_how: Option<String>,
    /// The number of an open file.
    pub trace: Option<String>,
}

impl Points {
    /// Watches the points of this process, if that is asked for.
    ///
    /// # Errors
    /// Class *spec* for a point, way or file that there is not.
    pub fn arm(&self) -> Result<()> {
        if *self == Self::default() {
            return Ok(());
        }
        let stop = match &self.stop_at {
            Some(at) => {
                Some(Stop::parse(at, self.stop_how.as_deref()).map_err(|f| f.on("BOOTWRIGHT_STOP_AT"))?)
            }
            None => None,
        };
        let trace = self.trace.as_deref().map(inherited).transpose()?;
        point::arm(stop, trace);
        Ok(())
    }
}

/// An open file that we were started with. A name would let the environment have us write
/// anywhere; who opened this one may write to it anyway.
fn inherited(number: &str) -> Result<File> {
    let refused = || Failure::spec(format!("BOOTWRIGHT_POINTS_FD: {number:?} is no open file"));
    let number: u32 = number.parse().ok().filter(|n| *n > 2).ok_or_else(refused)?;
    // Through /proc: a number alone says nothing about who owns it in this process.
    File::options().append(true).open(format!("/proc/self/fd/{number}")).map_err(|_| refused())
}

impl Environment {
    /// Reads the environment of this process.
    pub fn read() -> Self {
        Self::from(|name| {
            #[expect(clippy::disallowed_methods, reason = "this is the door")]
            std::env::var(name).ok().filter(|value| !value.is_empty())
        })
    }

    fn from(get: impl Fn(&str) -> Option<String>) -> Self {
        let identity =
            get("SIGSTORE_ID_TOKEN").map(|token| Identity::Token(Secret::new(token))).or_else(|| {
                let url = get("ACTIONS_ID_TOKEN_REQUEST_URL")?;
                let bearer = Secret::new(get("ACTIONS_ID_TOKEN_REQUEST_TOKEN")?);
                Some(Identity::GitHubActions { url, bearer })
            });
        Self {
            no_color: get("NO_COLOR").is_some() || get("TERM").is_some_and(|term| term == "dumb"),
            passphrase: get("BOOTWRIGHT_KEY_PASSPHRASE").map(Secret::new),
            identity,
            registry: get("BOOTWRIGHT_REGISTRY_USER")
                .zip(get("BOOTWRIGHT_REGISTRY_PASSWORD").map(Secret::new)),
            model: model(&get),
            bucket: Credentials::read(&get),
            docker_host: get("DOCKER_HOST"),
            display: DISPLAY.iter().filter_map(|name| Some(((*name).to_owned(), get(name)?))).collect(),
            offline: get("OFFLINE_ONLY").is_some_and(|value| says_yes(&value)),
            log_filter: get("BOOTWRIGHT_LOG"),
            points: Points {
                stop_at: get("BOOTWRIGHT_STOP_AT"),
                stop_how: get("BOOTWRIGHT_STOP_HOW"),
                trace: get("BOOTWRIGHT_POINTS_FD"),
            },
        }
    }
}

/// Without a kind: a key is what only services of the other kind ask for.
fn model(get: &impl Fn(&str) -> Option<String>) -> Option<LanguageModel> {
    let key = get("BOOTWRIGHT_LLM_KEY").map(Secret::new);
    let kind = match get("BOOTWRIGHT_LLM_KIND").as_deref().map(str::trim) {
        Some("ollama") => Kind::Ollama,
        Some(_) => Kind::OpenAi,
        None if key.is_some() => Kind::OpenAi,
        None => Kind::Ollama,
    };
    Some(LanguageModel { kind, url: get("BOOTWRIGHT_LLM_URL")?, model: get("BOOTWRIGHT_LLM_MODEL")?, key })
}

/// Whether the value of a switch means on. What is no clear no is a yes: who sets
/// `OFFLINE_ONLY` at all does not expect traffic.
fn says_yes(value: &str) -> bool {
    !["0", "false", "no", "off"].iter().any(|no| value.trim().eq_ignore_ascii_case(no))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Environment {
        Environment::from(|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn half_of_githubs_pair_is_no_identity() {
        assert!(with(&[("ACTIONS_ID_TOKEN_REQUEST_URL", "https://x")]).identity.is_none());
        assert!(with(&[("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "t")]).identity.is_none());
        let both = [("ACTIONS_ID_TOKEN_REQUEST_URL", "https://x"), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "t")];
        assert!(matches!(with(&both).identity, Some(Identity::GitHubActions { .. })));
    }

    #[test]
    fn a_token_given_by_hand_wins() {
        let all = [
            ("SIGSTORE_ID_TOKEN", "mine"),
            ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://x"),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "t"),
        ];
        assert_eq!(with(&all).identity, Some(Identity::Token(Secret::new("mine"))));
    }

    #[test]
    fn a_model_needs_an_address_and_a_name() {
        let (url, name) = (("BOOTWRIGHT_LLM_URL", "http://127.0.0.1:1"), ("BOOTWRIGHT_LLM_MODEL", "m"));
        let key = ("BOOTWRIGHT_LLM_KEY", "sk-canary");
        assert!(with(&[url]).model.is_none() && with(&[name, key]).model.is_none());
        assert_eq!(with(&[url, name]).model.unwrap().kind, Kind::Ollama);
        let model = with(&[url, name, key]).model.unwrap();
        assert_eq!(model.kind, Kind::OpenAi);
        assert!(!format!("{model:?}").contains("canary"));
        assert_eq!(
            with(&[url, name, key, ("BOOTWRIGHT_LLM_KIND", "ollama")]).model.unwrap().kind,
            Kind::Ollama
        );
    }

    #[test]
    fn offline_only_is_on_unless_it_says_no() {
        for (value, on) in [
            ("true", true),
            ("1", true),
            ("yes", true),
            ("TRUE", true),
            ("please", true),
            ("false", false),
            ("0", false),
            ("No", false),
            (" off ", false),
        ] {
            assert_eq!(with(&[("OFFLINE_ONLY", value)]).offline, on, "{value:?}");
        }
        assert!(!with(&[]).offline);
    }

    #[test]
    fn colours_are_off_where_the_terminal_cannot() {
        assert!(with(&[("NO_COLOR", "1")]).no_color);
        assert!(with(&[("TERM", "dumb")]).no_color);
        assert!(!with(&[("TERM", "xterm")]).no_color);
    }
}
