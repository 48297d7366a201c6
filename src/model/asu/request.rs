//! A build request: JSON → values, or what is wrong with it in the form that clients know.
//!
//! What is accepted is what pydantic accepts of the same fields, with its conversions (`"5"` is a
//! number, `1` is true), its messages and the order of its complaints. Fields that nobody knows are
//! left aside, as there.

use super::SysupgradeSettings;
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

/// File systems that one may ask for.
const FILESYSTEMS: [&str; 8] =
    ["squashfs", "ext4", "ubifs", "erofs", "jffs2", "jffs2-nand", "targz", "cpiogz"];
/// No more complaints are listed.
const MOST_FAULTS: usize = 100;

/// Names with texts, in the order in which they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs(pub Vec<(String, String)>);

impl Serialize for Pairs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, text) in &self.0 {
            map.serialize_entry(name, text)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Pairs;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("names with texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs: Vec<(String, String)> = Vec::new();
                while let Some((name, text)) = map.next_entry::<String, String>()? {
                    // As in Python: the first place and the last text.
                    match pairs.iter_mut().find(|(other, _)| *other == name) {
                        Some(pair) => pair.1 = text,
                        None => pairs.push((name, text)),
                    }
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// What becomes of the Image Builder's own package repositories when a request names others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// They stay.
    Append,
    /// They are left out.
    #[default]
    Replace,
}

impl Mode {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Replace => "replace",
        }
    }
}

/// A build request whose fields have the right forms. What they name need not be there, and is not
/// fit for `make` yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildRequest {
    /// The distribution: `openwrt`.
    pub distro: String,
    /// The release: `24.10.5`, `SNAPSHOT`.
    pub version: String,
    /// The revision that the firmware must have, or nothing.
    pub version_code: String,
    /// Target and subtarget.
    pub target: String,
    /// The device, as the Image Builder or as the running system names it, with `_` for `,`.
    pub profile: String,
    /// Packages: beside the default ones, or with `diff_packages` all.
    pub packages: Vec<String>,
    /// The same with the versions that they must have; `packages` does not count then.
    pub packages_versions: Pairs,
    /// Whether default packages that are not named are left out.
    pub diff_packages: bool,
    /// A script for the first start.
    pub defaults: Option<String>,
    /// The size of the root file system in MiB.
    pub rootfs_size_mb: Option<u32>,
    /// The only root file system to make.
    pub filesystem: Option<String>,
    /// Package repositories by name.
    pub repositories: Pairs,
    /// What becomes of the Image Builder's own.
    pub repositories_mode: Mode,
    /// The public keys of the repositories.
    pub repository_keys: Vec<String>,
    /// Who asks.
    pub client: Option<String>,
}

impl BuildRequest {
    /// The packages that are asked for, as they are written.
    pub fn packages(&self) -> impl Iterator<Item = &str> {
        let versioned = self.packages_versions.0.iter().map(|(name, _)| name.as_str());
        let plain = if self.packages_versions.0.is_empty() { self.packages.as_slice() } else { &[] };
        versioned.chain(plain.iter().map(String::as_str)).map(|name| name.strip_prefix('+').unwrap_or(name))
    }

    /// Reads the body of a request; nothing if it has none.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(body: Option<&[u8]>, settings: &SysupgradeSettings) -> Result<Self, Vec<Fault>> {
        let Some(body) = body.filter(|body| !body.is_empty()) else {
            return Err(vec![Fault::new("missing", vec![], "Field required", Value::Null)]);
        };
        let value: Value =
            serde_json::from_slice(body).map_err(|error| vec![Fault::no_json(body, &error)])?;
        let Value::Object(fields) = &value else {
            let message = "Input should be a valid dictionary or object to extract fields from";
            return Err(vec![Fault::new("model_attributes_type", vec![], message, value)]);
        };
        let mut reader = Reader { fields, faults: Vec::new() };
        let mut request = reader.request(settings);
        if !reader.faults.is_empty() {
            reader.faults.truncate(MOST_FAULTS);
            return Err(reader.faults);
        }
        // The map above knows no order, and the hash depends on it.
        #[derive(Deserialize)]
        struct InOrder {
            #[serde(default)]
            repositories: Pairs,
        }
        if let Ok(in_order) = serde_json::from_slice::<InOrder>(body) {
            request.repositories = in_order.repositories;
        }
        Ok(request)
    }
}

/// One thing that is wrong with a request, as FastAPI says it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fault {
    /// What kind of thing.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Where: `["body", "packages", 0]`.
    pub loc: Vec<Value>,
    /// What is wrong.
    pub msg: String,
    /// What stands there.
    pub input: Value,
    /// What the message speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ctx: Option<Value>,
}

impl Fault {
    fn new(kind: &'static str, at: Vec<Value>, msg: impl Into<String>, input: Value) -> Self {
        let loc = std::iter::once(json!("body")).chain(at).collect();
        Self { kind, loc, msg: msg.into(), input, ctx: None }
    }

    fn with(mut self, ctx: Value) -> Self {
        self.ctx = Some(ctx);
        self
    }

    /// A body that does not say that it is JSON.
    pub fn other_type(body: &[u8]) -> Self {
        let message = "Input should be a valid dictionary or object to extract fields from";
        Self::new("model_attributes_type", vec![], message, json!(String::from_utf8_lossy(body)))
    }

    fn no_json(body: &[u8], error: &serde_json::Error) -> Self {
        let before = body.split_inclusive(|b| *b == b'\n').take(error.line().saturating_sub(1));
        let at = before.map(<[u8]>::len).sum::<usize>() + error.column().saturating_sub(1);
        let fault = Self::new("json_invalid", vec![json!(at)], "JSON decode error", json!({}));
        fault.with(json!({"error": error.to_string()}))
    }
}

/// A form that texts must have.
#[derive(Clone, Copy)]
struct Pattern {
    /// As a regular expression, for the message.
    text: &'static str,
    fits: fn(&str) -> bool,
}

/// What regular expressions call `\w`.
fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

const NAME: Pattern = Pattern {
    text: r"^[\w.,-]*$",
    fits: |text| text.chars().all(|letter| is_word(letter) || ".,-".contains(letter)),
};
const TARGET: Pattern = Pattern {
    text: r"^[\w]*/[\w]*$",
    fits: |text| {
        text.split_once('/').is_some_and(|(target, sub)| target.chars().chain(sub.chars()).all(is_word))
    },
};
const VERSION: Pattern = Pattern {
    text: r"^[\w+.,~-]*$",
    fits: |text| text.chars().all(|letter| is_word(letter) || "+.,~-".contains(letter)),
};
const REPOSITORY: Pattern = Pattern {
    text: r"^[\w.-]+$",
    fits: |text| !text.is_empty() && text.chars().all(|letter| is_word(letter) || ".-".contains(letter)),
};
const ADDRESS: Pattern = Pattern {
    text: r"^https?://\S+$",
    fits: |text| {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace))
    },
};

/// Reads fields and collects what is wrong with them.
struct Reader<'v> {
    fields: &'v Map<String, Value>,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn request(&mut self, settings: &SysupgradeSettings) -> BuildRequest {
        let distro = self.optional("distro", |r, value, at| r.text(value, at, Some(NAME)));
        let version = self.required("version", NAME);
        let version_code = self.optional("version_code", |r, value, at| r.text(value, at, Some(NAME)));
        let target = self.required("target", TARGET);
        let profile = self.required("profile", NAME);
        let packages = self.optional("packages", |r, value, at| r.list(value, at, Some(NAME)));
        let versions = self.optional("packages_versions", |r, value, at| r.pairs(value, at, NAME, VERSION));
        let diff_packages = self.optional("diff_packages", Self::truth);
        let most = settings.max_defaults_length;
        let defaults = self.nullable("defaults", |r, value, at| {
            let text = r.text(value, at.clone(), None)?;
            if text.chars().count() > most as usize {
                let message = format!("String should have at most {most} characters");
                let fault = Fault::new("string_too_long", at, message, value.clone());
                r.faults.push(fault.with(json!({"max_length": most})));
                return None;
            }
            Some(text)
        });
        let largest = i64::from(settings.max_rootfs_size_mb);
        let rootfs_size_mb = self.nullable("rootfs_size_mb", |r, value, at| r.size(value, at, largest));
        let filesystem = self.nullable("filesystem", |r, value, at| r.choice(value, at, &FILESYSTEMS));
        let repositories =
            self.optional("repositories", |r, value, at| r.pairs(value, at, REPOSITORY, ADDRESS));
        let modes = [Mode::Append.as_str(), Mode::Replace.as_str()];
        let mode = self.optional("repositories_mode", |r, value, at| r.choice(value, at, &modes));
        let repository_keys = self.optional("repository_keys", |r, value, at| r.list(value, at, None));
        let client = self.nullable("client", |r, value, at| r.text(value, at, None));
        BuildRequest {
            distro: distro.unwrap_or_else(|| "openwrt".to_owned()),
            version,
            version_code: version_code.unwrap_or_default(),
            target,
            // Older clients send what the running system is called.
            profile: profile.replace(',', "_"),
            packages: packages.unwrap_or_default(),
            packages_versions: versions.unwrap_or_default(),
            diff_packages: diff_packages.unwrap_or_default(),
            defaults,
            rootfs_size_mb,
            filesystem,
            repositories: repositories.unwrap_or_default(),
            repositories_mode: if mode.as_deref() == Some("append") { Mode::Append } else { Mode::Replace },
            repository_keys: repository_keys.unwrap_or_default(),
            client,
        }
    }

    fn required(&mut self, name: &str, pattern: Pattern) -> String {
        if !self.fields.contains_key(name) {
            let input = Value::Object(self.fields.clone());
            self.faults.push(Fault::new("missing", vec![json!(name)], "Field required", input));
        }
        self.optional(name, |r, value, at| r.text(value, at, Some(pattern))).unwrap_or_default()
    }

    fn optional<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Self, &Value, Vec<Value>) -> Option<T>,
    ) -> Option<T> {
        let value = self.fields.get(name)?;
        read(self, value, vec![json!(name)])
    }

    fn nullable<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Self, &Value, Vec<Value>) -> Option<T>,
    ) -> Option<T> {
        let value = self.fields.get(name).filter(|value| !value.is_null())?;
        read(self, value, vec![json!(name)])
    }

    fn wrong<T>(
        &mut self,
        kind: &'static str,
        at: Vec<Value>,
        msg: impl Into<String>,
        input: &Value,
    ) -> Option<T> {
        self.faults.push(Fault::new(kind, at, msg, input.clone()));
        None
    }

    fn text(&mut self, value: &Value, at: Vec<Value>, pattern: Option<Pattern>) -> Option<String> {
        let Value::String(text) = value else {
            return self.wrong("string_type", at, "Input should be a valid string", value);
        };
        match pattern.filter(|pattern| !(pattern.fits)(text)) {
            None => Some(text.clone()),
            Some(Pattern { text: pattern, .. }) => {
                let message = format!("String should match pattern '{pattern}'");
                let fault = Fault::new("string_pattern_mismatch", at, message, value.clone());
                self.faults.push(fault.with(json!({"pattern": pattern})));
                None
            }
        }
    }

    fn list(&mut self, value: &Value, at: Vec<Value>, pattern: Option<Pattern>) -> Option<Vec<String>> {
        let Value::Array(items) = value else {
            return self.wrong("list_type", at, "Input should be a valid list", value);
        };
        let below = |index: usize| [at.as_slice(), &[json!(index)]].concat();
        let texts = items.iter().enumerate().map(|(index, item)| self.text(item, below(index), pattern));
        // All of them are looked at, whatever is wrong with the first.
        texts.collect::<Vec<_>>().into_iter().collect()
    }

    fn pairs(&mut self, value: &Value, at: Vec<Value>, names: Pattern, texts: Pattern) -> Option<Pairs> {
        let Value::Object(map) = value else {
            return self.wrong("dict_type", at, "Input should be a valid dictionary", value);
        };
        let mut pairs = Vec::new();
        for (name, text) in map {
            let below = [at.as_slice(), &[json!(name)]].concat();
            let key = [below.as_slice(), &[json!("[key]")]].concat();
            let name = self.text(&json!(name), key, Some(names));
            let text = self.text(text, below, Some(texts));
            pairs.push(name.zip(text));
        }
        pairs.into_iter().collect::<Option<Vec<_>>>().map(Pairs)
    }

    fn truth(&mut self, value: &Value, at: Vec<Value>) -> Option<bool> {
        let folded = match value {
            Value::Bool(truth) => return Some(*truth),
            Value::String(text) => text.to_ascii_lowercase(),
            Value::Number(number) => match number.as_f64() {
                Some(0.0) => return Some(false),
                Some(1.0) => return Some(true),
                _ => String::new(),
            },
            _ => return self.wrong("bool_type", at, "Input should be a valid boolean", value),
        };
        match folded.as_str() {
            "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
            "false" | "f" | "no" | "n" | "off" | "0" => Some(false),
            _ => {
                let message = "Input should be a valid boolean, unable to interpret input";
                self.wrong("bool_parsing", at, message, value)
            }
        }
    }

    fn size(&mut self, value: &Value, at: Vec<Value>, largest: i64) -> Option<u32> {
        let number = match value {
            Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(number), _) => number,
                #[expect(clippy::cast_possible_truncation, reason = "it has no fraction and is small")]
                (None, Some(number)) if number.fract() == 0.0 && number.abs() < 1e15 => number as i64,
                (None, Some(number)) if number.fract() != 0.0 => {
                    let message = "Input should be a valid integer, got a number with a fractional part";
                    return self.wrong("int_from_float", at, message, value);
                }
                // Too large for any limit, or too small.
                (None, number) => {
                    if number.is_some_and(|n| n < 0.0) {
                        0
                    } else {
                        i64::MAX
                    }
                }
            },
            Value::String(text) => match text.trim().parse() {
                Ok(number) => number,
                Err(_) => {
                    let message = "Input should be a valid integer, unable to parse string as an integer";
                    return self.wrong("int_parsing", at, message, value);
                }
            },
            _ => return self.wrong("int_type", at, "Input should be a valid integer", value),
        };
        let (kind, words, name, limit) = match number {
            number if number < 1 => ("greater_than_equal", "greater", "ge", 1),
            number if number > largest => ("less_than_equal", "less", "le", largest),
            number => return u32::try_from(number).ok(),
        };
        let message = format!("Input should be {words} than or equal to {limit}");
        let fault = Fault::new(kind, at, message, value.clone());
        self.faults.push(fault.with(json!({(name): limit})));
        None
    }

    fn choice(&mut self, value: &Value, at: Vec<Value>, choices: &[&str]) -> Option<String> {
        if let Some(text) = value.as_str().filter(|text| choices.contains(text)) {
            return Some(text.to_owned());
        }
        let quoted: Vec<String> = choices.iter().map(|choice| format!("'{choice}'")).collect();
        let expected = match quoted.as_slice() {
            [before @ .., last] if !before.is_empty() => format!("{} or {last}", before.join(", ")),
            all => all.join(", "),
        };
        let message = format!("Input should be {expected}");
        let fault = Fault::new("literal_error", at, message, value.clone());
        self.faults.push(fault.with(json!({"expected": expected})));
        None
    }
}

#[cfg(test)]
mod tests;
