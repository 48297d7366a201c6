//! Which of a mirror's addresses is asked.
//!
//! A mirror may have several addresses for the same content. Before a package manager is asked,
//! each of them is asked for the small file that says how old its indexes are: who does not
//! answer, answers with something else, or shows older indexes than another one or than were
//! locked before, is passed over. What a date says is not trusted: a signature decides, and if
//! it is bad, the next address is taken.

use super::Manager;
use crate::build::Builder;
use crate::effects::fetch;
use crate::model::lock::{LockRequest, LockedIndex, PassedOver};
use crate::model::settings::Mirror;
use crate::model::{Failure, FailureClass, Result};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use std::time::Duration;

/// A mirror that sends nothing for so long is passed over.
const IDLE: Duration = Duration::from_secs(15);
/// No head of an index is larger.
const HEAD_LIMIT: u64 = 16 << 20;

/// A mirror with its place in the settings.
pub(super) struct Placed<'a> {
    /// Its index in `mirrors:`.
    pub place: usize,
    /// The mirror.
    pub mirror: &'a Mirror,
    /// Its addresses by their index in `urls:`, the one to be asked first in front.
    pub order: Vec<usize>,
}

/// The dates of the indexes that one address shows, or why it shows none.
type Seen = Result<BTreeMap<String, DateTime<Utc>>, String>;

impl Placed<'_> {
    /// The mirror with the one address that is asked at the `attempt`th time.
    pub(super) fn at(&self, attempt: usize) -> Mirror {
        let url = self.url(attempt).and_then(|index| self.mirror.urls.get(index));
        Mirror { urls: url.cloned().into_iter().collect(), ..self.mirror.clone() }
    }

    fn url(&self, attempt: usize) -> Option<usize> {
        self.order.get(attempt % self.order.len().max(1)).copied()
    }

    /// The note that the address of this attempt is passed over; none if there is no other one.
    pub(super) fn note(&self, attempt: usize, why: &str) -> Option<PassedOver> {
        let url = self.url(attempt).filter(|_| self.order.len() > 1)?;
        Some(PassedOver { mirror: name(self.place, url), why: why.to_owned() })
    }
}

fn name(place: usize, url: usize) -> String {
    format!("mirrors[{place}].urls[{url}]")
}

/// The mirrors of a distribution with their addresses in the order in which they are asked, and
/// those that are passed over.
pub(super) fn choose<'a>(
    builder: &'a Builder<'_>,
    manager: &dyn Manager,
    request: &LockRequest,
    before: &[LockedIndex],
) -> (Vec<Placed<'a>>, Vec<PassedOver>) {
    let (mut placed, mut notes) = (Vec::new(), Vec::new());
    for (place, mirror) in builder.mirrors.iter().enumerate().filter(|(_, m)| m.base == request.base) {
        let heads = manager.heads(mirror, request);
        let all: Vec<usize> = (0..mirror.urls.len()).collect();
        let order = if all.len() < 2 || heads.is_empty() || builder.offline {
            all
        } else {
            let (order, passed) = judge(&survey(builder, manager, mirror, &heads), before);
            notes.extend(passed.into_iter().map(|(url, why)| PassedOver { mirror: name(place, url), why }));
            if order.is_empty() { all } else { order }
        };
        placed.push(Placed { place, mirror, order });
    }
    (placed, notes)
}

/// Asks all addresses of a mirror at once.
fn survey(
    builder: &Builder<'_>,
    manager: &dyn Manager,
    mirror: &Mirror,
    heads: &[(String, String)],
) -> Vec<Seen> {
    let ask = |url: &String| {
        let base = url.trim_end_matches('/').to_owned();
        async move {
            let mut dates = BTreeMap::new();
            for (index, path) in heads {
                let address = format!("{base}/{path}");
                let bytes = fetch::small(builder.client, &address, HEAD_LIMIT, IDLE)
                    .await
                    .map_err(|failure| format!("{index}: {}", failure.message))?;
                let date = manager.head_date(&bytes).ok_or_else(|| format!("{index}: no index is there"))?;
                dates.insert(index.clone(), date);
            }
            Ok(dates)
        }
    };
    builder.runtime.block_on(futures_util::future::join_all(mirror.urls.iter().map(ask)))
}

/// The addresses in the order in which they are asked, and those that are passed over. One that
/// is older than another one still comes last: the newer one may turn out to lie.
fn judge(seen: &[Seen], before: &[LockedIndex]) -> (Vec<usize>, Vec<(usize, String)>) {
    let mut newest: BTreeMap<&str, DateTime<Utc>> = BTreeMap::new();
    for (index, date) in seen.iter().flatten().flatten() {
        let known = newest.entry(index).or_insert(*date);
        *known = (*known).max(*date);
    }
    let locked: BTreeMap<&str, DateTime<Utc>> = before.iter().map(|i| (i.suite.as_str(), i.date)).collect();
    let older = |dates: &BTreeMap<String, DateTime<Utc>>, than: &BTreeMap<&str, DateTime<Utc>>| {
        let mut dates = dates.iter();
        dates.find_map(|(index, date)| {
            let other = than.get(index.as_str()).filter(|other| *other > date)?;
            Some(format!("{index}: its index is of {date}, older than of {other}"))
        })
    };
    let (mut good, mut late, mut passed) = (Vec::new(), Vec::new(), Vec::new());
    for (url, seen) in seen.iter().enumerate() {
        match seen {
            Err(why) => passed.push((url, why.clone())),
            Ok(dates) => match (older(dates, &locked), older(dates, &newest)) {
                (Some(why), _) => passed.push((url, format!("{why}, which was locked before"))),
                (None, Some(why)) => {
                    late.push(url);
                    passed.push((url, format!("{why}, which another address has")));
                }
                (None, None) => good.push(url),
            },
        }
    }
    // Nobody is passed over for nobody: with no good address the late ones are all there is.
    good.append(&mut late);
    (good, passed)
}

/// Asks a manager with one address of each mirror after the other until one answers.
pub(super) fn ask<T>(
    builder: &Builder<'_>,
    placed: &[Placed<'_>],
    notes: &mut Vec<PassedOver>,
    mut question: impl FnMut(&[&Mirror]) -> Result<T>,
) -> Result<T> {
    let attempts = placed.iter().map(|p| p.order.len()).max().unwrap_or(1).max(1);
    for attempt in 0.. {
        let chosen: Vec<Mirror> = placed.iter().map(|p| p.at(attempt)).collect();
        let chosen: Vec<&Mirror> = chosen.iter().collect();
        match question(&chosen) {
            Err(failure) if is_the_mirrors(&failure) && attempt + 1 < attempts => {
                for note in placed.iter().filter_map(|p| p.note(attempt, &failure.message)) {
                    warn(builder, &note);
                    notes.push(note);
                }
            }
            answered => {
                // Who answered in the end was not passed over.
                let used = |p: &Placed<'_>| Some(name(p.place, p.url(attempt)?));
                let used: Vec<String> = placed.iter().filter_map(used).collect();
                notes.retain(|note| !used.contains(&note.mirror));
                return answered;
            }
        }
    }
    Err(Failure::bug("no mirror was asked"))
}

fn is_the_mirrors(failure: &Failure) -> bool {
    failure.class == FailureClass::Upstream
}

/// Says that an address is passed over, by its place in the settings: pages that all can read
/// show no addresses.
pub(super) fn warn(builder: &Builder<'_>, note: &PassedOver) {
    builder.events.warn(format!("{} of bootwright.yaml is passed over: {}", note.mirror, note.why));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;

    fn day(day: u32) -> DateTime<Utc> {
        format!("2026-11-{day:02}T00:00:00Z").parse().unwrap()
    }

    fn shows(dates: &[(&str, u32)]) -> Seen {
        Ok(dates.iter().map(|(index, d)| ((*index).to_owned(), day(*d))).collect())
    }

    fn locked(index: &str, on: u32) -> LockedIndex {
        LockedIndex {
            suite: index.to_owned(),
            date: day(on),
            digest: Digest::of("index"),
            keyring: Digest::of("keyring"),
        }
    }

    #[test]
    fn who_answers_with_the_newest_indexes_comes_first() {
        let seen = [
            Err("a: HTTP 404 Not Found".to_owned()),
            shows(&[("a", 10), ("b", 9)]),
            shows(&[("a", 10), ("b", 10)]),
            shows(&[("a", 10), ("b", 10)]),
        ];
        let (order, passed) = judge(&seen, &[]);
        assert_eq!(order, [2, 3, 1]);
        let urls: Vec<usize> = passed.iter().map(|(url, _)| *url).collect();
        assert_eq!(urls, [0, 1]);
        assert!(passed[1].1.starts_with("b: its index is of 2026-11-09") && passed[1].1.contains("another"));
    }

    #[test]
    fn what_was_locked_before_is_not_undone() {
        let seen = [shows(&[("a", 5)]), shows(&[("a", 7)])];
        let (order, passed) = judge(&seen, &[locked("a", 6), locked("gone", 30)]);
        assert_eq!(order, [1]);
        assert!(passed[0].1.ends_with("locked before"), "{passed:?}");
        assert!(judge(&seen, &[locked("a", 8)]).0.is_empty());
        assert_eq!(judge(&seen[..1], &[locked("a", 5)]).0, [0]);
    }

    #[test]
    fn addresses_take_turns() {
        let mirror: Mirror = serde_json::from_value(serde_json::json!({
            "base": "debian", "urls": ["http://a.example", "http://b.example"], "suites": ["{suite}"],
            "components": ["main"], "keyring": "k.gpg"
        }))
        .unwrap();
        let placed = Placed { place: 3, mirror: &mirror, order: vec![1, 0] };
        assert_eq!(placed.at(0).urls, ["http://b.example"]);
        assert_eq!(placed.at(1).urls, ["http://a.example"]);
        assert_eq!(placed.at(2).urls, ["http://b.example"]);
        assert_eq!(placed.note(0, "x").unwrap().mirror, "mirrors[3].urls[1]");
        let alone = Placed { place: 0, mirror: &mirror, order: vec![0] };
        assert!(alone.note(0, "x").is_none());
    }
}
