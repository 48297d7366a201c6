//! The server for 64-bit ARM: built with its programs emulated where the host is a PC, booted
//! by UEFI on an emulated ARM machine, and what its outputs say of themselves.

use super::{Image, all_found, boots, file, machine, run};
use serde_json::Value;
use std::path::Path;
use std::time::Instant;

#[test]
#[ignore = "builds and boots a whole image: make test-images"]
fn the_server_for_arm_starts_by_uefi_with_everything_declared() {
    let _machine = machine();
    let image = Image::new("arm-server", "");
    let began = Instant::now();
    let (folder, manifest) = image.publish();
    println!("arm-server: {} s", began.elapsed().as_secs());
    assert_eq!(manifest["architecture"], "aarch64", "{manifest:#}");
    let boots = boots(&manifest);
    assert_eq!(boots.len(), 1, "UEFI is all that an ARM machine has");
    assert!(all_found(&boots[0]) > 5, "{:#?}", boots[0]);

    let archive = file(&folder, ".oci.tar");
    let said = run(&folder, "skopeo", &["inspect", "--raw", &format!("oci-archive:{}", archive.display())]);
    let index: Value = serde_json::from_slice(&said.stdout).unwrap();
    let inspected = run(
        &folder,
        "skopeo",
        &["--override-arch", "arm64", "inspect", &format!("oci-archive:{}", archive.display())],
    );
    let inspected: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(inspected["Architecture"], "arm64", "{index:#}");

    let sbom = Path::new(&folder).join("sbom.spdx.json");
    let sbom = std::fs::read_to_string(&sbom).unwrap_or_else(|e| panic!("{}: {e}", sbom.display()));
    assert!(sbom.contains("?arch=arm64&distro=bookworm") && !sbom.contains("arch=amd64"));
}
