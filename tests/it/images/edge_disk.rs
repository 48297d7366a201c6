//! The edge device's disk: started by BIOS and by UEFI from a disk that is larger than the
//! image, twice each; what the second start finds is what the first one left.

use super::{Image, all_found, boots, command, file, machine, run};

#[test]
#[ignore = "builds and boots a whole image: make test-images"]
fn the_edge_disk_starts_grows_and_keeps_what_it_is_told() {
    let _machine = machine();
    let (folder, manifest) = Image::new("edge-disk", "").publish();
    let boots = boots(&manifest);
    assert_eq!(boots.len(), 2);
    for findings in &boots {
        assert!(all_found(findings) >= 8, "{findings:#?}");
        let told = |field: &str| findings.iter().any(|f| f.starts_with(field) && f.ends_with("so it is"));
        for field in ["spec.filesystem.root", "spec.filesystem.compression", "spec.filesystem.swap"] {
            assert!(told(field), "{field}: {findings:#?}");
        }
        for port in [22, 80] {
            assert!(findings.contains(&format!("port {port}/tcp: open")), "{findings:#?}");
        }
    }
    let disk = file(&folder, ".img.zst");
    let image = folder.with_extension("img");
    run(&folder, "zstd", &["-q", "-d", "-f", disk.to_str().unwrap(), "-o", image.to_str().unwrap()]);
    let table = run(&folder, "sfdisk", &["--json", image.to_str().unwrap()]);
    let table: serde_json::Value = serde_json::from_slice(&table.stdout).unwrap();
    let partitions = table["partitiontable"]["partitions"].as_array().unwrap();
    let root = partitions.iter().find(|partition| partition["name"] == "root").unwrap();
    let part = image.with_extension("root");
    let number = |name: &str| root[name].as_u64().unwrap();
    let status = command("dd")
        .args(["status=none", "bs=1M", "conv=sparse"])
        .args([format!("if={}", image.display()), format!("of={}", part.display())])
        .args([format!("skip={}", number("start") / 2048), format!("count={}", number("size") / 2048)])
        .status()
        .unwrap();
    assert!(status.success());
    run(&folder, "btrfs", &["check", "--check-data-csum", part.to_str().unwrap()]);
    for file in [image, part] {
        std::fs::remove_file(file).unwrap();
    }
}
