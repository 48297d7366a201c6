use crate::configure::testing::{image, needed, planned};
use crate::configure::{self, System};
use crate::model::Digest;
use crate::model::spec::Base;
use serde_json::{Value, json};

fn spec(installer: Value) -> Value {
    json!({"outputs": ["iso"], "defaults": {"users": [{"name": "live"}]},
        "display": {"server": "wayland", "compositor": "sway"}, "installer": installer})
}

fn parsed(plan: &crate::configure::Plan, path: &str) -> Value {
    serde_saphyr::from_str(plan.live.text(path).unwrap()).unwrap()
}

#[test]
fn pages_and_work_follow_the_spec() {
    let plan = planned(Base::DEBIAN, None, &spec(json!({})), &["live-boot"]);
    let settings = parsed(&plan, "etc/calamares/settings.conf");
    assert_eq!(settings["sequence"][0]["show"].as_array().unwrap().len(), 6);
    assert_eq!(settings["sequence"][2]["show"], json!(["finished"]));
    let few = json!({"productName": "Grüße 1.0", "pages": ["partition", "users", "summary"]});
    let plan = planned(Base::DEBIAN, None, &spec(few), &["live-boot"]);
    let settings = parsed(&plan, "etc/calamares/settings.conf");
    assert_eq!(settings["sequence"][0]["show"], json!(["partition", "users", "summary"]));
    assert_eq!(settings["sequence"].as_array().unwrap().len(), 2);
    let exec = settings["sequence"][1]["exec"].as_array().unwrap();
    assert!(!exec.contains(&json!("keyboard")) && !exec.contains(&json!("luksbootkeyfile")));
    let branding = parsed(&plan, "etc/calamares/branding/bootwright/branding.desc");
    assert_eq!(branding["strings"]["productName"], "Grüße 1.0");
    assert_eq!(branding["strings"]["bootloaderEntryName"], "Gre10");
    let packages = parsed(&plan, "etc/calamares/modules/packages.conf");
    assert_eq!(packages["operations"][0]["remove"], json!(["live-boot"]));
}

fn laid_out(base: Base, filesystem: Value) -> (Value, crate::configure::Plan) {
    let mut fields = spec(json!({}));
    fields["filesystem"] = filesystem;
    let plan = planned(base, None, &fields, &[]);
    (parsed(&plan, "etc/calamares/modules/partition.conf"), plan)
}

fn done(plan: &crate::configure::Plan) -> Value {
    parsed(plan, "etc/calamares/settings.conf")["sequence"][1]["exec"].clone()
}

#[test]
fn a_whole_disk_follows_the_spec() {
    let (partition, plan) = laid_out(
        Base::DEBIAN,
        json!({"root": "btrfs", "encryption": "luks1", "compression": true,
            "swap": {"kind": "partition", "size": "1GiB"}}),
    );
    assert_eq!(partition["defaultFileSystemType"], "btrfs");
    assert_eq!(partition["enableLuksAutomatedPartitioning"], true);
    assert_eq!(
        (&partition["luksGeneration"], &partition["preCheckEncryption"]),
        (&json!("luks1"), &json!(true))
    );
    assert_eq!(partition["userSwapChoices"], json!(["none"]));
    let layout = json!([
        {"name": "root", "filesystem": "btrfs", "mountPoint": "/", "size": "100%"},
        {"name": "swap", "filesystem": "linuxswap", "size": "1048576K"},
    ]);
    assert_eq!(partition["partitionLayout"], layout);
    assert!(plan.live.text("etc/calamares/modules/mount.conf").unwrap().contains("compress=zstd"));
    let done = done(&plan);
    assert!(done.as_array().unwrap().windows(2).any(|two| *two == ["luksbootkeyfile", "initramfscfg"]));
}

#[test]
fn partitions_follow_the_spec() {
    let (partition, _) = laid_out(
        Base::DEBIAN,
        json!({"root": "xfs", "encryption": "luks2", "partitions": [
            {"mount": "/efi", "size": "512MiB"}, {"mount": "/boot", "size": "1GiB"},
            {"mount": "/", "size": "30%", "encrypted": true},
            {"mount": "/srv/data", "size": "rest", "encrypted": true}]}),
    );
    assert_eq!(partition["efiSystemPartition"], "/efi");
    assert_eq!(partition["efiSystemPartitionSize"], "524288K");
    let entry = |name: &str, mount: &str, size: &str, open: bool| json!({"name": name, "filesystem": "xfs", "mountPoint": mount, "size": size, "noEncrypt": open});
    let layout = json!([
        entry("boot", "/boot", "1048576K", true),
        entry("root", "/", "30%", false),
        entry("srv-data", "/srv/data", "100%", false),
    ]);
    assert_eq!(partition["partitionLayout"], layout);
    assert_eq!(partition["luksGeneration"], "luks2");
}

#[test]
fn zfs_gets_a_pool_before_anything_is_mounted() {
    let (partition, plan) = laid_out(Base::UBUNTU, json!({"root": "zfs", "compression": true}));
    assert_eq!(partition["defaultFileSystemType"], "zfs");
    assert!(partition.get("partitionLayout").is_none());
    let pool = parsed(&plan, "etc/calamares/modules/zfs.conf");
    assert_eq!(
        pool["datasets"][1],
        json!({"dsName": "ROOT/system", "mountpoint": "/", "canMount": "noauto"})
    );
    assert!(pool["datasetOptions"].as_str().unwrap().contains("compression=zstd"));
    assert_eq!(done(&plan).as_array().unwrap()[..3], ["partition", "zfs", "mount"]);
    let (_, plan) = laid_out(Base::UBUNTU, json!({"root": "ext4"}));
    assert!(plan.live.text("etc/calamares/modules/zfs.conf").is_none());
}

/// Nobody but the live user gets root's rights without a password, and only for one program.
#[test]
fn rights_are_the_live_users_only() {
    let plan = planned(Base::DEBIAN, None, &spec(json!({})), &[]);
    assert_eq!(
        plan.live.text(super::SUDOERS),
        Some("live ALL=(root) NOPASSWD: /usr/local/bin/bootwright-install\n")
    );
    let mut nobody = spec(json!({}));
    nobody["defaults"] = json!({});
    let plan = planned(Base::DEBIAN, None, &nobody, &[]);
    assert!(plan.live.text(super::SUDOERS).is_none());
    let mut container = spec(json!({}));
    container["outputs"] = json!(["oci"]);
    assert_eq!(planned(Base::DEBIAN, None, &container, &[]).live, Default::default());
}

#[test]
fn it_needs_windows_and_sudo() {
    let names: Vec<String> = needed(Base::DEBIAN, &spec(json!({}))).into_iter().map(|(_, n)| n).collect();
    for name in ["calamares", "rsync", "sudo", "qt-wayland"] {
        assert!(names.iter().any(|n| n == name), "{name}");
    }
}

#[test]
fn pictures_are_the_specs_own() {
    let plan = planned(Base::DEBIAN, None, &spec(json!({})), &[]);
    let branding = parsed(&plan, "etc/calamares/branding/bootwright/branding.desc");
    assert_eq!(branding["images"]["productLogo"], "logo.svg");
    assert!(plan.live.text("etc/calamares/branding/bootwright/logo.svg").unwrap().starts_with("<svg"));

    let named = json!({"logo": "specs/logo.png", "slides": ["specs/a.png", "specs/b.png", "specs/a.png"]});
    let image = image(Base::DEBIAN, None, &spec(named));
    let mut configuration = configure::configuration(&image.metadata.name, &image.spec).unwrap();
    for path in ["specs/logo.png", "specs/a.png", "specs/b.png"] {
        configuration.pictures.insert(path.to_owned(), Digest::of(path));
    }
    let plan = configure::plan(&System {
        configuration: &configuration,
        base: Base::DEBIAN,
        suite: "bookworm",
        architecture: image.spec.architecture,
        packages: [].into(),
        outputs: &image.spec.outputs,
    });
    let branding = parsed(&plan, "etc/calamares/branding/bootwright/branding.desc");
    assert_eq!(branding["images"]["productLogo"], "logo.png");
    assert_eq!(branding["slideshow"], json!(["slide-1.png", "slide-2.png", "slide-3.png"]));
    let pictures = plan.live.pictures.iter();
    let pictures = pictures.map(|picture| (picture.path.rsplit('/').next().unwrap(), picture.digest));
    let of = |path: &str| Digest::of(path);
    let expected = [
        ("logo.png", of("specs/logo.png")),
        ("slide-1.png", of("specs/a.png")),
        ("slide-2.png", of("specs/b.png")),
        ("slide-3.png", of("specs/a.png")),
    ];
    assert_eq!(pictures.collect::<Vec<_>>(), expected);
    assert!(plan.live.text("etc/calamares/branding/bootwright/logo.svg").is_none());
}
