//! The state database under real processes: killed, deleted, broken, too new, shared.

use bootwright::effects::{Cancel, Process};
use bootwright::model::lock::{LOCK_VERSION, LayerRequest, Lock, LockRequest};
use bootwright::model::run::{Phase, RunState};
use bootwright::model::spec::{Architecture, Base};
use bootwright::model::{Digest, ErrorCode, Event, Failure, ImageName, Version};
use bootwright::planner::{Failures, request_digest};
use bootwright::state::{Acquired, Lease, State, image_lease};
use chrono::{DateTime, TimeDelta, Utc};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

fn image(text: &str) -> ImageName {
    text.parse().unwrap()
}

fn recipe(text: &str) -> (Digest, Version) {
    let digest = Digest::of(text);
    (digest, Version::of(at(0), &digest))
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn db(&self) -> PathBuf {
        self.0.path().join("new folder/state ?#%.db")
    }

    async fn open(&self) -> State {
        State::open(&self.db()).await.unwrap()
    }
}

fn lease(acquired: Acquired) -> Lease {
    match acquired {
        Acquired::Yes(lease) => lease,
        Acquired::HeldBy(holder) => panic!("held by {holder}"),
    }
}

async fn acquire(state: &State, name: &str, pid: u32, now: DateTime<Utc>) -> Acquired {
    state.acquire_lease(name, "test", pid, TimeDelta::minutes(5), now).await.unwrap()
}

#[test]
fn only_the_owner_may_read_it() {
    wait(async {
        let folder = Folder::new();
        let state = folder.open().await;
        state.record_check(&image("edge"), at(0)).await.unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let db = folder.db();
        assert_eq!(mode(db.parent().unwrap()), 0o700);
        for entry in std::fs::read_dir(db.parent().unwrap()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|e| e != "lock") {
                assert_eq!(mode(&path), 0o600, "{}", path.display());
            }
        }
        state.close().await.unwrap();
        std::fs::set_permissions(&db, std::fs::Permissions::from_mode(0o666)).unwrap();
        folder.open().await;
        assert_eq!(mode(&db), 0o600);
    });
}

#[test]
fn a_run_goes_through_its_life() {
    wait(async {
        let folder = Folder::new();
        let state = folder.open().await;
        let edge = image("edge");
        let (digest, version) = recipe("one");
        let run = state.start_run(&edge, &digest, &version, at(0)).await.unwrap();
        assert_eq!((run.attempt, run.state.phase()), (1, Phase::Building));

        let wrong = state.advance(run.id, RunState::Published, at(1)).await.unwrap_err();
        assert_eq!(wrong.code, ErrorCode::Internal);
        assert!(wrong.message.contains("cannot go from Building to Published"), "{wrong}");
        assert_eq!(state.runs(&edge).await.unwrap(), std::slice::from_ref(&run));

        let failure = Failure::upstream("mirror is down").hint("Wait.");
        let failed = RunState::Failed { failure: failure.clone() };
        state.advance(run.id, failed.clone(), at(2)).await.unwrap();
        let again = state.start_run(&edge, &digest, &version, at(3)).await.unwrap();
        assert_eq!((again.id, again.attempt, again.created), (run.id, 2, at(0)));
        // The memory of the failure stays while the next attempt runs, and when it is killed.
        let history = state.history(at(4)).await.unwrap();
        let expected = Failures { of: digest, count: 1, last: failure.clone(), at: at(2) };
        assert_eq!(history[&edge].build, Some(expected));
        let third = state.start_run(&edge, &digest, &version, at(5)).await.unwrap();
        assert_eq!((third.id, third.attempt), (run.id, 3));
        // Stopped by the user: told, not counted.
        state.advance(run.id, RunState::Failed { failure: Failure::cancelled() }, at(6)).await.unwrap();
        let build = state.history(at(7)).await.unwrap()[&edge].build.clone().unwrap();
        assert_eq!((build.count, build.last), (1, Failure::cancelled()));

        state.start_run(&edge, &digest, &version, at(8)).await.unwrap();
        for next in [RunState::Verifying, RunState::Publishing, RunState::Published] {
            state.advance(run.id, next, at(9)).await.unwrap();
        }
        assert_eq!(state.history(at(10)).await.unwrap().get(&edge), None);
        assert!(state.advance(run.id, RunState::Building, at(10)).await.is_err());
        // Damaged later: a new run of the same recipe.
        let repair = state.start_run(&edge, &digest, &version, at(11)).await.unwrap();
        assert!(repair.id > run.id && repair.attempt == 1);
    });
}

#[test]
fn a_newer_recipe_supersedes_open_runs() {
    wait(async {
        let folder = Folder::new();
        let state = folder.open().await;
        let edge = image("edge");
        for (n, phases) in [
            vec![RunState::Failed { failure: Failure::spec("no such package") }],
            vec![RunState::Verifying],
            vec![RunState::Verifying, RunState::Publishing],
        ]
        .into_iter()
        .enumerate()
        {
            let (digest, version) = recipe(&n.to_string());
            let run = state.start_run(&edge, &digest, &version, at(0)).await.unwrap();
            for phase in phases {
                state.advance(run.id, phase, at(1)).await.unwrap();
            }
        }
        let other = state.start_run(&image("other"), &recipe("0").0, &recipe("0").1, at(2)).await.unwrap();
        let (digest, version) = recipe("new");
        let newest = state.start_run(&edge, &digest, &version, at(3)).await.unwrap();
        let runs = state.runs(&edge).await.unwrap();
        assert_eq!(runs[0], newest);
        assert!(runs[1..].iter().all(|run| run.state == RunState::Superseded), "{runs:?}");
        assert_eq!(state.runs(&image("other")).await.unwrap(), [other]);
        assert_eq!(state.history(at(4)).await.unwrap().get(&edge), None);
    });
}

#[test]
fn events_are_kept_in_order() {
    wait(async {
        let folder = Folder::new();
        let state = folder.open().await;
        let (digest, version) = recipe("one");
        let run = state.start_run(&image("edge"), &digest, &version, at(0)).await.unwrap();
        for message in ["one", "two"] {
            let event = Event::Warning { message: message.to_owned() };
            state.record_events(run.id, &[(at(1), event.clone())]).await.unwrap();
        }
        let events = state.events(run.id).await.unwrap();
        assert_eq!(events[1].1, serde_json::json!({"event": "warning", "message": "two"}));
        assert_eq!((events.len(), events[0].0), (2, at(1)));
        let nobody = bootwright::model::run::RunId(uuid::Uuid::nil());
        let event = Event::Warning { message: String::new() };
        assert!(state.record_events(nobody, &[(at(1), event.clone())]).await.is_err());
    });
}

#[test]
fn events_of_one_run_are_capped() {
    wait(async {
        let folder = Folder::new();
        let state = folder.open().await;
        let (digest, version) = recipe("one");
        let run = state.start_run(&image("edge"), &digest, &version, at(0)).await.unwrap();
        let event = |n: usize| (at(1), Event::Warning { message: n.to_string() });
        let first: Vec<_> = (0..700).map(event).collect();
        state.record_events(run.id, &first).await.unwrap();
        let second: Vec<_> = (700..2000).map(event).collect();
        state.record_events(run.id, &second).await.unwrap();
        let third: Vec<_> = (2000..2010).map(event).collect();
        state.record_events(run.id, &third).await.unwrap();
        let events = state.events(run.id).await.unwrap();
        assert_eq!(events.len(), bootwright::state::EVENTS_KEPT);
        assert_eq!(events[0].1["message"], "1010");
        assert_eq!(events.last().unwrap().1["message"], "2009");
    });
}

#[test]
fn old_runs_are_forgotten_and_open_ones_are_not() {
    const DAY: i64 = 86_400;
    wait(async {
        let folder = Folder::new();
        let state = folder.open().await;
        let kept = usize::try_from(bootwright::state::RUNS_KEPT).unwrap();
        let edge = image("edge");
        let mut ids = Vec::new();
        for n in 0..60 {
            // Each supersedes the one before.
            let (digest, version) = recipe(&n.to_string());
            let run = state.start_run(&edge, &digest, &version, at(n)).await.unwrap();
            state.record_events(run.id, &[(at(n), Event::Warning { message: n.to_string() })]).await.unwrap();
            ids.push(run.id);
        }
        let failure = RunState::Failed { failure: Failure::upstream("mirror is down") };
        state.advance(ids[59], failure, at(60)).await.unwrap();
        let other = image("other");
        let (digest, version) = recipe("other");
        let old = state.start_run(&other, &digest, &version, at(0)).await.unwrap();
        for next in [RunState::Verifying, RunState::Publishing, RunState::Published] {
            state.advance(old.id, next, at(1)).await.unwrap();
        }

        assert_eq!(state.prune(at(100)).await.unwrap(), 9, "59 are over, the newest stay");
        let runs = state.runs(&edge).await.unwrap();
        assert_eq!((runs.len(), runs[0].id), (kept + 1, ids[59]));
        assert_eq!(state.events(ids[0]).await.unwrap(), []);
        assert_eq!(state.events(ids[58]).await.unwrap().len(), 1);
        assert_eq!(state.prune(at(100)).await.unwrap(), 0);

        // After a year only the newest finished one and the open one are left.
        assert_eq!(state.prune(at(400 * DAY)).await.unwrap(), 49);
        let runs = state.runs(&edge).await.unwrap();
        assert_eq!(runs.iter().map(|run| run.id).collect::<Vec<_>>(), [ids[59], ids[58]]);
        assert_eq!(state.runs(&other).await.unwrap().len(), 1);
        assert_eq!(state.history(at(400 * DAY)).await.unwrap()[&edge].build.as_ref().unwrap().count, 1);
    });
}

fn lock(package: &str) -> Lock {
    let layer = LayerRequest { name: "bootstrap".to_owned(), packages: vec![package.parse().unwrap()] };
    let request = LockRequest {
        base: Base::DEBIAN,
        suite: "bookworm".parse().unwrap(),
        architecture: Architecture::X86_64,
        layers: vec![layer],
    };
    Lock {
        lock_version: LOCK_VERSION,
        image: image("edge"),
        request,
        indexes: vec![],
        dates: vec![],
        passed_over: vec![],
        packages: vec![],
    }
}

#[test]
fn checks_and_made_locks() {
    wait(async {
        let folder = Folder::new();
        let state = folder.open().await;
        let edge = image("edge");
        assert_eq!(state.made_lock(&edge).await.unwrap(), None);
        for package in ["a", "b"] {
            state.put_made_lock(&edge, &lock(package).into()).await.unwrap();
        }
        assert_eq!(state.made_lock(&edge).await.unwrap(), Some(lock("b").into()));
        assert_eq!(
            state.made_lock_for(&edge, &lock("b").request.into()).await.unwrap(),
            Some(lock("b").into())
        );
        assert_eq!(state.made_lock_for(&edge, &lock("a").request.into()).await.unwrap(), None);

        state.record_check(&edge, at(0)).await.unwrap();
        let down = Failure::upstream("mirror is down");
        for (package, n) in [("a", 1), ("b", 2), ("b", 3)] {
            state.record_check_failure(&edge, &lock(package).request.into(), &down, at(n)).await.unwrap();
        }
        state
            .record_check_failure(&edge, &lock("b").request.into(), &Failure::cancelled(), at(4))
            .await
            .unwrap();
        let history = state.history(at(5)).await.unwrap()[&edge].clone();
        assert_eq!(history.last_checked_upstream, Some(at(0)));
        let failures = history.lock.unwrap();
        assert_eq!(
            (failures.of, failures.count, failures.at),
            (request_digest(&lock("b").request.into()), 2, at(4))
        );
        state.record_check(&edge, at(6)).await.unwrap();
        let history = state.history(at(7)).await.unwrap()[&edge].clone();
        assert_eq!((history.lock, history.last_checked_upstream), (None, Some(at(6))));
    });
}

#[test]
fn a_lease_is_held_by_one() {
    wait(async {
        let folder = Folder::new();
        let (a, b) = (folder.open().await, folder.open().await);
        let own = std::process::id();
        let held = lease(acquire(&a, "x", own, at(0)).await);
        for state in [&a, &b] {
            let Acquired::HeldBy(holder) = acquire(state, "x", own, at(1)).await else { panic!("twice") };
            assert_eq!(holder.to_string(), format!("test, pid {own}"));
        }
        let held = a.renew(&held, TimeDelta::minutes(10), at(200)).await.unwrap();
        assert!(matches!(acquire(&b, "x", own, at(500)).await, Acquired::HeldBy(_)));
        // Time is up: it may be taken over, and the old holder finds out.
        let taken = lease(acquire(&b, "x", own, at(1000)).await);
        let lost = a.renew(&held, TimeDelta::minutes(10), at(1000)).await.unwrap_err();
        assert!(lost.message.contains("was taken over"), "{lost}");
        a.release(held).await.unwrap();
        assert!(b.holder("x", at(1001)).await.unwrap().is_some());
        b.release(taken).await.unwrap();
        assert_eq!(b.holder("x", at(1001)).await.unwrap(), None);
        lease(acquire(&a, "x", own, at(1001)).await);
    });
}

#[test]
fn a_lease_ends_with_its_process() {
    wait(async {
        let folder = Folder::new();
        let state = folder.open().await;
        let mut child = Process::new("sleep").arg("600").spawn().unwrap();
        let edge = image("edge");
        lease(acquire(&state, &image_lease(&edge), child.id(), at(0)).await);
        assert!(matches!(acquire(&state, &image_lease(&edge), 1, at(1)).await, Acquired::HeldBy(_)));
        let by = state.history(at(1)).await.unwrap()[&edge].leased_by.clone();
        assert_eq!(by, Some(format!("test, pid {}", child.id())));
        child.kill();
        let _ = child.wait();
        assert_eq!(state.history(at(1)).await.unwrap().get(&edge), None);
        lease(acquire(&state, &image_lease(&edge), std::process::id(), at(1)).await);
    });
}

#[test]
fn a_deleted_database_is_made_again() {
    wait(async {
        let folder = Folder::new();
        let state = folder.open().await;
        state.record_check(&image("edge"), at(0)).await.unwrap();
        std::fs::remove_dir_all(folder.db().parent().unwrap()).unwrap();
        let new = folder.open().await;
        assert!(new.warning().is_none());
        assert!(new.history(at(1)).await.unwrap().is_empty());
        // Who still has the deleted one open gets no lease from it.
        let held = lease(acquire(&new, "x", std::process::id(), at(1)).await);
        let refused = state
            .acquire_lease("x", "test", std::process::id(), TimeDelta::minutes(5), at(1))
            .await
            .unwrap_err();
        assert!(refused.message.contains("deleted or replaced"), "{refused}");
        assert!(state.renew(&held, TimeDelta::minutes(5), at(1)).await.is_err());
    });
}

#[test]
fn a_broken_file_is_moved_aside() {
    wait(async {
        for broken in [b"this is no database ".repeat(500), b"SQLite format 3\0".repeat(500)] {
            let folder = Folder::new();
            std::fs::create_dir_all(folder.db().parent().unwrap()).unwrap();
            std::fs::write(folder.db(), &broken).unwrap();
            let state = folder.open().await;
            let warning = state.warning().unwrap().to_owned();
            assert!(warning.contains("was moved to"), "{warning}");
            let aside = folder.db().with_file_name("state ?#%.db.broken-1");
            assert_eq!(std::fs::read(aside).unwrap(), broken);
            state.record_check(&image("edge"), at(0)).await.unwrap();
            drop(state);
            assert!(folder.open().await.warning().is_none());
        }
    });
}

#[test]
fn a_newer_database_is_refused() {
    wait(async {
        let folder = Folder::new();
        folder.open().await.close().await.unwrap();
        let db = folder.db();
        let mut bytes = std::fs::read(&db).unwrap();
        // The file format keeps user_version at offset 60, big endian (sqlite.org/fileformat.html).
        let known = u32::from_be_bytes(bytes[60..64].try_into().unwrap());
        assert!(known >= 2, "version {known}");
        bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
        std::fs::write(&db, &bytes).unwrap();
        let refused = State::open(&db).await.unwrap_err();
        assert!(refused.message.contains("newer bootwright"), "{refused}");
        assert!(refused.message.contains(&format!("version 99, this program knows {known}")), "{refused}");
        assert!(refused.hint.unwrap().contains("Update"));
        assert_eq!(std::fs::read(&db).unwrap(), bytes);
    });
}

#[test]
fn a_path_that_cannot_be_used_is_refused() {
    wait(async {
        let folder = Folder::new();
        std::fs::create_dir_all(folder.db()).unwrap();
        let refused = State::open(&folder.db()).await.unwrap_err();
        assert!(refused.message.contains("state ?#%.db"), "{refused}");
        assert!(folder.db().is_dir());
        let below_a_file = folder.0.path().join("file/state.db");
        std::fs::write(folder.0.path().join("file"), "").unwrap();
        assert!(State::open(&below_a_file).await.is_err());
    });
}

/// What a child process of the tests below does; without a database it does nothing.
#[test]
fn child() {
    #[expect(clippy::disallowed_methods, reason = "how a test speaks to its own child")]
    let (db, job) = (std::env::var_os("STATE_TEST_DB"), std::env::var("STATE_TEST_JOB"));
    let (Some(db), Ok(job)) = (db, job) else { return };
    let db = PathBuf::from(db);
    match job.as_str() {
        "write for ever" => wait(write_for_ever(&db)),
        jobs => wait(take_jobs(&db, jobs)),
    }
}

fn spawn_child(db: &Path, job: &str) -> Process {
    Process::new(std::env::current_exe().unwrap())
        .args(["--exact", "state::child", "--nocapture"])
        .env("STATE_TEST_DB", db)
        .env("STATE_TEST_JOB", job)
}

async fn write_for_ever(db: &Path) {
    let state = State::open(db).await.unwrap();
    for n in 0_u64.. {
        let (digest, version) = recipe(&n.to_string());
        let run = state.start_run(&image("edge"), &digest, &version, at(0)).await.unwrap();
        for next in [RunState::Verifying, RunState::Publishing, RunState::Published] {
            state.advance(run.id, next, at(1)).await.unwrap();
        }
    }
}

#[test]
fn killed_in_the_middle_of_anything_it_opens_again() {
    let folder = Folder::new();
    let mut count = 0;
    for n in 0..12 {
        let mut child = spawn_child(&folder.db(), "write for ever").spawn().unwrap();
        // Some of the children are killed while they make the database.
        std::thread::sleep(Duration::from_millis(15 + 25 * n));
        child.kill();
        let _ = child.wait();
        wait(async {
            let state = folder.open().await;
            assert!(state.warning().is_none());
            let runs = state.runs(&image("edge")).await.unwrap();
            assert!(runs.len() >= count, "committed runs were lost");
            count = runs.len();
            let open = runs.iter().filter(|run| !run.state.is_final()).count();
            assert!(open <= 1, "{open} open runs");
            // What was left open is taken up again.
            if let Some(left) = runs.iter().find(|run| !run.state.is_final()) {
                let again = state.start_run(&left.image, &left.recipe, &left.version, at(2)).await.unwrap();
                assert_eq!((again.id, again.attempt), (left.id, left.attempt + 1));
                state.close().await.unwrap();
            }
        });
    }
    assert!(count > 0, "no child lived long enough to write");
}

const JOBS: usize = 1000;

/// Does every job that nobody has done: each is marked by a file that must not be there yet.
async fn take_jobs(db: &Path, marks: &str) {
    let state = State::open(db).await.unwrap();
    let own = std::process::id();
    for n in 0..JOBS {
        let name = image(&format!("job-{n}"));
        let Acquired::Yes(lease) = acquire(&state, name.as_str(), own, at(0)).await else { continue };
        let (digest, version) = recipe("one");
        let runs = state.runs(&name).await.unwrap();
        if runs.iter().all(|run| run.state != RunState::Published) {
            let run = state.start_run(&name, &digest, &version, at(0)).await.unwrap();
            let mark = Path::new(marks).join(name.as_str());
            std::fs::OpenOptions::new().write(true).create_new(true).open(mark).unwrap();
            for next in [RunState::Verifying, RunState::Publishing, RunState::Published] {
                state.advance(run.id, next, at(1)).await.unwrap();
            }
        }
        state.release(lease).await.unwrap();
    }
}

#[test]
fn four_processes_do_a_thousand_jobs_once_each() {
    let folder = Folder::new();
    let marks = folder.0.path().join("marks");
    std::fs::create_dir(&marks).unwrap();
    // All four also race to make the database.
    let children: Vec<_> = (0..4)
        .map(|_| {
            let child = spawn_child(&folder.db(), marks.to_str().unwrap()).timeout(Duration::from_secs(300));
            std::thread::spawn(move || child.check(&Cancel::default()))
        })
        .collect();
    for child in children {
        child.join().unwrap().unwrap();
    }
    assert_eq!(std::fs::read_dir(&marks).unwrap().count(), JOBS);
    wait(async {
        let state = folder.open().await;
        for n in 0..JOBS {
            let runs = state.runs(&image(&format!("job-{n}"))).await.unwrap();
            assert_eq!(runs.iter().map(|run| run.attempt).collect::<Vec<_>>(), [1]);
        }
    });
}
