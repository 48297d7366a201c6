//! What users' shells load, and dotfiles: rc files started by the shells themselves,
//! repositories fetched from real git servers, files in homes of a built root.

pub mod homes;
mod sources;

use bootwright::configure::{self, Plan, Program, System};
use bootwright::effects::{Cancel, Process};
use bootwright::model::check::Expect;
use bootwright::model::spec::OsImage;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";

/// Frameworks and prompts, as little of each as its rc file needs: name, and files with texts.
const MADE_UP: [(&str, &[(&str, &str)]); 8] = [
    (
        "oh-my-zsh",
        &[
            ("oh-my-zsh.sh", "omz() { :; }\nsource $ZSH/themes/$ZSH_THEME.zsh-theme\n"),
            ("themes/agnoster.zsh-theme", "PROMPT='> '\n"),
        ],
    ),
    (
        "prezto",
        &[
            (
                "init.zsh",
                "pmodload() { :; }\nsource ${ZDOTDIR:-$HOME}/.zpreztorc\nzstyle -s ':prezto:module:prompt' theme it\n\
             if [[ -r ${0:h}/$it ]]; then functions[prompt_${it}_setup]=:; fi\n",
            ),
            ("agnoster", ""),
        ],
    ),
    (
        "oh-my-bash",
        &[
            (
                "oh-my-bash.sh",
                "_omb_module_require() { :; }\n. \"$OSH/themes/$OSH_THEME/$OSH_THEME.theme.sh\"\n",
            ),
            ("themes/agnoster/agnoster.theme.sh", "PS1='> '\n"),
        ],
    ),
    (
        "bash-it",
        &[
            (
                "bash_it.sh",
                "bash-it() { :; }\n. \"$BASH_IT/themes/$BASH_IT_THEME/$BASH_IT_THEME.theme.bash\"\n",
            ),
            ("themes/agnoster/agnoster.theme.bash", "PS1='> '\n"),
        ],
    ),
    ("oh-my-fish", &[("init.fish", "function omf\nend\n"), ("themes/agnoster/x.fish", "")]),
    ("fisher", &[("functions/fisher.fish", "function fisher\nend\n"), ("completions/fisher.fish", "")]),
    ("powerlevel10k", &[("powerlevel10k.zsh-theme", "p10k() { :; }\n")]),
    (
        "pure",
        &[(
            "prompt_pure_setup",
            "prompt_pure_precmd() { :; }\nprompt_pure_setup() { PROMPT='> ' }\nprompt_pure_setup \"$@\"\n",
        )],
    ),
];

/// What a theme is called in the trials; the real frameworks all know one of their own.
fn theme(framework: &str) -> &'static str {
    match (real(), framework) {
        (None, _) => "agnoster",
        (_, "oh-my-zsh" | "oh-my-bash") => "agnoster",
        (_, "prezto") => "sorin",
        (_, "bash-it") => "bobby",
        _ => "default",
    }
}

/// A folder with checkouts of the real frameworks, for trials by hand.
#[expect(clippy::disallowed_methods, reason = "who tries by hand says so in the environment")]
fn real() -> Option<PathBuf> {
    std::env::var_os("BOOTWRIGHT_SHELL_FRAMEWORKS").map(PathBuf::from)
}

fn planned(customization: &Value) -> Plan {
    let document = json!({
        "apiVersion": "bootwright/v1", "kind": "OsImage", "metadata": {"name": "edge"},
        "spec": {"base": "debian", "suite": "trixie", "outputs": ["oci"], "customization": customization,
            "defaults": {"users": [{"name": "ada"}, {"name": "bob", "shell": "/bin/dash"}]}}
    });
    let image: OsImage = serde_json::from_value(document).unwrap();
    let configuration = configure::configuration(&image.metadata.name, &image.spec).unwrap();
    configure::plan(&System {
        configuration: &configuration,
        base: image.spec.base,
        suite: image.spec.suite.as_str(),
        architecture: image.spec.architecture,
        packages: [("git", "")].into(),
        outputs: &image.spec.outputs,
    })
}

/// A folder that stands for a root: a plan's files and the frameworks are in it, and all paths
/// in files and arguments lead there.
struct Trial {
    folder: tempfile::TempDir,
    plan: Plan,
}

impl Trial {
    fn new(plan: Plan) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, files) in MADE_UP {
            let to = folder.path().join("usr/share").join(name);
            if let Some(real) = real().map(|real| real.join(name)).filter(|real| real.is_dir()) {
                std::fs::create_dir_all(to.parent().unwrap()).unwrap();
                Process::new("cp").arg("-a").arg(real).arg(&to).check(&Cancel::default()).unwrap();
                continue;
            }
            for (path, text) in files {
                write(&to.join(path), text);
            }
        }
        let trial = Self { folder, plan };
        for file in trial.plan.files.iter().filter(|file| file.owner.is_some()) {
            write(&trial.path(&file.path), &trial.here(trial.plan.text(&file.path).unwrap()));
        }
        trial
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// A text with the root's paths led into the folder.
    fn here(&self, text: &str) -> String {
        let root = self.folder.path().display();
        text.replace("/usr/share/", &format!("{root}/usr/share/"))
            .replace("/home/", &format!("{root}/home/"))
            .replace("/tmp/trial", &format!("{root}/trial"))
    }

    fn run(&self, program: &str, args: &[String]) -> (bool, String) {
        std::fs::create_dir_all(self.path("trial")).unwrap();
        // OMF_CONFIG is below HOME, which is the user's own in the booted system.
        let config = self.path("home/ada/.config");
        if config.is_dir() && !self.path("trial/.config").exists() {
            std::os::unix::fs::symlink(config, self.path("trial/.config")).unwrap();
        }
        let args: Vec<String> = args.iter().map(|arg| self.here(arg)).collect();
        let process = Process::new(program).args(&args).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let output = process.run(&Cancel::default()).unwrap();
        (output.status.success(), format!("{}{}", output.text(), output.errors()))
    }

    /// All programs that judge; what the first one to fail said.
    fn judged(&self) -> Result<usize, String> {
        let own = |test: &&Program| test.what.contains("/home/ada");
        let tests: Vec<&Program> = self.plan.tests.iter().filter(own).collect();
        for test in &tests {
            let (fine, words) = self.run(&test.path, &test.args);
            if !fine {
                return Err(format!("{}: {words}", test.what));
            }
        }
        Ok(tests.len())
    }

    /// What the booted system is asked, run here by the shells: the fields that were not so.
    fn unanswered(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for check in &self.plan.checks {
            let Expect::Output { argv, contains } = &check.expect else { continue };
            assert_eq!(argv[..4], ["/usr/sbin/runuser", "-u", "ada", "--"], "{check:?}");
            let mut args = argv[5..].to_vec();
            // Root's own files would count for a shell that is started here.
            args.insert(0, "-i".to_owned());
            args.insert(1, "PATH=/usr/bin:/bin".to_owned());
            let (fine, words) = self.run(&argv[4], &args);
            if !(fine && words.contains(contains.as_str())) {
                wrong.push(check.field.clone());
            }
        }
        wrong
    }
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn source() -> Value {
    json!({"repository": "https://example.org/x.git", "revision": REVISION})
}

fn framework(shell: &str, name: &str, theme: Option<&str>) -> Value {
    let mut looks = json!({"shell": shell, "shellFramework": name, "shellFrameworkSource": source()});
    if let Some(theme) = theme {
        looks["shellTheme"] = json!(theme);
    }
    looks
}

const FRAMEWORKS: [(&str, &str); 6] = [
    ("zsh", "oh-my-zsh"),
    ("zsh", "prezto"),
    ("bash", "oh-my-bash"),
    ("bash", "bash-it"),
    ("fish", "oh-my-fish"),
    ("fish", "fisher"),
];

#[test]
fn every_framework_is_loaded_by_its_shell() {
    for (shell, name) in FRAMEWORKS {
        // Themes of Oh My Fish are not in its repository.
        let none = name == "fisher" || (name == "oh-my-fish" && real().is_some());
        let themed = (!none).then(|| theme(name));
        let trial = Trial::new(planned(&framework(shell, name, themed)));
        assert_eq!(trial.judged(), Ok(2), "{name}");
        let asked = trial.plan.checks.iter().filter(|c| c.field.starts_with("spec.customization")).count();
        assert_eq!(asked, 1 + usize::from(themed.is_some()), "{name}");
        assert_eq!(trial.unanswered(), Vec::<String>::new(), "{name}");
        // Bob has another shell: nothing is written for him.
        assert!(!trial.plan.files.iter().any(|file| file.path.starts_with("home/bob")));
        println!("{name}: loaded, theme {themed:?}");
    }
}

#[test]
fn a_theme_that_is_not_there_is_found_out() {
    for (shell, name) in FRAMEWORKS.into_iter().filter(|(_, name)| *name != "fisher") {
        let trial = Trial::new(planned(&framework(shell, name, Some("no-such-theme"))));
        if name != "oh-my-fish" {
            let said = trial.judged().unwrap_err();
            assert!(said.starts_with("loading "), "{name}: {said}");
        }
        assert!(trial.unanswered().contains(&"spec.customization.shellTheme".to_owned()), "{name}");
    }
}

#[test]
fn a_framework_that_is_empty_is_found_out() {
    for (shell, name) in FRAMEWORKS {
        let trial = Trial::new(planned(&framework(shell, name, None)));
        std::fs::remove_dir_all(trial.path("usr/share").join(name)).unwrap();
        assert!(trial.judged().is_err(), "{name}");
        assert_eq!(trial.unanswered(), ["spec.customization.shellFramework"], "{name}");
    }
}

#[test]
fn prompts_are_drawn_in_their_shells() {
    for prompt in ["powerlevel10k", "pure"] {
        let looks = json!({"shell": "zsh", "prompt": prompt, "promptSource": source()});
        let trial = Trial::new(planned(&looks));
        assert_eq!(trial.judged(), Ok(2), "{prompt}");
        assert_eq!(trial.unanswered(), Vec::<String>::new(), "{prompt}");
        std::fs::remove_dir_all(trial.path("usr/share").join(prompt)).unwrap();
        assert_eq!(trial.unanswered(), ["spec.customization.prompt"]);
    }
    // Starship is a program of the image; here a small one that prints what the real one prints.
    for shell in ["zsh", "bash", "fish"] {
        let mut trial = Trial::new(planned(&json!({"shell": shell, "prompt": "starship"})));
        let program = trial.path("bin/starship");
        let says =
            "case $2 in fish) echo set -gx STARSHIP_SHELL fish ;; *) echo export STARSHIP_SHELL=$2 ;; esac";
        write(&program, &format!("#!/bin/sh\n{says}\n"));
        Process::new("chmod").arg("755").arg(&program).check(&Cancel::default()).unwrap();
        let path = format!("PATH={}:/usr/bin:/bin", trial.path("bin").display());
        for test in trial.plan.tests.iter_mut().filter(|test| test.path == "/usr/bin/env") {
            test.args.insert(0, path.clone());
        }
        assert_eq!(trial.judged(), Ok(2), "{shell}");
        // Without the program nothing draws.
        assert_eq!(trial.unanswered(), ["spec.customization.prompt"], "{shell}");
    }
}

#[test]
fn a_framework_and_a_prompt_beside_each_other() {
    let mut looks = framework("zsh", "oh-my-zsh", None);
    looks["prompt"] = json!("pure");
    looks["promptSource"] = source();
    let trial = Trial::new(planned(&looks));
    assert_eq!(trial.judged(), Ok(2));
    assert_eq!(trial.unanswered(), Vec::<String>::new());
    let rc = trial.plan.text("home/ada/.zshrc").unwrap();
    let places = ["oh-my-zsh.sh", "prompt pure"].map(|words| rc.find(words).unwrap());
    assert!(places[0] < places[1], "the later one draws: {rc}");
}
