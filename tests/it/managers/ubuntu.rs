//! Ubuntu: apt on a signed archive of its form, with its suite and its kernel's package.

use super::{World, same_bytes};
use crate::crash::tiny;

// kmod is in every system: the layer of what is asked for beside has nothing to install.
const SPEC: &str = "apiVersion: bootwright/v1\nkind: OsImage\nmetadata: {name: tiny}\nspec:\n  base: ubuntu\n  \
    suite: noble\n  channel: edge\n  outputs: [oci, rootfs]\n  packages: {utils: [hello], extra: [kmod]}\n";

fn mirrors(tiny: &tiny::Tiny) -> String {
    format!(
        "  - {{base: ubuntu, urls: [\"{}\"], suites: [\"{{suite}}\"], components: [main], keyring: {}}}\n",
        tiny.url,
        tiny.keyring.display()
    )
}

#[test]
fn an_image_of_ubuntu_is_built_and_is_the_same_twice() {
    let noble = tiny::make("noble", "linux-image-generic");
    let world = World::new(SPEC, &mirrors(&noble));
    let release = world.released();
    let locked = world.locked();
    assert!(locked.contains(&("linux-image-generic".to_owned(), "kernel".to_owned())), "{locked:?}");
    assert!(locked.contains(&("hello".to_owned(), "utils".to_owned())), "{locked:?}");
    assert!(world.root_file(&release, "usr/share/doc/hello/copyright").is_some());
    let other = World::new(SPEC, &mirrors(&noble));
    same_bytes(&release, &other.released());
}

#[test]
fn debians_archive_is_not_ubuntus() {
    // The right key, another suite than the one that is asked for.
    let other = tiny::make("jammy", "linux-image-generic");
    let world = World::new(SPEC, &mirrors(&other));
    let said = world.refused();
    assert!(said.contains("the package indexes cannot be had"), "{said}");
    // The right suite, somebody else's key.
    let (noble, stranger) = (tiny::make("noble", "linux-image-generic"), &other);
    world.settings(
        &mirrors(&noble)
            .replace(&noble.keyring.display().to_string(), &stranger.keyring.display().to_string()),
    );
    let said = world.refused();
    assert!(said.contains("not signed by a key of the mirror's keyring"), "{said}");
}
