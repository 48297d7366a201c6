//! Whose signatures count, from when to when, and how many different keys must have signed.
//!
//! A key is *ahead* before its `from`, *active* until its `until`, and *retired* from then
//! on. Only signatures of active keys count. What retired keys signed is told apart from what
//! strangers signed, because the first can be signed again and the second cannot.

use super::PublicKey;
use crate::model::{Digest, Failure, Result};
use chrono::{DateTime, SecondsFormat, Utc};

/// No more signatures of one thing are looked at: each costs time, and a store is hostile.
const MOST_SIGNATURES: usize = 16;

/// One key that is known, and in which time it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKey {
    /// What people call it.
    pub name: String,
    /// The key.
    pub key: PublicKey,
    /// From when on it counts.
    pub from: Option<DateTime<Utc>>,
    /// When it is retired.
    pub until: Option<DateTime<Utc>>,
}

impl TrustedKey {
    /// A key without a name and without an end.
    pub fn of(key: PublicKey) -> Self {
        Self { name: key.id().short(), key, from: None, until: None }
    }

    /// Its name and the beginning of its id: `2027 (0123abcd)`.
    pub fn label(&self) -> String {
        let short = self.key.id().short();
        if self.name == short { short } else { format!("{} ({short})", self.name) }
    }
}

/// How a key stands at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Term {
    /// Its time has not come.
    Ahead,
    /// It signs and counts.
    Active,
    /// Its time is over.
    Retired,
}

impl std::fmt::Display for Term {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ahead => "ahead",
            Self::Active => "active",
            Self::Retired => "retired",
        })
    }
}

/// Who must have signed Sigstore bundles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeylessTrust {
    /// The text of `trusted_root.json`.
    pub trusted_root: String,
    /// The identity in the certificate.
    pub identity: String,
    /// Who vouches for the identity.
    pub issuer: String,
}

/// How signatures of one thing stand. Every list holds the labels of different keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Enough active keys signed.
    Good {
        /// They.
        by: Vec<String>,
    },
    /// Enough keys signed if those that are retired by now counted.
    Retired {
        /// The retired ones, each with its end.
        by: Vec<String>,
    },
    /// Known keys signed, and not enough of them.
    TooFew {
        /// They.
        by: Vec<String>,
        /// How many are needed.
        needed: usize,
    },
    /// No known key signed.
    Unknown,
}

impl Standing {
    /// Nothing if the signatures suffice.
    ///
    /// # Errors
    /// *Untrusted*, saying who signed and what is missing.
    pub fn accept(&self) -> Result<()> {
        Err(match self {
            Self::Good { .. } => return Ok(()),
            Self::Retired { by } => Failure::untrusted(format!("signed by a retired key: {}", by.join(", ")))
                .hint("Its publisher has to sign it again; `bootwright reconcile` does that."),
            Self::TooFew { by, needed } => Failure::untrusted(format!(
                "signed by {} of the {needed} keys that are needed: {}",
                by.len(),
                by.join(", ")
            ))
            .hint("Each key counts once. Ask the publisher, or check the threshold that you set."),
            Self::Unknown => Failure::untrusted("no trusted key signed it")
                .hint("Check that you have the publisher's present public key, and get the files again."),
        })
    }
}

/// Something that is wrong with a list of keys, and where in the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustProblem {
    /// The field: `signing.keys[1]`.
    pub field: String,
    /// What.
    pub message: String,
    /// What to do.
    pub hint: String,
    /// Whether it keeps everything from working, now.
    pub fatal: bool,
}

/// Whose signatures count.
#[derive(Clone, Debug)]
pub struct Trust {
    keys: Vec<TrustedKey>,
    threshold: usize,
    now: DateTime<Utc>,
    openpgp: Option<String>,
    keyless: Option<KeylessTrust>,
    /// The keys that this host can sign with.
    own: Vec<PublicKey>,
}

impl Trust {
    /// These keys, `threshold` of which must have signed, at the time `now`.
    pub fn new(keys: Vec<TrustedKey>, threshold: usize, now: DateTime<Utc>) -> Self {
        Self { keys, threshold: threshold.max(1), now, openpgp: None, keyless: None, own: Vec::new() }
    }

    /// Keys without an end, any one of which is enough.
    pub fn of(keys: impl IntoIterator<Item = PublicKey>) -> Self {
        let mut known: Vec<TrustedKey> = Vec::new();
        for key in keys {
            if !known.iter().any(|k| k.key == key) {
                known.push(TrustedKey::of(key));
            }
        }
        Self::new(known, 1, DateTime::UNIX_EPOCH)
    }

    /// As it is, with one more key.
    #[must_use]
    pub fn with_key(mut self, key: TrustedKey) -> Self {
        self.keys.push(key);
        self
    }

    /// As it is, with another number of keys that must have signed.
    #[must_use]
    pub fn with_threshold(mut self, threshold: usize) -> Self {
        self.threshold = threshold.max(1);
        self
    }

    /// As it is, and `SHA256SUMS.asc` must be of this armoured OpenPGP public key.
    #[must_use]
    pub fn with_openpgp(mut self, armour: Option<String>) -> Self {
        self.openpgp = armour;
        self
    }

    /// As it is, and `SHA256SUMS.sigstore.json` must be of this identity.
    #[must_use]
    pub fn with_keyless(mut self, keyless: Option<KeylessTrust>) -> Self {
        self.keyless = keyless;
        self
    }

    /// As it is, on a host that can sign with these keys.
    #[must_use]
    pub fn with_own(mut self, own: Vec<PublicKey>) -> Self {
        self.own = own;
        self
    }

    /// The same keys at the last moment that this host can sign for today: when a key ends
    /// and enough of its own that sign already go on. What does not hold then is signed again
    /// while both are active, so that nobody ever meets a release without a valid signature.
    pub fn ahead(&self) -> Option<Self> {
        let active = |key: &&TrustedKey| self.term(key) == Term::Active;
        let ends = self.keys.iter().filter(active).filter_map(|k| k.until);
        let goes_on = |end: &DateTime<Utc>| {
            let own = self.keys.iter().filter(active).filter(|k| self.own.contains(&k.key));
            own.filter(|k| term(k, *end) == Term::Active).count() >= self.threshold
        };
        let end = ends.filter(goes_on).max()?;
        // A key whose time has not come cannot have signed yet.
        let keys = self.keys.iter().filter(|k| self.term(k) != Term::Ahead).cloned().collect();
        Some(Self { now: end, keys, ..self.clone() })
    }

    /// All keys that are known.
    pub fn keys(&self) -> &[TrustedKey] {
        &self.keys
    }

    /// How many keys must have signed.
    pub fn threshold(&self) -> usize {
        self.threshold
    }

    /// The OpenPGP public key that must have signed too.
    pub fn openpgp(&self) -> Option<&str> {
        self.openpgp.as_deref()
    }

    /// The identity that must have signed too.
    pub fn keyless(&self) -> Option<&KeylessTrust> {
        self.keyless.as_ref()
    }

    /// How a key stands now.
    pub fn term(&self, key: &TrustedKey) -> Term {
        term(key, self.now)
    }

    /// The key with this public half, if it is known.
    pub fn find(&self, key: &PublicKey) -> Option<&TrustedKey> {
        self.keys.iter().find(|k| &k.key == key)
    }

    /// Whether this key's signatures count now.
    pub fn counts(&self, key: &PublicKey) -> bool {
        self.find(key).is_some_and(|k| self.term(k) == Term::Active)
    }

    /// Whether what is published may need to be signed again: a key has retired or ends, or
    /// more than one must have signed.
    pub fn may_have_outlived(&self) -> bool {
        self.threshold > 1
            || self.ahead().is_some()
            || self.keys.iter().any(|k| self.term(k) == Term::Retired)
    }

    /// Everything that judging depends on. It changes when a key's time begins or ends: until then
    /// the same signatures stand as they stand now.
    pub fn identity(&self) -> Digest {
        let keys = self.keys.iter().map(|k| (k.key.id(), &k.name, k.from, k.until, self.term(k)));
        let keys: Vec<_> = keys.collect();
        let own: Vec<Digest> = self.own.iter().map(PublicKey::id).collect();
        let keyless = self.keyless.as_ref().map(|k| (&k.trusted_root, &k.identity, &k.issuer));
        Digest::of_json(&(keys, own, self.threshold, &self.openpgp, keyless))
    }

    /// Who signed `bytes`. A key counts once, however many signatures it made.
    pub fn judge<'s>(&self, bytes: &[u8], signatures: impl IntoIterator<Item = &'s str>) -> Standing {
        let signatures: Vec<&str> = signatures.into_iter().take(MOST_SIGNATURES).collect();
        let (mut active, mut retired) = (Vec::new(), Vec::new());
        for key in &self.keys {
            let term = self.term(key);
            if term == Term::Ahead || !signatures.iter().any(|s| key.key.verifies(bytes, s)) {
                continue;
            }
            match key.until {
                Some(until) if term == Term::Retired => {
                    retired.push(format!("{}, until {}", key.label(), words(until)));
                }
                _ => active.push(key.label()),
            }
        }
        let needed = self.threshold;
        if active.len() >= needed {
            Standing::Good { by: active }
        } else if active.len() + retired.len() >= needed {
            Standing::Retired { by: retired }
        } else if active.len() + retired.len() > 0 {
            active.extend(retired);
            Standing::TooFew { by: active, needed }
        } else {
            Standing::Unknown
        }
    }

    /// Whether any key that counts or once counted signed `bytes`: enough where something
    /// else vouches for them.
    pub fn knows<'s>(&self, bytes: &[u8], signatures: impl IntoIterator<Item = &'s str>) -> bool {
        self.judge(bytes, signatures) != Standing::Unknown
    }

    /// Everything that is wrong with the keys; `list` is the field that holds them.
    pub fn problems(&self, list: &str) -> Vec<TrustProblem> {
        let mut found = Vec::new();
        for (at, key) in self.keys.iter().enumerate() {
            let earlier = &self.keys[..at];
            let mut say = |message: String, hint: &str| {
                let field = format!("{list}[{at}]");
                found.push(TrustProblem { field, message, hint: hint.to_owned(), fatal: true });
            };
            if let Some(same) = earlier.iter().find(|k| k.key == key.key) {
                say(
                    format!("{} and {} are the same key", same.label(), key.label()),
                    "Each key stands in the list once: it counts once.",
                );
            } else if earlier.iter().any(|k| k.name == key.name) {
                say(format!("two keys are called {}", key.name), "Give each key a name of its own.");
            }
            if let (Some(from), Some(until)) = (key.from, key.until)
                && until <= from
            {
                say(
                    format!("key {} ends before it begins", key.label()),
                    "Set an `until` after its `from`, or take the entry out.",
                );
            }
        }
        self.strength(list, &mut found);
        found
    }

    /// Whether enough keys are active, now and later.
    fn strength(&self, list: &str, found: &mut Vec<TrustProblem>) {
        let active = |at| self.keys.iter().filter(|k| term(k, at) == Term::Active).count();
        let (needed, now) = (self.threshold, active(self.now));
        if now < needed {
            let retired: Vec<String> =
                self.keys.iter().filter(|k| self.term(k) == Term::Retired).map(TrustedKey::label).collect();
            let (message, hint) = match (now, retired.as_slice()) {
                (0, []) => ("no signing key is active".to_owned(), "Add one whose time has come."),
                (0, retired) => (
                    format!("the last valid signing key is retired: {}", retired.join(", ")),
                    "Move its `until` into the future, add a new key (`bootwright key rotate`), and let both sign for a while.",
                ),
                _ => (
                    format!(
                        "{needed} keys must have signed and {now} can: the threshold is greater than the number of active keys"
                    ),
                    "Lower `signing.threshold`, or add keys.",
                ),
            };
            let field = if now == 0 { list.to_owned() } else { "signing.threshold".to_owned() };
            found.push(TrustProblem { field, message, hint: hint.to_owned(), fatal: true });
            return;
        }
        let ends = self.keys.iter().filter_map(|k| k.until).filter(|until| *until > self.now);
        if let Some(end) = ends.filter(|until| active(*until) < needed).min() {
            found.push(TrustProblem {
                field: list.to_owned(),
                message: format!("from {} on too few signing keys are active", words(end)),
                hint: "Add a key that goes on after that, early enough for both to sign for a while: `bootwright key rotate`."
                    .to_owned(),
                fatal: false,
            });
        }
    }
}

fn term(key: &TrustedKey, at: DateTime<Utc>) -> Term {
    if key.until.is_some_and(|until| until <= at) {
        Term::Retired
    } else if key.from.is_some_and(|from| from > at) {
        Term::Ahead
    } else {
        Term::Active
    }
}

fn words(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ErrorCode;
    use crate::release::keys::{Signer, generate};

    fn signer() -> Signer {
        Signer::parse(&generate(None).unwrap().0, None).unwrap()
    }

    fn time(day: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(day * 86_400, 0).unwrap()
    }

    fn key(name: &str, signer: &Signer, from: Option<i64>, until: Option<i64>) -> TrustedKey {
        TrustedKey {
            name: name.to_owned(),
            key: signer.public().clone(),
            from: from.map(time),
            until: until.map(time),
        }
    }

    #[test]
    fn only_active_keys_count_and_each_once() {
        let (old, new, next, stranger) = (signer(), signer(), signer(), signer());
        let keys = vec![
            key("old", &old, None, Some(10)),
            key("new", &new, Some(5), None),
            key("next", &next, Some(20), None),
        ];
        let sign = |s: &Signer| s.sign(b"x").unwrap();
        let judge = |threshold, day, by: &[&Signer]| {
            let signatures: Vec<String> = by.iter().map(|s| sign(s)).collect();
            let trust = Trust::new(keys.clone(), threshold, time(day));
            trust.judge(b"x", signatures.iter().map(String::as_str))
        };
        let good = |s: Standing| matches!(s, Standing::Good { .. });
        assert!(good(judge(1, 4, &[&old])));
        assert!(good(judge(2, 6, &[&old, &new])), "in the overlap both count");
        assert!(good(judge(1, 12, &[&old, &new])));
        for (threshold, day, by) in [
            (1, 4, &[&new][..]),
            (1, 12, &[&next]),
            (1, 12, &[&stranger]),
            (1, 12, &[]),
            (2, 25, &[&stranger, &stranger]),
        ] {
            assert_eq!(judge(threshold, day, by), Standing::Unknown, "{threshold} {day}");
        }
        let label = |s: &Signer, name: &str| format!("{name} ({})", s.public().id().short());
        let ended = format!("{}, until 1970-01-11T00:00:00Z", label(&old, "old"));
        assert_eq!(
            judge(1, 10, &[&old]),
            Standing::Retired { by: vec![ended.clone()] },
            "the end is the end"
        );
        assert_eq!(judge(2, 12, &[&old, &new]), Standing::Retired { by: vec![ended] });
        let too_few = Standing::TooFew { by: vec![label(&new, "new")], needed: 2 };
        assert_eq!(judge(2, 6, &[&new, &new, &new, &stranger]), too_few, "a key counts once");
        for refused in [judge(1, 10, &[&old]), too_few, Standing::Unknown] {
            assert_eq!(refused.accept().unwrap_err().code, ErrorCode::Untrusted);
        }
        let many: Vec<String> = std::iter::repeat_n("AAAA".to_owned(), 16).chain([sign(&new)]).collect();
        let trust = Trust::new(keys, 1, time(6));
        assert_eq!(trust.judge(b"x", many.iter().map(String::as_str)), Standing::Unknown, "no endless lists");
    }

    #[test]
    fn bad_lists_are_refused_with_their_place() {
        let (a, b) = (signer(), signer());
        let list =
            |keys: Vec<TrustedKey>, threshold, day| Trust::new(keys, threshold, time(day)).problems("k");
        assert_eq!(list(vec![key("a", &a, None, None), key("b", &b, Some(5), None)], 1, 0), []);
        assert_eq!(list(vec![key("a", &a, None, Some(9)), key("b", &b, Some(5), None)], 1, 0), []);
        for (keys, threshold, field, words) in [
            (vec![], 1, "k", "no signing key is active"),
            (vec![key("a", &a, Some(9), None)], 1, "k", "no signing key is active"),
            (vec![key("a", &a, None, Some(7))], 1, "k", "the last valid signing key is retired: a"),
            (vec![key("a", &a, None, None)], 2, "signing.threshold", "greater than the number of active"),
            (
                vec![key("a", &a, None, None), key("b", &b, None, Some(7))],
                2,
                "signing.threshold",
                "2 keys must",
            ),
            (vec![key("a", &a, None, None), key("b", &a, None, None)], 1, "k[1]", "the same key"),
            (vec![key("a", &a, None, None), key("a", &b, None, None)], 1, "k[1]", "two keys are called a"),
            (vec![key("a", &a, None, None), key("b", &b, Some(9), Some(9))], 1, "k[1]", "before it begins"),
        ] {
            let found = list(keys, threshold, 7);
            assert!(
                found.iter().any(|p| p.fatal && p.field == field && p.message.contains(words)),
                "{words}: {found:?}"
            );
        }
        let warned = list(vec![key("a", &a, None, Some(9))], 1, 7);
        assert!(!warned[0].fatal && warned[0].message.contains("1970-01-10"), "{warned:?}");
    }
}
