//! Asking the controller: every request is signed with the agent's own key.

use super::folder::{Folder, WriterSettings};
use super::key::Key;
use crate::effects::post::{Answer, Service};
use crate::effects::random;
use crate::model::failure::IoContext;
use crate::model::http_signature::Params;
use crate::model::receipt::SignedReceipt;
use crate::model::writer::{Slot, WriterName};
use crate::model::writer_api::{
    BEAT, Beat, Beaten, CLAIM, Claim, Claimed, ENROLL, Enroll, Enrolled, RECEIPT, Received,
};
use crate::model::{Failure, Result};
use crate::ops::Context;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;
use std::time::Duration;

/// How long an answer may take, beside what was asked to be waited.
const PATIENCE: Duration = Duration::from_secs(15);
/// The status of an answer without a body (RFC 9110).
const NO_CONTENT: u16 = 204;

/// The controller, as the agent asks it.
pub struct Asking<'a> {
    service: Service,
    runtime: tokio::runtime::Handle,
    context: &'a Context,
    name: &'a WriterName,
    key: &'a Key,
    instance: &'a str,
}

impl<'a> Asking<'a> {
    /// The controller that the folder's settings name.
    ///
    /// # Errors
    /// If its address or authority is not in order.
    pub fn new(folder: &'a Folder, runtime: tokio::runtime::Handle, context: &'a Context) -> Result<Self> {
        let service = service(&folder.path, &folder.settings)?;
        let Folder { settings, key, instance, .. } = folder;
        Ok(Self { service, runtime, context, name: &settings.name, key, instance })
    }

    /// Enrols a key with a token.
    ///
    /// # Errors
    /// If the controller does not answer or refuses.
    pub fn enroll(
        context: &Context,
        folder: &Path,
        settings: &WriterSettings,
        key: &Key,
        token: &str,
    ) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Failure::io("starting the runtime", &e))?;
        let service = service(folder, settings)?;
        let runtime_handle = runtime.handle().clone();
        let asking =
            Asking { service, runtime: runtime_handle, context, name: &settings.name, key, instance: "" };
        let body =
            Enroll { writer: settings.name.clone(), key: key.public()?, token: token.trim().to_owned() };
        let asked = asking.post(ENROLL, &body, PATIENCE);
        let answer = runtime.block_on(asked)?;
        read::<Enrolled>(&answer).map(|_| ())
    }

    /// Asks for a job for a slot; waits that long for one.
    ///
    /// # Errors
    /// Class *upstream* if the controller does not answer; what it refuses otherwise.
    pub fn claim(&self, slot: &Slot, wait: Duration) -> Result<Option<Claimed>> {
        let claim = Claim {
            slot: slot.name.clone(),
            path: slot.path.clone(),
            instance: self.instance.to_owned(),
            wait_seconds: wait.as_secs(),
        };
        let answer = self.runtime.block_on(self.post(CLAIM, &claim, PATIENCE + wait))?;
        if answer.status == NO_CONTENT { Ok(None) } else { read(&answer).map(Some) }
    }

    /// Says that a job is still worked on; whether to go on with it.
    ///
    /// # Errors
    /// As [`Asking::claim`].
    pub fn beat(&self, beat: &Beat) -> Result<bool> {
        let answer = self.runtime.block_on(self.post(BEAT, beat, PATIENCE))?;
        read::<Beaten>(&answer).map(|beaten| beaten.go_on)
    }

    /// Gives a receipt; whether the job ended with it.
    ///
    /// # Errors
    /// As [`Asking::claim`].
    pub fn give(&self, receipt: &SignedReceipt) -> Result<bool> {
        let answer = self.runtime.block_on(self.post(RECEIPT, receipt, PATIENCE))?;
        read::<Received>(&answer).map(|received| received.taken)
    }

    async fn post<T: Serialize>(&self, path: &str, body: &T, time: Duration) -> Result<Answer> {
        let body =
            serde_json::to_vec(body).map_err(|e| Failure::bug(format!("a request has no JSON: {e}")))?;
        let params = Params {
            created: self.context.clock.now().timestamp(),
            nonce: hex::encode(random::bytes::<16>()?),
            key_id: self.name.clone(),
        };
        let headers = params.sign("POST", path, &body, |bytes| self.key.sign(bytes));
        let headers = [
            ("content-digest", headers.content_digest.as_str()),
            ("signature-input", headers.signature_input.as_str()),
            ("signature", headers.signature.as_str()),
        ];
        self.service.post(path, &headers, body, time).await
    }
}

fn service(folder: &Path, settings: &WriterSettings) -> Result<Service> {
    let authority = match &settings.authority {
        Some(path) => {
            let path = folder.join(path);
            Some(std::fs::read(&path).during(|| format!("reading {}", path.display()))?)
        }
        None => None,
    };
    Service::new(&settings.controller, authority.as_deref())
}

/// What the controller answers, or why it refuses.
fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T> {
    let unreadable = |e: serde_json::Error| {
        Failure::upstream(format!(
            "the controller answers HTTP {} with what cannot be read: {e}",
            answer.status
        ))
    };
    if (200..300).contains(&answer.status) {
        return serde_json::from_slice(&answer.body).map_err(unreadable);
    }
    let failure: Failure = serde_json::from_slice(&answer.body).map_err(unreadable)?;
    Err(Failure { message: format!("the controller refuses: {}", failure.message), ..failure })
}
