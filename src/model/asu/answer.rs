//! How far a request is, and what is said of that.

use super::BuildRequest;
use crate::model::Digest;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Map, Value, json};

/// How far a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// It waits.
    Queued,
    /// It is built.
    Started,
    /// There is firmware.
    Done,
    /// There is none, and it is known why.
    Failed,
}

impl JobState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Queued, Self::Started, Self::Done, Self::Failed];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Started => "started",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    /// Whether it may become another one. What was started goes back into the queue when its server
    /// ends; what ended does so when it is asked for again and its firmware is gone.
    pub fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Queued, Self::Started)
                | (Self::Started, Self::Queued | Self::Done | Self::Failed)
                | (Self::Done | Self::Failed, Self::Queued)
        )
    }
}

/// What a build is at, by the words of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It has begun.
    Init,
    /// The Image Builder is fetched and unpacked, or found.
    ContainerSetup,
    /// The revision is compared.
    ValidateRevision,
    /// Packages are resolved and compared.
    ValidateManifest,
    /// `make image` runs.
    BuildingImage,
}

impl Progress {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::ContainerSetup => "container_setup",
            Self::ValidateRevision => "validate_revision",
            Self::ValidateManifest => "validate_manifest",
            Self::BuildingImage => "building_image",
        }
    }
}

/// A request that was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// What it is found by.
    pub hash: Digest,
    /// What was asked.
    pub request: BuildRequest,
    /// How far it is.
    pub state: JobState,
    /// When it was asked.
    pub enqueued: DateTime<Utc>,
    /// When it is forgotten; never while it is open.
    pub expires: Option<DateTime<Utc>>,
    /// The recipe of its firmware, once there is one.
    pub recipe: Option<Digest>,
    /// What is said of it beside that, once it ended.
    pub answer: Map<String, Value>,
}

/// How an open request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// So many are before it.
    Waits(usize),
    /// This is done for it.
    Works(Progress),
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The HTTP status.
    pub status: u16,
    /// `X-Imagebuilder-Status`.
    pub imagebuilder_status: &'static str,
    /// `X-Queue-Position`.
    pub queue_position: usize,
    /// The body.
    pub body: Value,
}

impl Asked {
    /// How long what became of it is kept, as on the public server: what has a script of somebody's
    /// shortest, what names versions longest.
    pub fn keep(&self, state: JobState) -> TimeDelta {
        match (state, &self.request.defaults) {
            (JobState::Failed, _) => TimeDelta::hours(1),
            (_, Some(script)) if !script.is_empty() => TimeDelta::minutes(30),
            _ if self.request.packages_versions.0.is_empty() => TimeDelta::hours(24),
            _ => TimeDelta::days(7),
        }
    }

    /// What its client is told; `standing` counts while it is open.
    pub fn told(&self, standing: Standing) -> Told {
        let mut body = self.answer.clone();
        let mut put = |name: &str, value: Value| body.insert(name.to_owned(), value);
        put("request_hash", json!(self.hash.hex()));
        put("enqueued_at", json!(self.enqueued.to_rfc3339_opts(SecondsFormat::Micros, true)));
        let (status, imagebuilder_status, queue_position) = match (self.state, standing) {
            (JobState::Done, _) => {
                put("request", json!(self.request));
                (200, "done", 0)
            }
            (JobState::Failed, _) => {
                put("request", json!(self.request));
                (500, "failed", 0)
            }
            (JobState::Queued | JobState::Started, Standing::Waits(before)) => {
                put("detail", json!("queued"));
                put("queue_position", json!(before));
                (202, "queued", before)
            }
            (JobState::Queued | JobState::Started, Standing::Works(progress)) => {
                put("detail", json!("started"));
                put("request", json!(self.request));
                (202, progress.as_str(), 0)
            }
        };
        put("status", json!(status));
        if imagebuilder_status != "queued" {
            put("imagebuilder_status", json!(imagebuilder_status));
        }
        Told { status, imagebuilder_status, queue_position, body: Value::Object(body) }
    }
}

/// The name under which a file is handed out: as if the Image Builder had been told the hash of the
/// packages as `EXTRA_IMAGE_NAME`. Builds are not, so that what differs in nothing else is one.
pub fn served_name(name: &str, platform: &crate::model::openwrt::Platform, packages: &Digest) -> String {
    let of = format!("-{}-{}-", platform.target, platform.subtarget);
    match name.find(&of) {
        Some(at) => format!("{}-{}{}", &name[..at], &packages.hex()[..12], &name[at..]),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::asu::SysupgradeSettings;

    fn asked(state: JobState, more: &str) -> Asked {
        let body = format!(r#"{{"version": "24.10.5", "target": "x86/64", "profile": "generic"{more}}}"#);
        let request = BuildRequest::parse(Some(body.as_bytes()), &SysupgradeSettings::default()).unwrap();
        let enqueued = DateTime::from_timestamp(1_750_000_000, 0).unwrap();
        let hash = super::super::hash::request_hash(&request);
        Asked { hash, request, state, enqueued, expires: None, recipe: None, answer: Map::new() }
    }

    #[test]
    fn a_request_that_waits_says_its_place_and_one_at_work_what_is_done() {
        let waits = asked(JobState::Queued, "").told(Standing::Waits(3));
        assert_eq!((waits.status, waits.imagebuilder_status, waits.queue_position), (202, "queued", 3));
        assert_eq!((&waits.body["detail"], &waits.body["queue_position"]), (&json!("queued"), &json!(3)));
        assert_eq!(waits.body["enqueued_at"], "2025-06-15T15:06:40.000000Z");
        let works = asked(JobState::Started, "").told(Standing::Works(Progress::ValidateManifest));
        assert_eq!((works.status, works.imagebuilder_status), (202, "validate_manifest"));
        assert_eq!(
            (&works.body["detail"], &works.body["imagebuilder_status"]),
            (&json!("started"), &json!("validate_manifest"))
        );
        // LuCI tells the two apart by this.
        assert!(works.body.get("queue_position").is_none());
    }

    #[test]
    fn what_ended_says_how() {
        let mut done = asked(JobState::Done, "");
        done.answer = json!({"detail": "done", "bin_dir": "x"}).as_object().unwrap().clone();
        let told = done.told(Standing::Waits(0));
        assert_eq!((told.status, told.imagebuilder_status), (200, "done"));
        assert_eq!((&told.body["bin_dir"], &told.body["status"]), (&json!("x"), &json!(200)));
        assert_eq!(told.body["request"]["version_code"], "");
        let failed = asked(JobState::Failed, "").told(Standing::Waits(0));
        assert_eq!((failed.status, failed.imagebuilder_status), (500, "failed"));
    }

    #[test]
    fn what_is_sure_is_kept_longest() {
        let keep = |more, state| asked(state, more).keep(state);
        assert_eq!(keep("", JobState::Done), TimeDelta::hours(24));
        assert_eq!(keep(r#", "packages_versions": {"a": "1"}"#, JobState::Done), TimeDelta::days(7));
        assert_eq!(keep(r#", "defaults": "echo""#, JobState::Done), TimeDelta::minutes(30));
        assert_eq!(keep(r#", "defaults": """#, JobState::Done), TimeDelta::hours(24));
        assert_eq!(keep("", JobState::Failed), TimeDelta::hours(1));
    }

    #[test]
    fn states_change_in_one_direction() {
        let allowed: Vec<(&str, &str)> = JobState::ALL
            .iter()
            .flat_map(|from| JobState::ALL.map(|to| (*from, to)))
            .filter(|(from, to)| from.may_become(*to))
            .map(|(from, to)| (from.as_str(), to.as_str()))
            .collect();
        assert_eq!(
            allowed,
            [
                ("queued", "started"),
                ("started", "queued"),
                ("started", "done"),
                ("started", "failed"),
                ("done", "queued"),
                ("failed", "queued")
            ]
        );
    }

    #[test]
    fn names_have_the_hash_of_the_packages() {
        let platform = "ramips/mt7621".parse().unwrap();
        let digest = Digest::of("luci");
        let short = &digest.hex()[..12];
        assert_eq!(
            served_name("openwrt-24.10.5-ramips-mt7621-a-squashfs-sysupgrade.bin", &platform, &digest),
            format!("openwrt-24.10.5-{short}-ramips-mt7621-a-squashfs-sysupgrade.bin")
        );
        assert_eq!(
            served_name("openwrt-ramips-mt7621-a.manifest", &platform, &digest),
            format!("openwrt-{short}-ramips-mt7621-a.manifest")
        );
        assert_eq!(served_name("profiles.json", &platform, &digest), "profiles.json");
    }
}
