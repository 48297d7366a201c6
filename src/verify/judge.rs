//! What a booted image told of itself, held against what was asked of it.

use crate::model::probe::{Facts, SESSION, Unit};
use crate::model::spec::{BootMode, Protocol, Verify};

/// What was found, one fact a line, and what was missing.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Facts: `units failed: 0`.
    pub findings: Vec<String>,
    /// Why the image is refused; empty when it is not.
    pub reasons: Vec<String>,
}

impl Judgement {
    fn found(&mut self, what: impl Into<String>) {
        self.findings.push(what.into());
    }

    fn miss(&mut self, what: impl Into<String>) {
        self.reasons.push(what.into());
    }
}

/// Whether a mode starts by UEFI.
pub fn is_uefi(mode: BootMode) -> bool {
    !matches!(mode, BootMode::Bios | BootMode::BiosUsb)
}

/// Whether a mode has Secure Boot on.
pub fn is_secure(mode: BootMode) -> bool {
    matches!(mode, BootMode::SecureBoot | BootMode::SecureBootUsb)
}

/// Whether it came up the way it was started.
pub fn started(facts: &Facts, mode: BootMode) -> Judgement {
    let mut judgement = Judgement::default();
    judgement.found(format!("kernel: {}", facts.kernel.as_deref().unwrap_or("unknown")));
    let firmware = match facts.uefi {
        Some(true) => "uefi",
        Some(false) => "bios",
        None => "unknown",
    };
    judgement.found(format!("firmware: {firmware}"));
    if facts.uefi != Some(is_uefi(mode)) {
        judgement.miss(format!("it was started as {} and says its firmware is {firmware}", mode.as_str()));
    }
    if is_uefi(mode) {
        let secure = match facts.secure_boot {
            Some(true) => "on",
            Some(false) => "off",
            None => "unknown",
        };
        judgement.found(format!("secure boot: {secure}"));
        if is_secure(mode) && facts.secure_boot != Some(true) {
            judgement.miss(format!("secure boot is {secure} inside the machine, it must be on"));
        }
    }
    if facts.boot_id.is_none() {
        judgement.miss("it told no boot id");
    }
    judgement
}

/// Whether services are still starting, so that it is too early to judge.
pub fn is_starting(facts: &Facts) -> bool {
    matches!(facts.state.as_deref(), Some("starting" | "initializing"))
}

/// Whether it is in the state that the spec asks for.
pub fn healthy(facts: &Facts, wish: &Verify) -> Judgement {
    let mut judgement = Judgement::default();
    let state = facts.state.as_deref().unwrap_or("unknown");
    judgement.found(format!("state: {state}"));
    judgement.found(format!("units failed: {}", facts.failed.len()));
    // A degraded system is refused by the names of its failed units, if it told any.
    let explained = state == "degraded" && !facts.failed.is_empty();
    if state != "running" && !explained {
        judgement.miss(format!("the system is {state}, not running"));
    }
    for unit in &facts.failed {
        judgement.miss(describe_failed(unit, facts));
    }
    for wanted in &wish.units {
        judge_unit(&wanted.full(), facts, &mut judgement);
    }
    for port in &wish.ports {
        judge_port(port.get(), facts, &mut judgement);
    }
    if let Some(uptime) = &facts.uptime {
        judgement.found(format!("uptime: {uptime} s"));
    }
    if let Some(taint) = facts.taint {
        judgement.found(format!("kernel taint: {taint}"));
    }
    judgement.findings.extend(facts.time.iter().cloned());
    judgement
}

/// What a graphical session said last, for who wonders why it is not there.
pub fn last_words(facts: &Facts) -> Vec<String> {
    let session = facts.journal.iter().filter(|(name, _)| name == SESSION);
    session.map(|(_, line)| format!("the session said: {line}")).collect()
}

fn describe_failed(unit: &Unit, facts: &Facts) -> String {
    let words: Vec<&str> =
        facts.journal.iter().filter(|(name, _)| *name == unit.name).map(|(_, line)| line.as_str()).collect();
    let words = if words.is_empty() { String::new() } else { format!(": {}", words.join(" | ")) };
    format!("unit {} failed ({}){words}", unit.name, unit.result)
}

fn judge_unit(name: &str, facts: &Facts, judgement: &mut Judgement) {
    let Some(unit) = facts.units.iter().find(|u| u.name == name) else {
        judgement.miss(format!("unit {name}: it told nothing of it"));
        return;
    };
    judgement.found(format!("unit {name}: {} ({})", unit.active, unit.sub));
    if unit.load == "not-found" {
        judgement.miss(format!("unit {name} does not exist in the image"));
    } else if unit.active != "active" && !facts.failed.iter().any(|f| f.name == name) {
        judgement.miss(format!("unit {name} is {} ({}), not active", unit.active, unit.sub));
    }
}

fn judge_port(port: u16, facts: &Facts, judgement: &mut Judgement) {
    let sockets: Vec<_> =
        facts.listening.iter().filter(|l| l.protocol == Protocol::Tcp && l.port == port).collect();
    if sockets.is_empty() {
        judgement.found(format!("port {port}/tcp: closed"));
        judgement.miss(format!("port {port}/tcp is closed: nothing listens on it"));
    } else if sockets.iter().all(|l| l.loopback) {
        judgement.found(format!("port {port}/tcp: open on loopback only"));
    } else {
        judgement.found(format!("port {port}/tcp: open"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::probe::Listening;

    fn unit(name: &str, active: &str, result: &str) -> Unit {
        let load = if active == "-" { "not-found" } else { "loaded" };
        Unit {
            name: name.into(),
            load: load.into(),
            active: active.into(),
            sub: "dead".into(),
            result: result.into(),
        }
    }

    fn wish() -> Verify {
        Verify {
            units: vec!["nginx".parse().unwrap()],
            ports: vec![80.try_into().unwrap()],
            ..Verify::default()
        }
    }

    fn good() -> Facts {
        Facts {
            state: Some("running".into()),
            units: vec![unit("nginx.service", "active", "success")],
            listening: vec![Listening { protocol: Protocol::Tcp, port: 80, loopback: false }],
            ..Facts::default()
        }
    }

    #[test]
    fn a_healthy_system_has_no_reasons() {
        let judgement = healthy(&good(), &wish());
        assert_eq!(judgement.reasons, Vec::<String>::new());
        assert!(judgement.findings.contains(&"units failed: 0".to_owned()));
    }

    #[test]
    fn everything_missing_is_named() {
        let reasons = |change: fn(&mut Facts)| {
            let mut facts = good();
            change(&mut facts);
            healthy(&facts, &wish()).reasons.join("; ")
        };
        assert_eq!(reasons(|f| f.state = None), "the system is unknown, not running");
        assert_eq!(
            reasons(|f| f.state = Some("maintenance".into())),
            "the system is maintenance, not running"
        );
        assert_eq!(reasons(|f| f.state = Some("degraded".into())), "the system is degraded, not running");
        assert_eq!(
            reasons(|f| {
                f.state = Some("degraded".into());
                f.failed.push(unit("ssh.service", "failed", "exit-code"));
                f.journal.push(("ssh.service".into(), "no hostkeys available".into()));
            }),
            "unit ssh.service failed (exit-code): no hostkeys available"
        );
        assert_eq!(reasons(|f| f.units.clear()), "unit nginx.service: it told nothing of it");
        assert_eq!(
            reasons(|f| f.units[0].active = "inactive".into()),
            "unit nginx.service is inactive (dead), not active"
        );
        assert_eq!(
            reasons(|f| f.units[0].load = "not-found".into()),
            "unit nginx.service does not exist in the image"
        );
        assert_eq!(reasons(|f| f.listening.clear()), "port 80/tcp is closed: nothing listens on it");
    }

    #[test]
    fn the_way_of_starting_must_be_the_one_asked_for() {
        let reasons = |uefi, secure_boot, mode| {
            let facts = Facts { boot_id: Some("x".into()), uefi, secure_boot, ..Facts::default() };
            started(&facts, mode).reasons.len()
        };
        assert_eq!(reasons(Some(false), None, BootMode::Bios), 0);
        assert_eq!(reasons(Some(true), Some(true), BootMode::SecureBoot), 0);
        assert_eq!(reasons(Some(true), None, BootMode::UefiUsb), 0);
        assert_eq!(reasons(Some(true), None, BootMode::Bios), 1);
        assert_eq!(reasons(Some(false), None, BootMode::Uefi), 1);
        assert_eq!(reasons(None, None, BootMode::Bios), 1);
        assert_eq!(reasons(Some(true), Some(false), BootMode::SecureBoot), 1);
        assert_eq!(reasons(Some(true), None, BootMode::SecureBootUsb), 1);
        assert_eq!(started(&Facts::default(), BootMode::Bios).reasons.len(), 2);
    }
}
