//! Shell, dotfiles, network of the user, times and limits.

use super::rows::{Hits, here, rules};
use super::{Hit, Rule};
use crate::model::spec::{Network, NetworkManager, OsImage, Output, Prompt, Shell, Supplicant};

rules! {
    "framework-of-shell" Error Compat ["spec.customization.shellFramework", "spec.customization.shell"]
    says "{framework} is for {right}, and the shell is {shell}"
    does "Write `shell: {right}`, or take another framework."
    why "A framework is a collection of scripts in its shell's own language."
    => |i| i.spec.customization.shell_framework.iter().filter(|f| f.shell() != shell(i)).map(|f| {
        Hit::at("spec.customization.shellFramework").with("framework", f.as_str()).with("right", f.shell().as_str())
            .with("shell", shell(i).as_str())
    }).collect(),

    "prompt-of-shell" Error Compat ["spec.customization.prompt", "spec.customization.shell"]
    says "{prompt} is for zsh, and the shell is {shell}"
    does "Write `shell: zsh`, or `prompt: starship`, which is for every shell."
    why "It is written in the language of zsh."
    => |i| i.spec.customization.prompt.iter()
        .filter(|p| matches!(p, Prompt::Powerlevel10k | Prompt::Pure) && shell(i) != Shell::Zsh)
        .map(|p| Hit::at("spec.customization.prompt").with("prompt", p.as_str()).with("shell", shell(i).as_str())).collect(),

    "shell-theme-alone" Error Validation ["spec.customization.shellTheme", "spec.customization.shellFramework"]
    says "nothing reads this theme: there is no shell framework"
    does "Choose a `shellFramework`, such as oh-my-zsh, or take the theme away."
    why "Themes are files of a framework."
    => |i| {
        let looks = &i.spec.customization;
        here(looks.shell_theme.is_some() && looks.shell_framework.is_none(), "spec.customization.shellTheme")
    },

    "prompt-over-theme" Warning Validation ["spec.customization.shellTheme", "spec.customization.prompt"]
    says "{prompt} draws over what the theme {theme} draws"
    does "Keep one of the two."
    why "Both set the shell's prompt, and the later one wins."
    => |i| {
        let looks = &i.spec.customization;
        looks.shell_theme.as_ref().zip(looks.prompt).map(|(theme, prompt)| {
            Hit::at("spec.customization.shellTheme").with("theme", theme).with("prompt", prompt.as_str())
        }).into_iter().collect()
    },

    "dotfiles-from-where" Error Validation
    ["spec.customization.dotfiles.folder", "spec.customization.dotfiles.repository"]
    says "dotfiles come from {count}"
    does "Name a `folder` of the catalog or a `repository`, not both."
    why "Files of two sources would overwrite one another."
    => |i| i.spec.customization.dotfiles.iter().filter_map(|d| match (&d.folder, &d.repository) {
        (Some(_), Some(_)) => Some("two places"),
        (None, None) => Some("nowhere"),
        _ => None,
    }).map(|count| Hit::at("spec.customization.dotfiles").with("count", count)).collect(),

    "dotfiles-commit" Error Validation
    ["spec.customization.dotfiles.repository", "spec.customization.dotfiles.revision"]
    says "the repository of the dotfiles has no `revision`"
    does "Write the whole commit, as `git ls-remote` shows it."
    why "A branch moves, and the same spec would make another image tomorrow."
    => |i| i.spec.customization.dotfiles.iter().filter(|d| d.repository.is_some() && d.revision.is_none())
        .map(|_| Hit::at("spec.customization.dotfiles.repository")).collect(),

    "dotfiles-commit-alone" Error Validation
    ["spec.customization.dotfiles.repository", "spec.customization.dotfiles.revision"]
    says "nothing reads this commit: there is no repository"
    does "Add `repository`, or take `revision` away."
    why "A folder of the catalog is taken at the catalog's own commit."
    => |i| i.spec.customization.dotfiles.iter().filter(|d| d.repository.is_none() && d.revision.is_some())
        .map(|_| Hit::at("spec.customization.dotfiles.revision")).collect(),

    "dotfiles-user" Error Validation ["spec.customization.dotfiles.users[]", "spec.defaults.users"]
    says "there is no user {name}"
    does "Declare it in `defaults.users`, or take it away here."
    why "Dotfiles are copied into a home folder that is made with its user."
    => |i| i.spec.customization.dotfiles.iter().flat_map(|d| d.users.iter().enumerate())
        .filter(|(_, name)| !i.spec.defaults.users.iter().any(|u| u.name == **name))
        .map(|(at, name)| Hit::at(format!("spec.customization.dotfiles.users[{at}]")).with("name", name)).collect(),

    "dotfiles-for-nobody" Warning Validation ["spec.customization.dotfiles", "spec.defaults.users"]
    says "dotfiles are for nobody: there are no users"
    does "Declare one in `defaults.users`."
    why "Root's settings are not touched."
    => |i| here(i.spec.customization.dotfiles.is_some() && i.spec.defaults.users.is_empty(), "spec.customization.dotfiles"),

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

/// The shell of users who name none.
fn shell(image: &OsImage) -> Shell {
    image.spec.customization.shell.unwrap_or(Shell::Bash)
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
