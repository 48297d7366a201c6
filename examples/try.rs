use bootwright::build::{apt, cache::Cache, initramfs, layers::LayerBuilder, packages::Packages};
use bootwright::effects::Cancel;
use bootwright::model::Digest;
use bootwright::model::event::{Emitter, Event};
use bootwright::model::lock::{LayerRequest, LockRequest};
use bootwright::model::recipe::*;
use bootwright::model::settings::Mirror;
use bootwright::model::spec::*;
fn main() {
    let t0 = std::time::Instant::now();
    let events = Emitter::new(move |e| match e {
        Event::TaskFinished { label, elapsed_ms, outcome, .. } => {
            println!("{:6.2} {label} {elapsed_ms} ms {outcome}", t0.elapsed().as_secs_f32())
        }
        Event::Log { source, line } => {
            if std::env::var("V").is_ok() {
                println!("   {source}: {line}")
            }
        }
        Event::Warning { message } => println!("WARN {message}"),
        _ => {}
    });
    let cancel = Cancel::default();
    let mk = |n: &str, p: &[&str]| LayerRequest {
        name: n.into(),
        packages: p.iter().map(|p| p.parse().unwrap()).collect(),
    };
    let request = LockRequest {
        base: Base::Debian,
        suite: "bookworm".parse().unwrap(),
        architecture: Architecture::X86_64,
        layers: vec![
            mk("bootstrap", &["apt", "dbus", "libpam-systemd", "systemd-resolved", "systemd-sysv", "udev"]),
            mk("kernel", &["initramfs-tools", "linux-image-amd64", "live-boot", "zstd"]),
            mk("security", &["nftables"]),
            mk("networking", &["curl", "openssh-server"]),
            mk("utils", &["sudo"]),
            mk("iso-boot-files", &["grub-efi-amd64-signed", "grub-pc-bin", "shim-signed"]),
        ],
    };
    let k = "/usr/share/keyrings/debian-archive-keyring.gpg".to_string();
    let m = |u: &str, s: &[&str]| Mirror {
        base: Base::Debian,
        urls: vec![u.into()],
        suites: s.iter().map(|s| s.to_string()).collect(),
        components: vec!["main".into()],
        keyring: k.clone(),
    };
    let text = std::fs::read_to_string("/etc/apt/sources.list.d/debian.sources").unwrap();
    let urls: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("URIs: ")).collect();
    let mirrors = vec![m(urls[0], &["{suite}", "{suite}-updates"]), m(urls[1], &["{suite}-security"])];
    let root = std::path::PathBuf::from(std::env::args().nth(1).unwrap());
    let cache = Cache::open(&root).unwrap();
    let lockfile = root.join("lock.json");
    let lock = match std::fs::read(&lockfile) {
        Ok(b) => serde_json::from_slice(&b).unwrap(),
        Err(_) => {
            let l = apt::lock(
                &"try".parse().unwrap(),
                &request,
                &mirrors,
                &cache.apt(&Digest::of("x")),
                &events,
                &cancel,
            )
            .unwrap_or_else(|e| panic!("{e} {:?}", e.details));
            std::fs::write(&lockfile, serde_json::to_vec_pretty(&l).unwrap()).unwrap();
            l
        }
    };
    let mut layers: Vec<LayerRecipe> = request
        .layers
        .iter()
        .filter(|l| l.name != "iso-boot-files")
        .enumerate()
        .map(|(i, l)| {
            let packages = lock.of_layer(&l.name).cloned().collect();
            LayerRecipe {
                name: l.name.clone(),
                step: if i == 0 {
                    LayerStep::Bootstrap { packages }
                } else {
                    LayerStep::Packages { packages }
                },
            }
        })
        .collect();
    layers.push(LayerRecipe {
        name: "configuration".into(),
        step: LayerStep::Configuration(Box::new(Configuration {
            hostname: "livebox".parse().unwrap(),
            locale: "C.UTF-8".into(),
            timezone: "Etc/UTC".into(),
            users: vec![User {
                name: "live".parse().unwrap(),
                password_hash: Some("$6$benchsalt$x".into()),
                ssh_keys: vec!["ssh-ed25519 AAAA x".into()],
                groups: vec![],
                shell: None,
                sudo: true,
            }],
            enable: vec!["ssh.service".parse().unwrap(), "nftables.service".parse().unwrap()],
            disable: vec![],
            firewall: Some(Firewall {
                backend: Default::default(),
                policy: FirewallAction::Deny,
                rules: vec![FirewallRule {
                    action: FirewallAction::Allow,
                    port: 22.try_into().unwrap(),
                    protocol: Protocol::Tcp,
                    source: None,
                }],
            }),
            ssh: Some(Ssh {
                port: 22.try_into().unwrap(),
                permit_root_login: false,
                password_authentication: true,
                max_retries: Some(3),
                allow_users: vec![],
            }),
            modules: Default::default(),
        })),
    });
    let recipe = Recipe {
        build_format: BUILD_FORMAT,
        image: "try".parse().unwrap(),
        base: Base::Debian,
        suite: "bookworm".parse().unwrap(),
        architecture: Architecture::X86_64,
        epoch: lock.date().timestamp(),
        layers,
        outputs: vec![],
        compression: Default::default(),
        boot_menu: BootMenu { title: "x".into(), timeout: 1, splash: None, kernel_flags: vec![] },
        verify: Default::default(),
        limits: Default::default(),
        lock: lock.digest(),
    };
    let resolved = ResolvedRecipe { recipe, blobs: Default::default(), lock };
    let rt = tokio::runtime::Runtime::new().unwrap();
    let client = bootwright::effects::fetch::client().unwrap();
    let packages = Packages {
        cache: &cache,
        base: Base::Debian,
        suite: "bookworm",
        mirrors: &mirrors,
        client: &client,
        runtime: rt.handle(),
    };
    let b = LayerBuilder {
        cache: &cache,
        packages: &packages,
        resolved: &resolved,
        events: &events,
        cancel: &cancel,
    };
    let stack =
        b.build(|_| Ok(())).unwrap_or_else(|e| panic!("{e}\n{}", e.details.clone().unwrap_or_default()));
    let d = initramfs::depth(&stack);
    println!("depth {d} of {}", stack.len());
    let kernel = initramfs::make(&stack[..d], resolved.recipe.epoch, &cache, &events, &cancel)
        .unwrap_or_else(|e| panic!("{e}\n{}", e.details.clone().unwrap_or_default()));
    println!("{kernel:?}");
}
