use super::kind::{Shape, TABLE};
use super::*;

#[test]
fn the_table_has_every_kind_in_its_place() {
    for (i, row) in TABLE.iter().enumerate() {
        assert_eq!(row.kind as usize, i, "{}", row.name);
        assert_eq!(row.name.parse::<Kind>(), Ok(row.kind));
        assert_eq!(serde_json::to_value(row.kind).unwrap(), row.name);
    }
    let folders: BTreeSet<&str> = TABLE.iter().map(|row| row.folder).collect();
    assert_eq!(folders.len(), TABLE.len(), "two kinds in one folder");
    for bad in ["", "layer", "Layers", "../layers", "work"] {
        assert!(bad.parse::<Kind>().is_err(), "{bad}");
    }
}

#[test]
fn only_entries_count_as_entries() {
    let hex = "0123456789abcdef".repeat(4);
    for (kind, name, is_folder) in [
        (Kind::Packages, format!("{hex}.deb"), false),
        (Kind::Packages, format!("{hex}.deb.part"), false),
        (Kind::Layers, hex.clone(), true),
        (Kind::Modules, format!("{hex}-fast-1.squashfs"), false),
        (Kind::Indexes, "0123abcd".to_owned(), true),
    ] {
        assert!(kind.has(&name, is_folder), "{kind} {name}");
        assert!(!kind.has(&name, !is_folder), "{kind} {name}");
    }
    for (kind, name, is_folder) in [
        (Kind::Packages, format!("{hex}.lock"), false),
        (Kind::Packages, "note.txt".to_owned(), false),
        (Kind::Layers, format!("{hex}.lock"), false),
        (Kind::Layers, "work".to_owned(), true),
        (Kind::Modules, format!("{hex}-fast-1.squashfs.json"), false),
        (Kind::Modules, format!("{hex}-fast-1.squashfs.lock"), false),
        (Kind::Modules, format!("{hex}-fast-1.squashfs.part"), false),
        (Kind::Modules, ".new-x".to_owned(), false),
        (Kind::Modules, "work".to_owned(), true),
    ] {
        assert!(!kind.has(&name, is_folder), "{kind} {name}");
    }
    assert!(TABLE.iter().any(|row| row.shape == Shape::Folder));
}

#[test]
fn a_damaged_entry_that_is_in_use_is_not_removed() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let entry = cache.folder(Kind::Layers).join("x");
    std::fs::create_dir_all(entry.join("root")).unwrap();
    let user = cache.session();
    assert!(user.hold(&entry).unwrap());
    let failure = cache.discard(&entry).unwrap_err();
    assert_eq!(failure.code, ErrorCode::Corrupt);
    drop(user);
    cache.discard(&entry).unwrap();
    assert!(!entry.exists());
    cache.discard(&entry).unwrap();
    assert!(!cache.hold(&entry).unwrap());
    assert_eq!(std::fs::read_dir(cache.work()).unwrap().count(), 0);
}
