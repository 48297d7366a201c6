//! Policies: from what people write to rules, each with its place.
//!
//! A rule that cannot be understood in full is an error of the whole catalog: one that is
//! left out would only look as if it were kept.

use super::super::rules;
use super::super::shape::nearest;
use super::{Report, text};
use crate::model::policy::document::{MaxSizes, PolicyDocument, RequiredVerification, RuleText};
use crate::model::policy::{
    Pattern, Place, Policy, ProductKind, Requirement, Rule, Select, Selection, Subject, Verification,
};
use crate::model::spec::{Base, Output, Size};

/// The images of the catalog, if all of them are known.
pub type Images<'a> = Option<&'a [Subject<'a>]>;

/// The longest pattern, in bytes.
const LONGEST: usize = 1024;

/// The policy of a document; what is wrong with it goes into the report.
pub fn check(report: &mut Report<'_>, document: &PolicyDocument, images: Images<'_>) -> Policy {
    if let Some(description) = &document.metadata.description
        && !text::is_one_line(description, 200)
    {
        report.error(
            "metadata.description",
            "the description is not one line of at most 200 characters",
            "Write one short sentence.",
        );
    }
    if document.spec.rules.is_empty() {
        report.error("spec.rules", "the policy has no rules", "Write one, or take the file away.");
    }
    let mut rules = Vec::new();
    for (index, rule) in document.spec.rules.iter().enumerate() {
        rules.extend(one_rule(report, &format!("spec.rules[{index}]"), rule, images));
    }
    Policy { name: document.metadata.name.clone(), rules }
}

fn one_rule(report: &mut Report<'_>, at: &str, rule: &RuleText, images: Images<'_>) -> Option<Rule> {
    if let Some(message) = &rule.message
        && !text::is_one_line(message, 400)
    {
        let field = format!("{at}.message");
        report.error(&field, "the message is not one line of at most 400 characters", "Make it shorter.");
    }
    let select = selection(report, &format!("{at}.select"), rule.select.as_ref());
    if let Some(images) = images.filter(|images| !images.is_empty()) {
        selects_something(report, &format!("{at}.select"), &select, images);
    }
    let mut asked = Asked { report, at, found: Vec::new() };
    asked.all(rule);
    let found = asked.found;
    let [(_, requirement)] = found.as_slice() else {
        match found.get(1) {
            None => report.error(
                at,
                format!("rule {} asks for nothing", rule.id),
                "Give it one of the fields in docs/policies.md, such as `forbiddenPackages: [telnetd]`.",
            ),
            Some((second, _)) => {
                let names: Vec<&str> = found.iter().map(|(field, _)| *field).collect();
                report.error(
                    &format!("{at}.{second}"),
                    format!("rule {} asks for {} things: {}", rule.id, names.len(), names.join(", ")),
                    "Write one rule for each, so that a finding names the one that it is about.",
                );
            }
        }
        return None;
    };
    let mark = report.mark(at);
    Some(Rule {
        id: rule.id.clone(),
        severity: rule.severity,
        message: rule.message.clone(),
        select,
        requirement: requirement.clone()?,
        place: Place { file: report.file().to_owned(), line: Some(mark.line), column: Some(mark.column) },
    })
}

fn selection(report: &mut Report<'_>, at: &str, select: Option<&Select>) -> Selection {
    let Some(select) = select else { return Selection::default() };
    if *select == Select::default() {
        report.error(at, "`select` names nothing", "Take it away: without it, a rule is about all images.");
    }
    empty(report, &format!("{at}.images"), select.images.as_ref());
    empty(report, &format!("{at}.kinds"), select.kinds.as_ref());
    empty(report, &format!("{at}.channels"), select.channels.as_ref());
    empty(report, &format!("{at}.bases"), select.bases.as_ref());
    empty(report, &format!("{at}.outputs"), select.outputs.as_ref());
    empty(report, &format!("{at}.architectures"), select.architectures.as_ref());
    let images = select.images.as_ref().map(|texts| {
        let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-*?".contains(&b);
        patterns(report, &format!("{at}.images"), texts, "the name of an image", |t| t.bytes().all(letters))
    });
    Selection { images, rest: Select { images: None, ..select.clone() } }
}

fn empty<T>(report: &mut Report<'_>, field: &str, list: Option<&Vec<T>>) {
    if list.is_some_and(Vec::is_empty) {
        report.error(field, format!("`{field}` is empty"), "Name at least one, or take it away.");
    }
}

/// Everything that a selector names is there to be selected, and together they select something.
fn selects_something(report: &mut Report<'_>, at: &str, select: &Selection, images: &[Subject<'_>]) {
    let any = |fits: &dyn Fn(&Subject<'_>) -> bool| images.iter().any(fits);
    let mut unused = Vec::new();
    for (index, pattern) in select.images.iter().flatten().enumerate() {
        if !any(&|i| pattern.matches(i.name.as_str())) {
            unused
                .push((format!("{at}.images[{index}]"), format!("no image is called {}", pattern.as_str())));
        }
    }
    for (index, kind) in select.rest.kinds.iter().flatten().enumerate() {
        if !any(&|i| i.kind() == *kind) {
            let what = match kind {
                ProductKind::Image => "the catalog has no image",
                ProductKind::Firmware => "the catalog has no device profile",
            };
            unused.push((format!("{at}.kinds[{index}]"), what.to_owned()));
        }
    }
    for (index, channel) in select.rest.channels.iter().flatten().enumerate() {
        if !any(&|i| i.channel == channel) {
            unused.push((format!("{at}.channels[{index}]"), format!("no image is on channel {channel}")));
        }
    }
    for (index, base) in select.rest.bases.iter().flatten().enumerate() {
        if !any(&|i| i.base == Some(*base)) {
            unused.push((format!("{at}.bases[{index}]"), format!("no image is made from {}", base.as_str())));
        }
    }
    for (index, output) in select.rest.outputs.iter().flatten().enumerate() {
        if !any(&|i| i.outputs.contains(output)) {
            let message = format!("no image has the output {}", output.as_str());
            unused.push((format!("{at}.outputs[{index}]"), message));
        }
    }
    for (index, architecture) in select.rest.architectures.iter().flatten().enumerate() {
        if !any(&|i| i.architecture == Some(*architecture)) {
            let message = format!("no image is for {}", architecture.as_str());
            unused.push((format!("{at}.architectures[{index}]"), message));
        }
    }
    let rest = &select.rest;
    let lists = [
        select.images.as_ref().map(Vec::len),
        rest.kinds.as_ref().map(Vec::len),
        rest.channels.as_ref().map(Vec::len),
        rest.bases.as_ref().map(Vec::len),
        rest.outputs.as_ref().map(Vec::len),
        rest.architectures.as_ref().map(Vec::len),
    ];
    // An empty list was complained about.
    if unused.is_empty() && !lists.contains(&Some(0)) && !any(&|i| select.takes(*i)) {
        unused.push((at.to_owned(), "no image fits all of this".to_owned()));
    }
    let names: Vec<&str> = images.iter().map(|i| i.name.as_str()).take(20).collect();
    for (field, message) in unused {
        let hint = format!("A rule that is about nothing checks nothing. Images here: {}.", names.join(", "));
        report.error(&field, message, hint);
    }
}

/// Collects what one rule asks for: each field that is set, and what it means if it is right.
struct Asked<'r, 's> {
    report: &'r mut Report<'s>,
    at: &'r str,
    found: Vec<(&'static str, Option<Requirement>)>,
}

impl Asked<'_, '_> {
    fn all(&mut self, rule: &RuleText) {
        self.some("allowedBases", rule.allowed_bases.as_ref(), |asked, field, bases: &Vec<Base>| {
            asked.not_empty(field, bases).then(|| Requirement::Bases(bases.clone()))
        });
        let suite = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-*?".contains(&b);
        self.names("allowedSuites", rule.allowed_suites.as_ref(), "a suite", suite, Requirement::Suites);
        self.some("allowedMirrors", rule.allowed_mirrors.as_ref(), |asked, field, texts| {
            asked.mirrors(field, texts)
        });
        self.some("keptRules", rule.kept_rules.as_ref(), |asked, field, texts| asked.rules(field, texts));
        let package = |b: u8| b.is_ascii_alphanumeric() || b".+_@/-*?".contains(&b);
        let (forbidden, required) = (&rule.forbidden_packages, &rule.required_packages);
        let what = "the name of a package";
        self.names("forbiddenPackages", forbidden.as_ref(), what, package, Requirement::ForbiddenPackages);
        self.names("requiredPackages", required.as_ref(), what, package, Requirement::RequiredPackages);
        self.only_true("lockRequired", rule.lock_required, Requirement::LockRequired);
        self.some("maxSizes", rule.max_sizes.as_ref(), Self::sizes);
        self.some("requiredVerification", rule.required_verification.as_ref(), Self::verification);
        self.some("allowedSigners", rule.allowed_signers.as_ref(), |asked, field, texts| {
            asked.signers(field, texts)
        });
        self.some("maxAgeDays", rule.max_age_days.as_ref(), |_, _, days| {
            Some(Requirement::MaxAgeDays(*days))
        });
        self.paths("absentPaths", rule.absent_paths.as_ref(), Requirement::AbsentPaths);
        self.paths("presentPaths", rule.present_paths.as_ref(), Requirement::PresentPaths);
        self.some("setuidOnly", rule.setuid_only.as_ref(), |asked, field, texts: &Vec<String>| {
            Some(Requirement::SetuidOnly(path_patterns(asked.report, field, texts)))
        });
        self.only_true("noEmptyPasswords", rule.no_empty_passwords, Requirement::NoEmptyPasswords);
        self.only_true("noWorldWritable", rule.no_world_writable, Requirement::NoWorldWritable);
        self.some("fileModes", rule.file_modes.as_ref(), |asked, field, modes| {
            if !asked.not_empty(field, modes) {
                return None;
            }
            let mut all = Vec::new();
            for (index, mode) in modes.iter().enumerate() {
                let paths = path_patterns_at(asked.report, &format!("{field}[{index}].path"), &mode.path);
                all.extend(paths.zip(octal(
                    asked.report,
                    &format!("{field}[{index}].atMost"),
                    &mode.at_most,
                )));
            }
            Some(Requirement::FileModes(all))
        });
        self.only_true("reproducible", rule.reproducible, Requirement::Reproducible);
        self.only_true("bootedFirmware", rule.booted_firmware, Requirement::BootedFirmware);
    }

    fn some<T>(
        &mut self,
        name: &'static str,
        value: Option<&T>,
        read: impl FnOnce(&mut Self, &str, &T) -> Option<Requirement>,
    ) {
        let Some(value) = value else { return };
        let field = format!("{}.{name}", self.at);
        let requirement = read(self, &field, value);
        self.found.push((name, requirement));
    }

    fn not_empty<T>(&mut self, field: &str, items: &[T]) -> bool {
        if items.is_empty() {
            self.report.error(
                field,
                format!("`{field}` is empty"),
                "Name at least one, or take the rule away.",
            );
        }
        !items.is_empty()
    }

    fn only_true(&mut self, name: &'static str, value: Option<bool>, requirement: Requirement) {
        self.some(name, value.as_ref(), |asked, field, value| {
            if !value {
                asked.report.error(
                    field,
                    format!("`{name}: false` would take back what another rule asks for"),
                    "A policy can only make things stricter: write `true`, or take the rule away.",
                );
            }
            value.then_some(requirement)
        });
    }

    fn names(
        &mut self,
        name: &'static str,
        texts: Option<&Vec<String>>,
        what: &str,
        letter: impl Fn(u8) -> bool + Copy,
        make: fn(Vec<Pattern>) -> Requirement,
    ) {
        self.some(name, texts, |asked, field, texts| {
            let filled = asked.not_empty(field, texts);
            let found = patterns(asked.report, field, texts, what, |t| t.bytes().all(letter));
            filled.then(|| make(found))
        });
    }

    fn rules(&mut self, field: &str, texts: &[String]) -> Option<Requirement> {
        let filled = self.not_empty(field, texts);
        super::doubled(self.report, field, texts);
        let found: Vec<Pattern> = texts.iter().map(|text| Pattern::new(text)).collect();
        let known: Vec<&str> = rules::all().map(|rule| rule.id).collect();
        for (index, pattern) in found.iter().enumerate() {
            if known.iter().any(|id| pattern.matches(id)) {
                continue;
            }
            let hint = match nearest(pattern.as_str(), &known) {
                Some(near) => format!("Did you mean {near}?"),
                None => "`bootwright explain rules` lists them.".to_owned(),
            };
            let message = format!("no rule between fields is called {}", pattern.as_str());
            self.report.error(&format!("{field}[{index}]"), message, hint);
        }
        filled.then_some(Requirement::KeptRules(found))
    }

    fn paths(
        &mut self,
        name: &'static str,
        texts: Option<&Vec<String>>,
        make: fn(Vec<Pattern>) -> Requirement,
    ) {
        self.some(name, texts, |asked, field, texts| {
            let filled = asked.not_empty(field, texts);
            let found = path_patterns(asked.report, field, texts);
            filled.then(|| make(found))
        });
    }

    fn mirrors(&mut self, field: &str, prefixes: &[String]) -> Option<Requirement> {
        if !self.not_empty(field, prefixes) {
            return None;
        }
        for (index, prefix) in prefixes.iter().enumerate() {
            if !super::settings::is_address(prefix, &["https", "http", "file"]) {
                self.report.error(
                    &format!("{field}[{index}]"),
                    "this is not the beginning of a repository's address",
                    "Write it as https://host/ or https://host/path, without user name and password.",
                );
            }
        }
        Some(Requirement::Mirrors(prefixes.to_owned()))
    }

    fn sizes(&mut self, field: &str, sizes: &MaxSizes) -> Option<Requirement> {
        let all = [(Output::Iso, sizes.iso), (Output::Oci, sizes.oci), (Output::Rootfs, sizes.rootfs)];
        let set: Vec<(Output, Size)> =
            all.into_iter().filter_map(|(output, size)| size.map(|size| (output, size))).collect();
        self.not_empty(field, &set).then_some(Requirement::MaxSizes(set))
    }

    fn verification(&mut self, field: &str, wanted: &RequiredVerification) -> Option<Requirement> {
        let wanted = Verification {
            boot: wanted.boot.clone(),
            units: wanted.units.clone(),
            ports: wanted.ports.clone(),
            dwell_seconds: wanted.dwell_seconds,
            outputs: wanted.outputs.clone(),
        };
        if wanted == Verification::default() {
            self.report.error(
                field,
                format!("`{field}` asks for nothing"),
                "Name boot, units, ports, dwellSeconds or outputs.",
            );
            return None;
        }
        Some(Requirement::Verification(wanted))
    }

    fn signers(&mut self, field: &str, texts: &[String]) -> Option<Requirement> {
        if !self.not_empty(field, texts) {
            return None;
        }
        let mut keys = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let plain: String = text.chars().filter(|c| *c != ' ').collect::<String>().to_ascii_lowercase();
            let plain = plain.strip_prefix("sha256:").unwrap_or(&plain).to_owned();
            if matches!(plain.len(), 40 | 64) && plain.bytes().all(|b| b.is_ascii_hexdigit()) {
                keys.push(plain);
                continue;
            }
            self.report.error(
                &format!("{field}[{index}]"),
                "this identifies no key",
                "Write the SHA-256 of the public key in DER form (64 hexadecimal digits), or an OpenPGP fingerprint (40).",
            );
        }
        Some(Requirement::Signers(keys))
    }
}

fn patterns(
    report: &mut Report<'_>,
    field: &str,
    texts: &[String],
    what: &str,
    fits: impl Fn(&str) -> bool,
) -> Vec<Pattern> {
    super::doubled(report, field, texts);
    for (index, text) in texts.iter().enumerate() {
        if text.is_empty() || text.len() > LONGEST || !fits(text) {
            report.error(
                &format!("{field}[{index}]"),
                format!("{text:?} is not {what}, with or without * and ?"),
                "Write a name as it stands where it is looked for; anything else never matches.",
            );
        }
    }
    texts.iter().map(|text| Pattern::new(text)).collect()
}

fn path_patterns(report: &mut Report<'_>, field: &str, texts: &[String]) -> Vec<Pattern> {
    super::doubled(report, field, texts);
    let each = texts.iter().enumerate();
    each.filter_map(|(index, text)| path_patterns_at(report, &format!("{field}[{index}]"), text)).collect()
}

fn path_patterns_at(report: &mut Report<'_>, field: &str, text: &str) -> Option<Pattern> {
    let part = |part: &str| !part.is_empty() && part != "." && part != "..";
    let fits = text.len() <= LONGEST
        && !text.chars().any(char::is_control)
        && text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(part));
    if !fits {
        report.error(
            field,
            format!("{text:?} is not a path in an image"),
            "Write it from the root and without a slash at the end: /etc/ssh/ssh_host_*.",
        );
    }
    fits.then(|| Pattern::new(text))
}

fn octal(report: &mut Report<'_>, field: &str, text: &str) -> Option<u32> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| {
        *mode <= 0o7777 && (3..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
    });
    if mode.is_none() {
        report.error(
            field,
            format!("{text:?} is not a file mode"),
            "Write it in octal and quotes: \"0640\".",
        );
    }
    mode
}
