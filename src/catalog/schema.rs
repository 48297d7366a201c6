//! JSON Schema of the documents, made from the types of `model`.
//!
//! The schema says what [`super::shape`] accepts: absent, and `null` for absent only where
//! that says something (`encryption: null`); names with their patterns. Editors read it from
//! `specs/schema/`, where documents that include others are let say less, and more
//! ([`super::written`]).

use super::written;
use crate::model::device::{
    BoardName, BuilderProfile, DeviceName, DeviceProfile, FeedName, FeedUrl, OpenwrtPackage, ServiceName,
    TagName,
};
use crate::model::name::{
    ChannelName, HostName, ImageName, KeyName, PackageName, ProfileName, RuleName, SuiteName, UnitName,
    UserName, Version,
};
use crate::model::openwrt::{Release, Subtarget, Target};
use crate::model::policy::document::PolicyDocument;
use crate::model::profile::Profile;
use crate::model::settings::Settings;
use crate::model::signing::Moment;
use crate::model::spec::text::{
    CatalogPath, Color, CountryCode, Destination, GitRevision, HttpsUrl, KeyboardName, KeyboardOption,
    ModelName, MountPoint, PartitionSize, SysctlKey, SysctlValue, SystemPath, ThemeName, TimeOfDay, TimeSpan,
    Timing, Title,
};
use crate::model::spec::{OsImage, Size};
use crate::model::writer::{CardWriter, FlashOrder, OrderName, PortPath, SlotName, WriterKey, WriterName};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::Value;
use std::sync::LazyLock;

/// A kind of document that people write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An image.
    OsImage,
    /// `bootwright.yaml`.
    Settings,
    /// A part of an image.
    Profile,
    /// A policy.
    Policy,
    /// Firmware of a device.
    DeviceProfile,
    /// A host with card readers.
    CardWriter,
    /// What shall be on cards.
    FlashOrder,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 7] = [
        Self::OsImage,
        Self::Settings,
        Self::Profile,
        Self::Policy,
        Self::DeviceProfile,
        Self::CardWriter,
        Self::FlashOrder,
    ];

    /// The value of the field `kind`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OsImage => "OsImage",
            Self::Settings => "Settings",
            Self::Profile => "Profile",
            Self::Policy => "Policy",
            Self::DeviceProfile => "DeviceProfile",
            Self::CardWriter => "CardWriter",
            Self::FlashOrder => "FlashOrder",
        }
    }

    /// Where its schema stands in a catalog.
    pub fn schema_path(self) -> &'static str {
        match self {
            Self::OsImage => "specs/schema/os-image.json",
            Self::Settings => "specs/schema/settings.json",
            Self::Profile => "specs/schema/profile.json",
            Self::Policy => "specs/schema/policy.json",
            Self::DeviceProfile => "specs/schema/device-profile.json",
            Self::CardWriter => "specs/schema/card-writer.json",
            Self::FlashOrder => "specs/schema/flash-order.json",
        }
    }
}

/// The JSON Schema (draft 2020-12) of one kind of document, put together and on its own.
pub fn schema(kind: Kind) -> &'static Value {
    static OS_IMAGE: LazyLock<Value> = LazyLock::new(generate::<OsImage>);
    static SETTINGS: LazyLock<Value> = LazyLock::new(generate::<Settings>);
    static PROFILE: LazyLock<Value> = LazyLock::new(generate::<Profile>);
    static POLICY: LazyLock<Value> = LazyLock::new(generate::<PolicyDocument>);
    static DEVICE_PROFILE: LazyLock<Value> = LazyLock::new(generate::<DeviceProfile>);
    static CARD_WRITER: LazyLock<Value> = LazyLock::new(generate::<CardWriter>);
    static FLASH_ORDER: LazyLock<Value> = LazyLock::new(generate::<FlashOrder>);
    match kind {
        Kind::OsImage => &OS_IMAGE,
        Kind::Settings => &SETTINGS,
        Kind::Profile => &PROFILE,
        Kind::Policy => &POLICY,
        Kind::DeviceProfile => &DEVICE_PROFILE,
        Kind::CardWriter => &CARD_WRITER,
        Kind::FlashOrder => &FLASH_ORDER,
    }
}

/// The schema as the text of its file, with a line break at the end: what editors check
/// documents with that may include others.
pub fn schema_text(kind: Kind) -> String {
    match kind {
        Kind::OsImage | Kind::Profile => format!("{:#}\n", written::open(schema(kind))),
        _ => format!("{:#}\n", schema(kind)),
    }
}

fn generate<T: JsonSchema>() -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value();
    remove_null(&mut schema);
    for name in &CHECKED {
        if let Some(definition) = schema.pointer_mut(&format!("/$defs/{}", name.name)) {
            definition["pattern"] = name.pattern.into();
        }
    }
    for name in ALSO_NUMBERS {
        if let Some(definition) = schema.pointer_mut(&format!("/$defs/{name}")) {
            definition["type"] = serde_json::json!(["string", "integer"]);
        }
    }
    if let Some(text) = schema.pointer_mut(&format!("/$defs/{SIZE}/anyOf/1")) {
        text["pattern"] = "^[0-9]+ *([KMGT]i?B|B)?$".into();
    }
    schema
}

/// An optional field is one that may be left out; `field:` with nothing behind it is a slip,
/// but where the type says that `null` is a word for "none" (`x-null`).
fn remove_null(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(remove_null),
        Value::Object(map) => {
            let may_be_null = map.remove(MAY_BE_NULL).is_some();
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|t| t != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    map.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(forms)) = map.get_mut("anyOf") {
                forms.retain(|form| may_be_null || form.get("type") != Some(&Value::from("null")));
                if let [Value::Object(only)] = forms.as_slice() {
                    let only = only.clone();
                    map.remove("anyOf");
                    for (key, value) in only {
                        map.entry(key).or_insert(value);
                    }
                }
            }
            if map.get("default").is_some_and(Value::is_null) {
                map.remove("default");
            }
            map.values_mut().for_each(remove_null);
        }
        _ => {}
    }
}

/// What a type writes beside a field for which `null` means "none".
const MAY_BE_NULL: &str = "x-null";

/// The schema of a value that may be `null`, without that.
pub(super) fn unless_null(schema: &Value) -> Option<&Value> {
    let [form, other] = schema["anyOf"].as_array()?.as_slice() else { return None };
    (other["type"] == "null").then_some(form)
}

/// A definition whose values are checked by the type's own parser.
pub(super) struct Checked {
    /// The name under `$defs`.
    pub name: &'static str,
    /// What it looks like.
    pub pattern: &'static str,
    /// The parser's verdict.
    pub check: fn(&str) -> Result<(), String>,
}

fn check<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<(), String> {
    text.parse::<T>().map(|_| ()).map_err(|e| e.to_string())
}

macro_rules! checked {
    ($($name:ident),*) => {
        [$(Checked { name: stringify!($name), pattern: $name::PATTERN, check: check::<$name> }),*]
    };
}

/// All definitions with a parser of their own.
pub(super) static CHECKED: [Checked; 47] = checked![
    ImageName,
    ChannelName,
    KeyName,
    ProfileName,
    Moment,
    HostName,
    UserName,
    PackageName,
    UnitName,
    SuiteName,
    RuleName,
    CatalogPath,
    SystemPath,
    MountPoint,
    PartitionSize,
    TimeSpan,
    TimeOfDay,
    Timing,
    ThemeName,
    Color,
    Title,
    KeyboardName,
    KeyboardOption,
    CountryCode,
    HttpsUrl,
    GitRevision,
    ModelName,
    SysctlKey,
    SysctlValue,
    Destination,
    DeviceName,
    TagName,
    BuilderProfile,
    OpenwrtPackage,
    ServiceName,
    BoardName,
    FeedName,
    FeedUrl,
    Release,
    Target,
    Subtarget,
    WriterName,
    SlotName,
    OrderName,
    PortPath,
    WriterKey,
    Version
];

/// Definitions of texts that may stand without quotes where they look like a number.
pub(super) const ALSO_NUMBERS: [&str; 2] = ["SysctlValue", "Subtarget"];

/// The definition of sizes, which may be numbers or texts.
pub(super) const SIZE: &str = "Size";

/// The parser's verdict on a size.
pub(super) fn check_size(text: &str) -> Result<(), String> {
    check::<Size>(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `$defs` entry that both a name type and a pattern belong to is in the table.
    #[test]
    fn all_names_are_checked() {
        for kind in Kind::ALL {
            for (name, definition) in schema(kind)["$defs"].as_object().unwrap() {
                if name.ends_with("Name") {
                    assert!(definition["pattern"].is_string(), "{name} is not in CHECKED");
                }
            }
        }
    }

    #[test]
    fn null_is_a_value_of_two_fields_only() {
        for kind in Kind::ALL {
            let nulls = schema(kind).to_string().matches("\"null\"").count();
            assert_eq!(nulls, if matches!(kind, Kind::OsImage | Kind::Profile) { 2 } else { 0 }, "{kind:?}");
            assert!(!schema(kind).to_string().contains(MAY_BE_NULL), "{kind:?}");
        }
    }

    #[test]
    fn the_files_are_current() {
        for kind in Kind::ALL {
            crate::catalog::generated::assert_current(kind.schema_path(), &schema_text(kind));
        }
    }
}
