//! What `explain` says about a field, a rule or an error code.

use super::Table;
use crate::catalog::{CodeTopic, FieldTopic, Meaning, RuleTopic, Severity, Topic};
use crate::cli::terminal::Palette;
use std::fmt::Write as _;

/// A topic for people.
pub fn topic(topic: &Topic, palette: Palette) -> String {
    match topic {
        Topic::Field(field) => of_field(field, palette),
        Topic::Rule(rule) => of_rule(rule, palette),
        Topic::Code(code) => of_code(code, palette),
        Topic::Rules { rules } => {
            let mut table = Table::new(["rule", "severity", "code", "says"]);
            for rule in rules {
                let message = rule.message.to_owned();
                table.row([
                    rule.id.to_owned(),
                    word(rule.severity).to_owned(),
                    rule.code.as_str().to_owned(),
                    message,
                ]);
            }
            format!("{}\n{} rules. One of them: `bootwright explain RULE`.\n", table.plain(), rules.len())
        }
    }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn of_field(field: &FieldTopic, palette: Palette) -> String {
    let mut text = format!("{} ({})\n", palette.strong(&field.path), field.document);
    if !field.description.is_empty() {
        let _ = writeln!(text, "  {}", field.description);
    }
    let _ = writeln!(text, "\nType:     {}", field.form);
    if let Some(pattern) = &field.pattern {
        let _ = writeln!(text, "Pattern:  {pattern}");
    }
    let default = match &field.default {
        _ if field.required => "required".to_owned(),
        Some(value) => value.to_string().replace('"', ""),
        None => "none".to_owned(),
    };
    let _ = writeln!(text, "Default:  {default}");
    let _ = writeln!(text, "Changes:  {}", field.changes);
    list(&mut text, "Values", &field.values);
    list(&mut text, "Fields", &field.fields);
    let _ = writeln!(text, "\nExample:");
    for line in field.example.lines() {
        let _ = writeln!(text, "  {line}");
    }
    if !field.rules.is_empty() {
        let _ = writeln!(text, "\nRules that read it:\n  {}", field.rules.join("\n  "));
    }
    list(&mut text, "Not yet built", &field.not_yet_built);
    text
}

fn list(text: &mut String, title: &str, meanings: &[Meaning]) {
    if meanings.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{title}:");
    let width = meanings.iter().map(|m| m.name.chars().count()).max().unwrap_or_default();
    for Meaning { name, meaning } in meanings {
        let _ = writeln!(text, "{}", format!("  {name:<width$}  {meaning}").trim_end());
    }
}

fn of_rule(rule: &RuleTopic, palette: Palette) -> String {
    format!(
        "{} ({}, {})\n\nSays:   {}\nDo:     {}\nWhy:    {}\nReads:  {}\n",
        palette.strong(rule.id),
        word(rule.severity),
        rule.code.as_str(),
        rule.message,
        rule.suggestion,
        rule.why,
        rule.fields.join("\n        ")
    )
}

fn of_code(code: &CodeTopic, palette: Palette) -> String {
    let mut text = format!("{}\n  {}\n", palette.strong(code.code.as_str()), code.meaning);
    if !code.rules.is_empty() {
        let _ = writeln!(text, "\nRules with this code:\n  {}", code.rules.join("\n  "));
    }
    text
}
