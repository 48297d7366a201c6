//! Network of the user, times and limits.

use super::rows::{Hits, here, rules};
use super::{Hit, Rule};
use crate::model::spec::{Network, NetworkManager, OsImage, Output, Supplicant};

rules! {
    "network-in-a-container" Error Compat ["spec.network", "spec.outputs"]
    says "nothing reads this: a container is given its network by the host"
    does "Add an output that starts a kernel of its own, or take `network` away."
    why "Addresses and routes belong to the host's network namespace."
    => |i| network(i, |n| here(*n != Network::default() && i.spec.outputs == [Output::Oci], "spec.network")),

    "wireless-ifupdown" Error Compat ["spec.network.manager", "spec.network.wireless.supplicant"]
    says "ifupdown cannot use iwd"
    does "Write `supplicant: wpa-supplicant`, or another `manager`."
    why "ifupdown starts wpa_supplicant by its own scripts and knows no other."
    => |i| network(i, |n| here(n.manager == Some(NetworkManager::Ifupdown) && n.wireless.as_ref()
        .is_some_and(|w| w.supplicant == Some(Supplicant::Iwd)), "spec.network.wireless.supplicant")),

    "wireless-firmware" Warning Compat ["spec.network.wireless.firmware"]
    says "most wireless adapters do nothing without their firmware"
    does "Write `firmware: true`, unless the adapter is known to need none."
    why "The chips load a program at every start, which is not free and in packages of its own."
    => |i| network(i, |n| here(n.wireless.as_ref().is_some_and(|w| !w.firmware), "spec.network.wireless")),

    "wireless-country" Warning Validation ["spec.network.wireless.country"]
    says "without a country, wireless keeps to the channels that are free everywhere"
    does "Write `country: DE`, or where the machine stands."
    why "The kernel allows most of 5 GHz only where it knows the rules."
    => |i| network(i, |n| here(n.wireless.as_ref().is_some_and(|w| w.country.is_none()), "spec.network.wireless")),

    "verify-too-short" Error Compat ["spec.verify.dwellSeconds", "spec.verify.timeoutSeconds"]
    says "the image must stay up for {dwell} s, but has only {timeout} s"
    does "Make `timeoutSeconds` larger than `dwellSeconds`."
    why "The clock of `timeoutSeconds` runs from power-on to the last check."
    => |i| {
        let verify = &i.spec.verify;
        here(verify.dwell_seconds >= verify.timeout_seconds && (30..=7200).contains(&verify.timeout_seconds),
            "spec.verify.dwellSeconds").into_iter()
            .map(|hit| hit.with("dwell", verify.dwell_seconds).with("timeout", verify.timeout_seconds)).collect()
    },

    "limit-hopeless" Error Validation ["spec.limits.isoSize", "spec.display.compositor", "spec.outputs"]
    says "no ISO of this kind fits into {size}"
    does "Allow at least {least}."
    why "A kernel, its modules and the smallest system take that much when compressed."
    => |i| i.spec.limits.iso_size.iter().filter_map(|size| {
        let desktop = i.spec.display.as_ref().and_then(|d| d.compositor).is_some_and(|c| c.is_desktop());
        let (least, text) = if desktop { (600u64 << 20, "1GiB") } else { (30 << 20, "300MiB") };
        (size.bytes() < least).then(|| Hit::at("spec.limits.isoSize").with("size", size).with("least", text))
    }).collect(),

    "freshness-before-schedule" Warning Validation ["spec.freshness.maxAgeDays", "spec.schedule"]
    says "a release gets old after {days} days, but the schedule looks only every {gap}"
    does "Raise `maxAgeDays`, or look more often."
    why "Between two looks the release would be called stale although nothing is wrong."
    => |i| i.spec.schedule.iter().zip(i.spec.freshness.max_age_days).filter_map(|(schedule, days)| {
        let gap = longest_gap(schedule)?;
        (days < gap).then(|| Hit::at("spec.freshness.maxAgeDays").with("days", days).with("gap", format!("{gap} days")))
    }).collect(),
}

fn network(image: &OsImage, of: impl FnOnce(&Network) -> Hits) -> Hits {
    image.spec.network.as_ref().map(of).unwrap_or_default()
}

/// How many days lie between two looks of a schedule that names one day of the week or month.
fn longest_gap(schedule: &str) -> Option<u32> {
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    let [_, _, day, month, weekday] = fields.as_slice() else { return None };
    let one = |field: &str| field != "*" && !field.contains(['*', ',', '-', '/']);
    match (one(day), one(month), one(weekday)) {
        (true, true, _) => Some(365),
        (true, false, false) if *weekday == "*" => Some(31),
        (false, false, true) if *day == "*" => Some(7),
        _ => None,
    }
}
