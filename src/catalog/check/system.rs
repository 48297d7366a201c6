//! Name, distribution, architecture, init, packages, services, channel.

use super::{Report, doubled, text};
use crate::model::name::ChannelName;
use crate::model::settings::Settings;
use crate::model::spec::OsImage;

pub fn check(report: &mut Report<'_>, image: &OsImage, settings: &Settings) {
    metadata(report, image);
    let spec = &image.spec;
    packages(report, image);
    services(report, image);
    known_channel(report, &spec.channel, settings);
}

/// Refuses a channel that the settings do not name, if they name any.
pub(super) fn known_channel(report: &mut Report<'_>, channel: &ChannelName, settings: &Settings) {
    if !settings.channels.is_empty() && !settings.channels.contains(channel) {
        let allowed: Vec<&str> = settings.channels.iter().map(|c| c.as_str()).collect();
        report.error(
            "spec.channel",
            format!("channel {channel} is not one of this catalog's"),
            format!("Use one of {}, or add it to `channels` in bootwright.yaml.", allowed.join(", ")),
        );
    }
}

fn metadata(report: &mut Report<'_>, image: &OsImage) {
    if let Some(description) = &image.metadata.description
        && !text::is_one_line(description, 200)
    {
        report.error(
            "metadata.description",
            "the description is not one line of at most 200 characters",
            "Write one short sentence; it stands on the download page.",
        );
    }
    let word = |t: &str| {
        !t.is_empty() && t.len() <= 63 && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"._/-".contains(&b))
    };
    for (key, value) in &image.metadata.labels {
        if !word(key) || !word(value) {
            report.error(
                "metadata.labels",
                format!("label {key:?} cannot be used with --only"),
                "Use letters, digits and . _ / - in keys and values, 63 characters at most.",
            );
        }
    }
}

fn packages(report: &mut Report<'_>, image: &OsImage) {
    let mut seen: Vec<(&str, String)> = Vec::new();
    for (category, names) in image.spec.packages.categories() {
        for (index, name) in names.iter().enumerate() {
            let field = format!("spec.packages.{category}[{index}]");
            if let Some((_, first)) = seen.iter().find(|(n, _)| *n == name.as_str()) {
                let first = first.clone();
                report.error(
                    &field,
                    format!("{name} is listed twice"),
                    format!("It is already at `{first}`."),
                );
            } else {
                seen.push((name.as_str(), field));
            }
        }
    }
}

fn services(report: &mut Report<'_>, image: &OsImage) {
    let spec = &image.spec;
    doubled(report, "spec.services.enable", &spec.services.enable);
    doubled(report, "spec.services.disable", &spec.services.disable);
}
