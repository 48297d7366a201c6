//! From the `signing` settings to keys: whose signatures count, and who signs on this host.

use super::Context;
use super::workspace::{Workspace, read_key};
use crate::catalog::files::SETTINGS;
use crate::model::failure::IoContext;
use crate::model::settings::Signing;
use crate::model::signing::is_pem;
use crate::model::{Failure, Result};
use crate::release::keys::{KeylessTrust, Term, Trust, TrustProblem, TrustedKey};
use crate::release::{PublicKey, Signer, Signers, openpgp};
use chrono::{DateTime, Utc};
use std::path::{Path, PathBuf};

/// The field that lists the keys in the long form of the settings.
const LIST: &str = "signing.keys";
/// The same in the short form.
const SHORT_LIST: &str = "signing";

impl Workspace {
    /// Whose signatures count now.
    ///
    /// # Errors
    /// Class *spec*, with the field, if a key cannot be read, keys are doubled, or too few of
    /// them are active.
    pub fn trust(&self, now: DateTime<Utc>) -> Result<Trust> {
        let trust = self.unchecked_trust(now)?;
        match self.trust_problems(&trust).into_iter().find(|p| p.fatal) {
            Some(problem) => Err(failure(&problem)),
            None => Ok(trust),
        }
    }

    /// As [`Workspace::trust`], whatever is wrong with the keys.
    pub fn unchecked_trust(&self, now: DateTime<Utc>) -> Result<Trust> {
        let signing = &self.settings().signing;
        let keys = self.known_keys(signing)?;
        let threshold = signing.threshold.map_or(1, |n| usize::from(n.get()));
        let own = self.own_keys(&keys);
        Ok(Trust::new(keys, threshold, now)
            .with_own(own)
            .with_openpgp(self.openpgp_certificate(signing)?)
            .with_keyless(self.keyless_trust(signing)?))
    }

    /// Everything that is wrong with the keys. A catalog without any has nothing to be wrong
    /// until something is to be signed.
    pub fn trust_problems(&self, trust: &Trust) -> Vec<TrustProblem> {
        let signing = &self.settings().signing;
        if trust.keys().is_empty() && signing.keys.is_empty() && signing.threshold.is_none() {
            return Vec::new();
        }
        trust.problems(if signing.keys.is_empty() { SHORT_LIST } else { LIST })
    }

    fn known_keys(&self, signing: &Signing) -> Result<Vec<TrustedKey>> {
        if !signing.keys.is_empty() {
            let known = |(at, key): (usize, &crate::model::signing::SigningKey)| {
                let public = if is_pem(&key.public) {
                    PublicKey::parse(&key.public)
                } else {
                    read_key(&self.path(&key.public))
                };
                let field = format!("{LIST}[{at}].public");
                Ok(TrustedKey {
                    name: key.name.to_string(),
                    key: public.map_err(|f| f.on(format!("{SETTINGS}: {field}")).field(field))?,
                    from: key.from.map(|m| m.at()),
                    until: key.until.map(|m| m.at()),
                })
            };
            return signing.keys.iter().enumerate().map(known).collect();
        }
        let mut keys = signing.trusted.iter().map(|pem| PublicKey::parse(pem)).collect::<Result<Vec<_>>>()?;
        if let Some(key) = &signing.key {
            let public = self.path(key).with_extension("pub");
            if public.exists() {
                keys.push(read_key(&public)?);
            }
        }
        Ok(Trust::of(keys).keys().to_vec())
    }

    /// Those of the keys whose private files are on this host, unopened.
    fn own_keys(&self, keys: &[TrustedKey]) -> Vec<PublicKey> {
        let settings = self.settings().signing.keys.iter();
        let is_here = |private: &Option<String>| private.as_ref().is_some_and(|p| self.path(p).is_file());
        let own = settings.zip(keys).filter(|(setting, _)| is_here(&setting.private));
        own.map(|(_, known)| known.key.clone()).collect()
    }

    fn openpgp_certificate(&self, signing: &Signing) -> Result<Option<String>> {
        let Some(text) = &signing.openpgp_certificate else { return Ok(None) };
        let armour = if is_pem(text) { text.clone() } else { read(&self.path(text))? };
        if !openpgp::is_public_key(&armour) {
            return Err(Failure::spec(format!(
                "{SETTINGS}: signing.openpgpCertificate is no armoured OpenPGP public key"
            ))
            .field("signing.openpgpCertificate")
            .hint("Export it with `gpg --export --armor KEY`."));
        }
        Ok(Some(armour))
    }

    fn keyless_trust(&self, signing: &Signing) -> Result<Option<KeylessTrust>> {
        let Some(keyless) = &signing.keyless else { return Ok(None) };
        let (Some(root), Some(identity), Some(issuer)) =
            (&keyless.trusted_root, &keyless.identity, &keyless.issuer)
        else {
            return Ok(None);
        };
        let trusted_root = read(&self.path(root))?;
        Ok(Some(KeylessTrust { trusted_root, identity: identity.clone(), issuer: issuer.clone() }))
    }

    /// Everyone who signs on this host now.
    ///
    /// # Errors
    /// Class *spec* if no key is set; class *host* if the keys that are here cannot be opened
    /// or are too few.
    pub fn signers(&self, context: &Context) -> Result<Signers> {
        let signing = &self.settings().signing;
        let now = context.clock.now();
        let passphrase = context.passphrase.as_ref().map(|p| p.reveal().as_bytes());
        let trust = self.trust(now)?;
        let mut all = match &signing.key {
            Some(key) => vec![Signer::load(&self.path(key), passphrase)?],
            None => self.private_keys(&trust, passphrase)?,
        };
        // The short form trusts its own key, also where the public half does not lie beside it.
        let trust = match all.first().filter(|s| signing.keys.is_empty() && trust.find(s.public()).is_none())
        {
            Some(own) => trust.with_key(TrustedKey::of(own.public().clone())),
            None => trust,
        };
        let openpgp = match &signing.openpgp_key {
            Some(path) => Some(openpgp::SecretKey::load(&self.path(path), passphrase)?),
            None => None,
        };
        if let (Some(key), Some(certificate)) = (&openpgp, trust.openpgp()) {
            openpgp::verify(certificate, b"", &key.sign(b"", now)?).map_err(|_| {
                Failure::spec("signing.openpgpCertificate is not the public half of signing.openpgpKey")
                    .field("signing.openpgpCertificate")
                    .hint("Export it anew with `gpg --export --armor KEY`.")
            })?;
        }
        if all.is_empty() {
            return Err(no_key(signing));
        }
        let key = all.remove(0);
        let signers = Signers { key, further: all, openpgp, trust };
        signers.check()?;
        Ok(signers)
    }

    /// The private keys of active entries that this host has.
    fn private_keys(&self, trust: &Trust, passphrase: Option<&[u8]>) -> Result<Vec<Signer>> {
        let mut all = Vec::new();
        for (setting, known) in self.settings().signing.keys.iter().zip(trust.keys()) {
            let Some(path) = setting.private.as_ref().map(|p| self.path(p)) else { continue };
            if trust.term(known) != Term::Active || !path.exists() {
                continue;
            }
            let signer = Signer::load(&path, passphrase)?;
            if signer.public() != &known.key {
                let other = signer.public().id().short();
                return Err(Failure::spec(format!(
                    "{}: this is the private key of {other}, not of {}",
                    path.display(),
                    known.label()
                ))
                .hint("Correct `public` or `private` of this entry in `signing.keys`."));
            }
            all.push(signer);
        }
        Ok(all)
    }
}

fn no_key(signing: &Signing) -> Failure {
    if signing.keys.is_empty() {
        return Failure::spec("no signing key is set, and nothing is published unsigned")
            .hint("Set `signing: {key: …}` in bootwright.yaml; `bootwright init` makes one.");
    }
    Failure::host("this host has the private key of no active signing key")
        .hint("Put the file that `private` of an active key names in its place; `bootwright key list` shows which those are.")
}

fn failure(problem: &TrustProblem) -> Failure {
    Failure::spec(format!("{SETTINGS}: {}: {}", problem.field, problem.message))
        .field(problem.field.clone())
        .hint(problem.hint.clone())
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).during(|| format!("reading {}", path.display()))
}

/// Trusted public keys from files: releases' in PEM, and OpenPGP in ASCII armour. Nothing if
/// no file is given.
///
/// # Errors
/// Class *spec* if one is neither, or the threshold is greater than their number.
pub(super) fn of_files(context: &Context, files: &[PathBuf], threshold: Option<u8>) -> Result<Option<Trust>> {
    let (mut keys, mut certificate) = (Vec::new(), None);
    for file in files.iter().map(|file| context.cwd.join(file)) {
        let text = read(&file)?;
        if openpgp::is_public_key(&text) {
            certificate = Some(text);
        } else {
            keys.push(PublicKey::parse(&text).map_err(|f| f.on(file.display()))?);
        }
    }
    if files.is_empty() {
        return Ok(None);
    }
    let trust = Trust::of(keys).with_openpgp(certificate);
    let (needed, there) = (threshold.map_or(1, usize::from), trust.keys().len());
    if needed > there {
        return Err(Failure::spec(format!("{needed} keys must have signed and {there} are given"))
            .hint("Give each of them with --key; an OpenPGP key does not count."));
    }
    Ok(Some(trust.with_threshold(needed)))
}
