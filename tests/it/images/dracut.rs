//! dracut's live system, which Fedora, openSUSE and Void have, on real code: Debian has dracut
//! too. A Debian root gets its initramfs from dracut, lies on the medium as those do, and starts.

use super::{Image, machine, run};
use bootwright::build::cache::Cache;
use bootwright::build::iso::{self, IsoInput};
use bootwright::build::stack::{Stack, StackedLayer};
use bootwright::build::{initramfs, squashfs};
use bootwright::effects::Cancel;
use bootwright::model::event::Emitter;
use bootwright::model::evidence::Verdict;
use bootwright::model::probe::BUILD_ID_PATH;
use bootwright::model::recipe::LayerId;
use bootwright::model::settings::Compression;
use bootwright::model::spec::{Architecture, Base, BootMode, Verify};
use bootwright::model::{Digest, Recipe};
use bootwright::tables::{self, Generator, Grub};
use bootwright::verify;
use std::path::Path;

/// A root with a kernel, and with dracut beside what Debian uses itself.
const SPEC: &str = "apiVersion: bootwright/v1\nkind: OsImage\nmetadata: {name: with-dracut}\nspec:\n  \
    base: debian\n  suite: bookworm\n  channel: stable\n  outputs: [rootfs]\n  \
    packages: {extra: [dracut-core, dracut-live]}\n  defaults: {hostname: with-dracut}\n";

#[test]
#[ignore = "builds and boots a whole image: make test-images"]
fn a_live_system_of_dracut_starts_by_bios_and_by_uefi() {
    let _machine = machine();
    let image = Image::of("with-dracut", "", SPEC);
    let (folder, _) = image.publish();
    let scratch = image.scratch();
    let root = scratch.join("root");
    std::fs::create_dir(&root).unwrap();
    let mut files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let archive = files.find(|path| path.to_string_lossy().ends_with(".rootfs.tar.zst")).unwrap();
    let (archive, to) = (archive.to_str().unwrap(), root.to_str().unwrap());
    run(&scratch, "tar", &["--zstd", "--xattrs", "--xattrs-include=*", "-xpf", archive, "-C", to]);
    let build_id: Digest =
        format!("sha256:{}", std::fs::read_to_string(root.join(BUILD_ID_PATH)).unwrap().trim())
            .parse()
            .unwrap();

    let mut recipe: Recipe = crate::outputs::recipe();
    recipe.image = "with-dracut".parse().unwrap();
    recipe.base = Base::FEDORA;
    recipe.boot_menu.timeout = 1;
    recipe.boot_menu.kernel_flags = Vec::new();
    recipe.limits = Default::default();
    let live = tables::of(Base::FEDORA).live_system().unwrap();
    assert_eq!(live.generator, Generator::Dracut);
    let (events, cancel) = (Emitter::default(), Cancel::default());
    let cache = Cache::open(&scratch.join("cache")).unwrap();
    let layers = vec![StackedLayer {
        name: "root".to_owned(),
        id: LayerId(build_id),
        epoch: recipe.epoch,
        folder: root,
        cached: false,
        size: 600 << 20,
    }];
    let stack = Stack { layers, epoch: recipe.epoch, cache: cache.root().to_owned() };
    let how = (live.generator, Architecture::X86_64);
    let kernel = initramfs::make(&stack.layers, how, &cache, &events, &cancel).unwrap();
    let system = squashfs::flat(&stack, Compression::Fast, &events, &cancel).unwrap();
    // This host's own packages grub-pc-bin and grub-efi-amd64-bin.
    let grub = Grub { bios: "usr/lib/grub/i386-pc".to_owned(), efi: "usr/lib/grub/x86_64-efi".to_owned() };
    let made = IsoInput {
        recipe: &recipe,
        live,
        grub: Some(&grub),
        build_id,
        modules: vec![(system.name, system.path)],
        kernel: &kernel,
        splash: None,
        boot_files: Path::new("/"),
        out: &scratch.join("with-dracut.iso"),
        scratch: &scratch,
    };
    let iso = iso::write(&made, &events, &cancel).unwrap();

    let wish =
        Verify { boot: vec![BootMode::Bios, BootMode::Uefi], timeout_seconds: 900, ..Verify::default() };
    let options = verify::Options::below(&scratch.join("verify"));
    std::fs::create_dir_all(&options.scratch).unwrap();
    let wish = verify::Wish { verify: &wish, checks: &[] };
    let evidence = verify::iso(&iso, &build_id, wish, &options, &events, &cancel).unwrap();
    for check in &evidence.checks {
        println!("{}: {:?}", check.name, check.timings_ms);
        assert_eq!(check.verdict, Verdict::Passed, "{}: {:#?}", check.name, check.findings);
    }
}
