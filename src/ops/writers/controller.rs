//! The controller's side of card writers: who may ask, which job they get, which receipt counts.
//!
//! What is believed of a writer rests on its own key: every request is signed with it, and so is
//! every receipt. The controller gives out names of releases, never their bytes; the writer checks
//! them itself.

use super::orders::{Bench, issue, plan_cards};
use super::receipts::{Receipts, end, key_of};
use crate::effects::{Point, point, random};
use crate::model::http_signature::{self, Headers, Params, SKEW};
use crate::model::receipt::SignedReceipt;
use crate::model::writer::{CardWriter, WriterName};
use crate::model::writer_api::{Beat, Beaten, Claim, Claimed, Enroll, Enrolled, LONGEST_WAIT, Received};
use crate::model::{Digest, ErrorCode, Failure, FailureClass, Result};
use crate::ops::workspace::Workspace;
use crate::ops::{CatalogRef, Context, Secret};
use crate::state::{self, Claimant, Receiving, State};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a request that waits for a job looks for one.
const LOOK: Duration = Duration::from_millis(300);
/// How long what the catalog says is believed before it is read again.
const FRESH: Duration = Duration::from_secs(5);
/// The longest life of a token.
const LONGEST_TOKEN: TimeDelta = TimeDelta::days(7);

/// Make a token for the enrolment of a card writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRequest {
    /// The catalog that names the writer.
    pub catalog: CatalogRef,
    /// The writer.
    pub writer: WriterName,
    /// How long the token is good.
    pub life: TimeDelta,
}

/// A token: good for one enrolment of one writer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenReport {
    /// The writer.
    pub writer: WriterName,
    /// Until when it is good.
    pub expires: DateTime<Utc>,
    /// The token; it is kept nowhere.
    #[serde(serialize_with = "revealed")]
    pub token: Secret,
}

fn revealed<S: serde::Serializer>(token: &Secret, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(token.reveal())
}

/// Makes a token for the enrolment of a card writer.
///
/// # Errors
/// If the catalog has no such writer, or the state database cannot be written.
pub fn writer_token(context: &Context, request: &TokenRequest) -> Result<TokenReport> {
    let workspace = Workspace::open(context, &request.catalog)?;
    known(&workspace.catalog.writers, &request.writer)?;
    let runtime = crate::ops::workspace::runtime()?;
    let token = hex::encode(random::bytes::<32>()?);
    let expires = context.clock.now() + request.life.min(LONGEST_TOKEN);
    runtime.block_on(async {
        let state = State::open(&workspace.state_path()).await?;
        state.put_token(&Digest::of(&token), &request.writer, expires).await
    })?;
    Ok(TokenReport { writer: request.writer.clone(), expires, token: Secret::new(token) })
}

fn known<'w>(writers: &'w BTreeMap<WriterName, CardWriter>, writer: &WriterName) -> Result<&'w CardWriter> {
    writers.get(writer).ok_or_else(|| {
        let names: Vec<&str> = writers.keys().map(WriterName::as_str).collect();
        Failure::not_found(format!("the catalog has no card writer {writer}"))
            .hint(format!("Write a document of kind CardWriter into runners/. It has: {}.", names.join(", ")))
    })
}

/// Serve card writers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerRequest {
    /// The catalog.
    pub catalog: CatalogRef,
    /// How long a claim lasts unless it is renewed, in seconds.
    pub lease_seconds: u32,
}

/// A signed request as it came.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// The method.
    pub method: &'a str,
    /// The path.
    pub path: &'a str,
    /// The headers that sign it.
    pub headers: &'a Headers,
    /// The body.
    pub body: &'a [u8],
}

/// The controller.
pub struct Controller {
    context: Context,
    request: ControllerRequest,
    state: State,
    read: Mutex<Option<(Instant, Arc<Workspace>)>>,
}

impl Controller {
    /// Reads the catalog and opens the state database.
    ///
    /// # Errors
    /// If one of them cannot be read.
    pub async fn open(context: &Context, request: ControllerRequest) -> Result<Self> {
        let workspace = tokio::task::block_in_place(|| Workspace::open_commit(context, &request.catalog))?;
        let state = State::open(&workspace.state_path()).await?;
        let read = Mutex::new(None);
        let controller = Self { context: context.clone(), request, state, read };
        controller.issue().await?;
        Ok(controller)
    }

    /// Issues the jobs that flash orders ask for now.
    ///
    /// # Errors
    /// If catalog, store or database cannot be read or written.
    pub async fn issue(&self) -> Result<()> {
        let (workspace, now) = (self.workspace()?, self.context.clock.now());
        let opened = || Ok::<_, Failure>((workspace.store(&self.context)?, workspace.trust(now)?));
        let (store, keys) = tokio::task::block_in_place(opened)?;
        let bench = Bench {
            catalog: &workspace.catalog,
            base: workspace.base(),
            store: &store,
            keys: &keys,
            state: Some(&self.state),
        };
        let ordered = plan_cards(&bench).await?;
        issue(&self.state, &ordered, now).await
    }

    /// Enrols a card writer: its token is used up, and its key counts from now on.
    ///
    /// # Errors
    /// *Untrusted* for a wrong token, another key than the catalog's, a signature by another key.
    pub async fn enroll(&self, signed: Signed<'_>) -> Result<Enrolled> {
        let asked: Enroll = parse(signed.body)?;
        let (params, base, signature) = self.opened(signed)?;
        if params.key_id != asked.writer || !asked.key.verifies(&base, &signature) {
            return Err(refused("the request is not signed with the key that is to be enrolled"));
        }
        let workspace = self.workspace()?;
        // Whether there is such a writer is told to nobody without a token.
        let document = workspace.catalog.writers.get(&asked.writer);
        let declared = document.and_then(|document| document.spec.public_key.as_ref());
        if document.is_none() || declared.is_some_and(|declared| *declared != asked.key) {
            return Err(refused("this card writer, with this key, is not in the catalog"));
        }
        let (token, now) = (Digest::of(&asked.token), self.context.clock.now());
        if !self.state.enroll(&token, &asked.writer, &asked.key, now).await? {
            return Err(refused("the token is wrong, used up or too old")
                .hint("Make a new one on the controller: `bootwright writer token NAME`."));
        }
        Ok(Enrolled { writer: asked.writer })
    }

    /// Gives a card writer a job for a slot, and waits for one as long as was asked for.
    ///
    /// # Errors
    /// *Untrusted* for a request that is not the writer's; class *spec* if the slot is not what
    /// the catalog says.
    pub async fn claim(&self, signed: Signed<'_>) -> Result<Option<Claimed>> {
        let writer = self.authenticated(signed).await?;
        let asked: Claim = parse(signed.body)?;
        self.fits(&writer, &asked)?;
        let until = Instant::now() + Duration::from_secs(asked.wait_seconds.min(LONGEST_WAIT));
        let lease = self.request.lease_seconds;
        loop {
            let claimant = Claimant { writer: &writer, slot: &asked.slot, instance: &asked.instance };
            let ttl = TimeDelta::seconds(lease.into());
            let claimed = self.state.claim_job(claimant, ttl, self.context.clock.now()).await?;
            if let Some(row) = claimed {
                point(Point::CardJobClaimed)?;
                return Ok(Some(Claimed { job: row.job, attempt: row.attempt, lease_seconds: lease.into() }));
            }
            if Instant::now() >= until || self.context.cancel.is_requested() {
                return Ok(None);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Notes that a card writer is still at a job.
    ///
    /// # Errors
    /// *Untrusted* for a request that is not the writer's.
    pub async fn beat(&self, signed: Signed<'_>) -> Result<Beaten> {
        let writer = self.authenticated(signed).await?;
        let Beat { job, attempt, state, said } = parse(signed.body)?;
        let now = self.context.clock.now();
        let said = said.map(|said| said.chars().filter(|c| !c.is_control()).take(200).collect());
        let lease = now + TimeDelta::seconds(self.request.lease_seconds.into());
        if state.has_receipt() {
            return Err(Failure::spec("a job ends with a receipt only"));
        }
        let beat = state::Beat { attempt, state, said, lease };
        let go_on = self.state.beat_job(job.id(), &writer, beat, now).await?;
        point(Point::CardBeatNoted)?;
        Ok(Beaten { go_on })
    }

    /// Takes a receipt: kept as a file, then the job ends. The same one may come again.
    ///
    /// # Errors
    /// *Untrusted* for a request or a receipt that is not the writer's.
    pub async fn receive(&self, signed: Signed<'_>) -> Result<Received> {
        let writer = self.authenticated(signed).await?;
        let receipt: SignedReceipt = parse(signed.body)?;
        let workspace = self.workspace()?;
        let key = key_of(&self.state, &workspace.catalog.writers, &writer).await?;
        let is_own = receipt.receipt.asked.writer == writer;
        let verified = key.filter(|_| is_own).as_ref().and_then(|key| receipt.verified(key).cloned());
        let Some(verified) = verified else { return Err(refused("the receipt is not the card writer's")) };
        let text = serde_json::to_string(&receipt)
            .map_err(|e| Failure::bug(format!("a receipt has no JSON: {e}")))?;
        let kept = Receipts::below(workspace.base()).keep(&text, verified.job)?;
        let taken = kept == text
            && end(&self.state, &verified, &text, self.context.clock.now()).await? != Receiving::Other;
        point(Point::CardJobEnded)?;
        // The next card, where every card is wanted. That this fails loses no receipt.
        if let Err(failure) = self.issue().await {
            self.context.events.warn(format!("no further flash jobs are issued: {failure}"));
        }
        Ok(Received { taken })
    }

    /// The writer that signed a request, now and for the first time.
    async fn authenticated(&self, signed: Signed<'_>) -> Result<WriterName> {
        let (params, base, signature) = self.opened(signed)?;
        let (workspace, now) = (self.workspace()?, self.context.clock.now());
        let key = key_of(&self.state, &workspace.catalog.writers, &params.key_id).await?;
        if !key.is_some_and(|key| key.verifies(&base, &signature)) {
            return Err(refused("the request is not signed by a card writer of this catalog"));
        }
        let nonce = format!("{} {}", params.key_id, params.nonce);
        if !self.state.note_nonce(&nonce, now + TimeDelta::seconds(2 * SKEW), now).await? {
            return Err(refused("the request was answered before"));
        }
        Ok(params.key_id)
    }

    /// What a request says of itself, if it was signed not long ago.
    fn opened(&self, signed: Signed<'_>) -> Result<(Params, Vec<u8>, String)> {
        let Signed { method, path, headers, body } = signed;
        let opened = http_signature::read(headers, method, path, body)
            .ok_or_else(|| refused("the request is not signed as it must be"))?;
        let apart = (self.context.clock.now().timestamp() - opened.0.created).abs();
        if apart > SKEW {
            return Err(refused(&format!("the request was signed {apart} s from now"))
                .hint("Set the clocks of both hosts."));
        }
        Ok(opened)
    }

    fn fits(&self, writer: &WriterName, asked: &Claim) -> Result<()> {
        let workspace = self.workspace()?;
        let document = known(&workspace.catalog.writers, writer)?;
        let slot = document.spec.slots.iter().find(|slot| slot.name == asked.slot);
        let Some(slot) = slot else {
            let names: Vec<&str> = document.spec.slots.iter().map(|slot| slot.name.as_str()).collect();
            return Err(Failure::spec(format!("the catalog has no slot {} of {writer}", asked.slot))
                .hint(format!("It has: {}.", names.join(", "))));
        };
        if slot.path != asked.path {
            let (here, there) = (&asked.path, &slot.path);
            let message =
                format!("slot {} of {writer} is at {here}, and at {there} by the catalog", slot.name);
            return Err(Failure::spec(message).hint("Correct the card writer's own file or the catalog."));
        }
        Ok(())
    }

    /// The catalog as it is, or was a moment ago.
    fn workspace(&self) -> Result<Arc<Workspace>> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, workspace)) = read.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return Ok(workspace.clone());
        }
        let opened =
            tokio::task::block_in_place(|| Workspace::open_commit(&self.context, &self.request.catalog));
        match (opened, read.as_ref()) {
            (Ok(workspace), _) => {
                let workspace = Arc::new(workspace);
                *read = Some((Instant::now(), workspace.clone()));
                Ok(workspace)
            }
            // Somebody edits it: the last good one counts until it is in order again.
            (Err(failure), Some((_, workspace))) => {
                self.context.events.warn(format!("the catalog is not in order: {failure}"));
                Ok(workspace.clone())
            }
            (Err(failure), None) => Err(failure),
        }
    }
}

fn refused(why: &str) -> Failure {
    Failure::new(ErrorCode::Untrusted, FailureClass::Upstream, why)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body)
        .map_err(|e| Failure::spec(format!("the request cannot be read: {e}")).code(ErrorCode::Parse))
}
