//! A root that is really built, from small packages with this host's zsh: framework below
//! `/usr/share`, rc file and dotfiles in the home, all with their owners and modes.

use crate::catalog::{Repository as Git, git};
use crate::managers::pacman::{About, Repository, repository};
use crate::managers::{World, command, find, must, programs, put};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Does to the account files what the real one does.
const USERADD: &str = "#!/bin/sh\nfor name; do :; done\necho \"$name:x:1000:1000::/home/$name:/usr/bin/zsh\" >>/etc/passwd\n\
    echo \"$name:x:1000:\" >>/etc/group\nmkdir -p /home/$name\nchown 1000:1000 /home/$name\n";

/// This host's zsh, with the modules that an interactive one needs.
pub fn zsh(tree: &Path) {
    programs(tree, &["/usr/bin/zsh"]);
    let modules = Path::new("/usr/lib/x86_64-linux-gnu/zsh");
    let found = must(command("find").arg(modules).args(["-name", "*.so"]));
    for module in found
        .lines()
        .filter(|m| ["zle.so", "parameter.so", "zutil.so", "complete.so"].iter().any(|n| m.ends_with(n)))
    {
        programs(tree, &[module]);
    }
}

fn with_zsh(repository: &Repository) {
    repository.package("zsh", About { depends: &["busybox"], ..About::default() }, |tree| {
        zsh(tree);
        put(tree, "usr/sbin/useradd.shadow", USERADD, 0o755);
    });
    repository.package(
        "tools",
        About {
            depends: &["zsh"],
            install: "post_install() {\n  mv /usr/sbin/useradd.shadow /usr/sbin/useradd\n}\n",
            ..About::default()
        },
        |_| {},
    );
    repository.index();
}

fn spec(revision: &str, theme: &str) -> String {
    format!(
        "apiVersion: bootwright/v1\nkind: OsImage\nmetadata: {{name: tiny}}\nspec:\n  base: arch\n  suite: rolling\n  \
         channel: edge\n  outputs: [rootfs]\n  packages: {{extra: [tools]}}\n  defaults: {{users: [{{name: ada}}]}}\n  \
         customization:\n    shell: zsh\n    shellFramework: oh-my-zsh\n    shellTheme: {theme}\n    \
         shellFrameworkSource: {{repository: 'https://git.example.org/omz.git', revision: '{revision}'}}\n    \
         dotfiles: {{folder: specs/dotfiles/ada}}\n"
    )
}

/// Mode, owner and content (or target) of each name.
fn listing(release: &Path) -> BTreeMap<String, (u32, u64, String)> {
    let file = fs::File::open(find(release, ".rootfs.tar.zst")).unwrap();
    let mut archive = tar::Archive::new(zstd::Decoder::new(file).unwrap());
    let mut found = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_string_lossy().trim_matches(['.', '/']).to_owned();
        let (mode, owner) = (entry.header().mode().unwrap() & 0o7777, entry.header().uid().unwrap());
        let text = match entry.link_name().unwrap() {
            Some(target) => target.to_string_lossy().into_owned(),
            None => {
                let mut bytes = Vec::new();
                std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
                String::from_utf8_lossy(&bytes).into_owned()
            }
        };
        found.insert(name, (mode, owner, text));
    }
    found
}

#[test]
fn a_home_is_laid_out_with_its_framework_and_dotfiles() {
    let (_dir, repository) = repository();
    with_zsh(&repository);
    let framework = Git::new();
    framework.write("oh-my-zsh.sh", "omz() { :; }\nsource $ZSH/themes/$ZSH_THEME.zsh-theme\n");
    framework.write("themes/agnoster.zsh-theme", "PROMPT='> '\n");
    let revision = framework.commit("a framework");
    let copies = tempfile::tempdir().unwrap();
    git(copies.path(), &["clone", "-q", "--bare", framework.path().to_str().unwrap(), "omz.git"]);
    let copy = format!(
        "gitMirrors: [{{of: 'https://git.example.org/', url: 'file://{}/'}}]\n",
        copies.path().display()
    );
    let world = World::new(&spec(&revision, "agnoster"), &(repository.mirrors() + &copy));
    let dotfile = |path: &str, text: &str, mode: u32| {
        put(&world.dir.join("specs/dotfiles/ada"), path, text, mode);
    };
    dotfile(".config/vim/rc", "set nu\n", 0o644);
    dotfile(".ssh/config", "Host *\n", 0o644);
    dotfile(".local/bin/up", "#!/bin/sh\n", 0o755);
    std::os::unix::fs::symlink(".config/vim/rc", world.dir.join("specs/dotfiles/ada/.vimrc")).unwrap();
    world.commit();
    let found = listing(&world.released());
    for (path, mode, owner, text) in [
        ("usr/share/oh-my-zsh/themes/agnoster.zsh-theme", 0o644, 0, "PROMPT='> '\n"),
        ("home/ada/.config/vim/rc", 0o644, 1000, "set nu\n"),
        ("home/ada/.config/vim", 0o755, 1000, ""),
        ("home/ada/.config", 0o755, 1000, ""),
        ("home/ada/.ssh/config", 0o600, 1000, "Host *\n"),
        ("home/ada/.ssh", 0o700, 1000, ""),
        ("home/ada/.local/bin/up", 0o755, 1000, "#!/bin/sh\n"),
        ("home/ada/.vimrc", 0o777, 1000, ".config/vim/rc"),
    ] {
        assert_eq!(found.get(path), Some(&(mode, owner, text.to_owned())), "{path}");
    }
    let (mode, owner, rc) = &found["home/ada/.zshrc"];
    assert!((*mode, *owner) == (0o644, 1000) && rc.contains("ZSH_THEME='agnoster'"), "{rc}");
    // The shell that tried it out left nothing behind.
    let own: Vec<&String> =
        found.keys().filter(|name| name.starts_with("home/ada/") || name.starts_with("tmp/")).collect();
    assert_eq!(own.len(), 10, "{own:?}");
}
