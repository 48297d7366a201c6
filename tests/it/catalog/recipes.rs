//! From the catalog to the recipe.

use super::{Repository, SPEC, at, read, root};
use bootwright::catalog::{self, Location, diagnostic};
use bootwright::configure;
use bootwright::model::spec::Base;
use bootwright::model::{Lock, OsImage};
use bootwright::resolve;

pub(crate) fn answer(image: &OsImage) -> Lock {
    let request = resolve::request(image, &bootwright::model::packaging::PackageSettings::default()).unwrap();
    let digest = |c: &str| format!("sha256:{}", c.repeat(64));
    let packages: Vec<serde_json::Value> = request
        .layers
        .iter()
        .flat_map(|layer| layer.packages.iter().map(move |p| (layer.name.clone(), p.clone())))
        .map(|(layer, name)| {
            serde_json::json!({"name": name, "version": "1.0", "architecture": "amd64", "sha256": digest("1"),
                "size": 1, "path": format!("pool/{name}.deb"), "suite": "bookworm", "layer": layer})
        })
        .collect();
    serde_json::from_value(serde_json::json!({
        "lockVersion": 1, "image": image.metadata.name, "request": request, "packages": packages,
        "indexes": [{"suite": "bookworm", "date": "2026-09-05T10:00:00Z", "digest": digest("a"), "keyring": digest("b")}]
    }))
    .unwrap()
}

fn own_catalog() -> bootwright::model::catalog::Catalog {
    let (catalog, found) = catalog::check(&read(&Location::WorkTree(root())).unwrap());
    assert!(found.is_empty(), "{}", diagnostic::render(&found, false));
    catalog.unwrap()
}

#[test]
fn this_repository_is_a_catalog() {
    let catalog = own_catalog();
    let document = &catalog.images[&"edge-gateway".parse().unwrap()];
    let lock = answer(&document.spec);
    let text = catalog::lock_text(&lock);
    let name = document.spec.metadata.name.clone();
    assert_eq!(catalog::parse_lock("x", &text, &name).unwrap(), lock);
    let resolved = resolve::resolve(document, lock, &catalog.settings).unwrap();
    let layers: Vec<&str> = resolved.recipe.layers.iter().map(|l| l.name.as_str()).collect();
    assert_eq!(
        layers,
        [
            "bootstrap",
            "kernel",
            "base",
            "security",
            "networking",
            "servers",
            "utils",
            "configuration",
            "overlay",
            "post-install"
        ]
    );
    assert_eq!(resolved.recipe.boot_files.len(), 5);
    assert!(resolved.recipe.packages().all(|p| p.layer != resolve::ISO_BOOT_FILES));
    let plan = configure::plan_of(&resolved.recipe).unwrap();
    assert_eq!(plan.digest(), resolved.recipe.configuration().unwrap().written);
    let enabled: Vec<&str> = plan.on.iter().map(String::as_str).collect();
    assert_eq!(
        enabled,
        [
            "nftables.service",
            "nginx.service",
            "ssh.service",
            "systemd-networkd.service",
            "systemd-resolved.service"
        ]
    );
    assert!(resolved.recipe.boot_menu.splash.is_some_and(|d| resolved.blobs.contains_key(&d)));
    assert_eq!(resolved.recipe.epoch, 1_788_602_400);
}

#[test]
fn only_what_shapes_the_image_changes_its_recipe() {
    let repo = Repository::new();
    repo.write("specs/edge.yaml", &format!("{SPEC}  packages: {{utils: [nano]}}\n"));
    repo.write("specs/overlays/edge/etc/motd", "one\n");
    repo.commit("one");
    let resolved = || {
        let catalog = catalog::load(&read(&at(repo.path(), "HEAD")).unwrap()).unwrap();
        let document = &catalog.images[&"edge".parse().unwrap()];
        resolve::resolve(document, answer(&document.spec), &catalog.settings).unwrap().recipe
    };
    let before = resolved();

    // Another commit, a mirror, a description, a comment: no change.
    repo.write("bootwright.yaml", "apiVersion: bootwright/v1\nkind: Settings\nmirrors: [{base: debian, urls: [http://m.example/debian], suites: ['{suite}'], components: [main], keyring: k}]\n");
    repo.write("specs/other.yaml", &SPEC.replace("edge", "other"));
    let spec = std::fs::read_to_string(repo.path().join("specs/edge.yaml")).unwrap();
    repo.write(
        "specs/edge.yaml",
        &format!("# a comment\n{}", spec.replace("name: edge", "name: edge\n  description: x")),
    );
    repo.commit("two");
    assert_eq!(resolved().digest(), before.digest());

    // An overlay file: its layer and those above.
    repo.write("specs/overlays/edge/etc/motd", "two\n");
    repo.commit("three");
    let after = resolved();
    assert_ne!(after.digest(), before.digest());
    let at = before.layers.iter().position(|l| l.name == "overlay").unwrap();
    assert_eq!(after.layer_ids()[..at], before.layer_ids()[..at]);
    assert_ne!(after.layer_ids()[at..], before.layer_ids()[at..]);

    // A setting: configuration and above.
    repo.write("specs/edge.yaml", &format!("{spec}  defaults: {{hostname: box}}\n"));
    repo.commit("four");
    let third = resolved();
    let at = before.layers.iter().position(|l| l.name == "configuration").unwrap();
    assert_eq!(third.layer_ids()[..at], after.layer_ids()[..at]);
    assert_ne!(third.layer_ids()[at], after.layer_ids()[at]);
}

#[test]
fn a_lock_of_another_request_is_refused() {
    let catalog = own_catalog();
    let document = &catalog.images[&"edge-gateway".parse().unwrap()];
    let refused = |change: &dyn Fn(&mut Lock)| {
        let mut lock = answer(&document.spec);
        change(&mut lock);
        let failure = resolve::resolve(document, lock, &catalog.settings).unwrap_err();
        assert_eq!(
            failure.hint.unwrap(),
            "Run `bootwright lock --update edge-gateway` and review the change."
        );
        failure.message
    };
    let servers = |lock: &mut Lock| lock.request.layers.iter().position(|l| l.name == "servers").unwrap();
    assert!(
        refused(&|l| {
            let at = servers(l);
            l.request.layers[at].packages.clear();
        })
        .contains("asks for nginx")
    );
    assert!(
        refused(&|l| {
            let at = servers(l);
            l.request.layers[at].packages.push("caddy".parse().unwrap());
        })
        .contains("no longer asks for caddy")
    );
    assert!(
        refused(&|l| {
            let at = servers(l);
            l.request.layers.remove(at);
        })
        .contains("layer servers is new")
    );
    assert!(
        refused(&|l| {
            let at = servers(l);
            let layer = l.request.layers[at].clone();
            l.request
                .layers
                .push(bootwright::model::lock::LayerRequest { name: "multimedia".into(), ..layer });
        })
        .contains("multimedia is no longer")
    );
    assert!(refused(&|l| l.request.layers.swap(2, 3)).contains("another order"));
    assert!(
        refused(&|l| l.request.suite = "trixie".parse().unwrap())
            .contains("the suite is bookworm, was trixie")
    );
    assert!(refused(&|l| l.request.base = Base::UBUNTU).contains("the base is debian"));
    assert!(refused(&|l| l.image = "other".parse().unwrap()).contains("it is of other"));
    assert!(refused(&|l| l.packages.retain(|p| p.name.as_str() != "nginx")).contains("no package nginx"));
    assert!(
        refused(&|l| l.packages.retain(|p| p.name.as_str() != "shim-signed"))
            .contains("no package shim-signed")
    );
}
