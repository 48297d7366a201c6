//! What `doctor` says.

use super::Table;
use crate::cli::terminal::{Palette, clean};
use crate::ops::doctor::{DoctorReport, ToolState, Verdict};

pub fn doctor(report: &DoctorReport, palette: Palette) -> String {
    let mut out = tools(report, palette);
    out.push('\n');
    for check in &report.host {
        let mark = match check.verdict {
            Verdict::Good => palette.good("✔"),
            Verdict::Poor => palette.poor("!"),
            Verdict::Bad => palette.bad("✘"),
        };
        out.push_str(&format!("{mark} {}: {}\n", clean(&check.name), clean(&check.finding)));
        if let Some(hint) = &check.hint {
            out.push_str(&format!("    {}\n", clean(hint)));
        }
    }
    out.push('\n');
    if !report.installed.is_empty() {
        out.push_str(&format!("installed {}\n", report.installed.join(" ")));
    }
    if !report.missing_packages.is_empty() {
        out.push_str(&format!(
            "missing: {}\n    `bootwright doctor --install` installs them.\n",
            report.missing_packages.join(" ")
        ));
    }
    out.push_str(&if report.ready {
        palette.good("ready to build, verify and release")
    } else {
        palette.bad("not ready")
    });
    out.push('\n');
    out
}

fn tools(report: &DoctorReport, palette: Palette) -> String {
    let mut table = Table::new(["tool", "version", "package", "what it is for"]);
    for tool in &report.tools {
        let version = match (&tool.state, &tool.minimum) {
            (ToolState::Found { version, .. }, _) => version.clone().unwrap_or_else(|| "there".to_owned()),
            (ToolState::TooOld { version, .. }, Some(minimum)) => format!("{version}, needs {minimum}"),
            (ToolState::TooOld { version, .. }, None) => version.clone(),
            (ToolState::Missing, _) => "missing".to_owned(),
            (ToolState::NotNeeded, _) => "not needed".to_owned(),
        };
        table.row([tool.name.clone(), version, tool.package.clone(), tool.purpose.clone()]);
    }
    table.text(|row, column, cell| match (row.checked_sub(1).map(|i| &report.tools[i].state), column) {
        (None, _) => palette.faint(&cell),
        (Some(ToolState::Found { .. }), 1) => palette.good(&cell),
        (Some(ToolState::NotNeeded), _) => palette.faint(&cell),
        (Some(_), 1) => palette.bad(&cell),
        _ => cell,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::doctor::{HostCheck, ToolFound};

    #[test]
    fn what_is_missing_is_named_with_its_cure() {
        let report = DoctorReport {
            ready: false,
            tools: vec![ToolFound {
                name: "xorriso".to_owned(),
                purpose: "writes ISO images".to_owned(),
                package: "xorriso".to_owned(),
                minimum: None,
                state: ToolState::Missing,
            }],
            host: vec![HostCheck {
                name: "disk".to_owned(),
                verdict: Verdict::Bad,
                finding: "1.00 GiB free".to_owned(),
                hint: Some("Free some space.".to_owned()),
            }],
            installed: Vec::new(),
            missing_packages: vec!["xorriso".to_owned()],
        };
        assert_eq!(
            doctor(&report, Palette::default()),
            "TOOL     VERSION  PACKAGE  WHAT IT IS FOR\nxorriso  missing  xorriso  writes ISO images\n\n\
             ✘ disk: 1.00 GiB free\n    Free some space.\n\n\
             missing: xorriso\n    `bootwright doctor --install` installs them.\nnot ready\n"
        );
    }
}
