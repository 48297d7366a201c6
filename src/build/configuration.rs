//! The configuration layer: settings of a spec as files and accounts.
//!
//! [`files`] is a pure function from settings to files; [`apply`] writes them, makes the
//! accounts with the root's own tools, and has the result checked by the programs that
//! will read it (`sshd -t`, `nft -c`).

use super::root_files::{self, Entry};
use crate::effects::{Cancel, Sandbox};
use crate::model::recipe::{Configuration, Recipe};
use crate::model::spec::{Firewall, FirewallAction, Ssh, User};
use crate::model::{Emitter, Failure, Result};

/// Writes the configuration into the root.
///
/// # Errors
/// Class *spec* when a setting does not fit the root (no such group, unit or locale).
pub fn apply(
    configuration: &Configuration,
    recipe: &Recipe,
    sandbox: &Sandbox,
    events: &Emitter,
    cancel: &Cancel,
) -> Result<()> {
    let has = |name: &str| recipe.packages().any(|p| p.name.as_str() == name);
    root_files::write(sandbox, &files(configuration, has("openssh-server")), recipe.epoch, cancel)?;
    let run = |what: &str, program: &str, args: &[&str]| -> Result<()> {
        let output = sandbox.process(program)?.args(args).log_to(events, program).run(cancel)?;
        if output.status.success() {
            return Ok(());
        }
        Err(Failure::spec(format!("{what} failed")).details(output.tail()))
    };
    if has("locales") {
        run("making the locale", "/usr/sbin/locale-gen", &["--keep-existing"])?;
    }
    run("locking root", "/usr/sbin/usermod", &["--lock", "root"])?;
    for user in &configuration.users {
        make_user(user, sandbox, cancel, &run)?;
    }
    for unit in &configuration.enable {
        run(&format!("switching {unit} on"), "/bin/systemctl", &["enable", "--", &unit.full()])?;
    }
    // After those that are switched on: some bring others along (`Also=`).
    for unit in &configuration.disable {
        run(&format!("switching {unit} off"), "/bin/systemctl", &["disable", "--", &unit.full()])?;
    }
    if configuration.firewall.is_some() {
        run("checking the firewall rules", "/usr/sbin/nft", &["--check", "--file", "/etc/nftables.conf"])?;
    }
    if configuration.ssh.is_some() {
        check_sshd(sandbox, cancel)?;
    }
    Ok(())
}

/// Runs a program of the root: what for, its path, its arguments.
type Run<'a> = &'a dyn Fn(&str, &str, &[&str]) -> Result<()>;

fn make_user(user: &User, sandbox: &Sandbox, cancel: &Cancel, run: Run<'_>) -> Result<()> {
    let name = user.name.as_str();
    let mut groups: Vec<&str> = user.groups.iter().map(|g| g.as_str()).collect();
    if user.sudo && !groups.contains(&"sudo") {
        groups.push("sudo");
    }
    let shell = user.shell.as_deref().unwrap_or("/bin/bash");
    let groups = groups.join(",");
    let mut args = vec!["--create-home", "--user-group", "--shell", shell];
    if !groups.is_empty() {
        args.extend(["--groups", &groups]);
    }
    args.push(name);
    run(&format!("making the account {name}"), "/usr/sbin/useradd", &args)?;
    if let Some(hash) = &user.password_hash {
        // On stdin: a command line can be read by everybody on the host.
        sandbox
            .process("/usr/sbin/chpasswd")?
            .arg("--encrypted")
            .stdin(format!("{name}:{hash}\n"))
            .check(cancel)
            .map_err(|f| {
                Failure::spec(format!("setting the password of {name} failed")).details(f.message)
            })?;
    }
    if !user.ssh_keys.is_empty() {
        let folder = format!("/home/{name}/.ssh");
        let keys = user.ssh_keys.iter().map(|k| format!("{k}\n")).collect::<String>();
        run(
            "making a key folder",
            "/usr/bin/install",
            &["-d", "-m", "0700", "-o", name, "-g", name, &folder],
        )?;
        let path = format!("{}/authorized_keys", folder.trim_start_matches('/'));
        root_files::write(sandbox, &[Entry::file(&path, 0o600, keys)], 0, cancel)?;
        run("giving keys to their owner", "/bin/chown", &[&format!("{name}:{name}"), &format!("/{path}")])?;
    }
    Ok(())
}

/// Asks sshd about its configuration, with a host key that lives for this question only.
fn check_sshd(sandbox: &Sandbox, cancel: &Cancel) -> Result<()> {
    // `normalise` removes these again: the image has no host keys, it makes its own.
    let key = "/etc/ssh/ssh_host_ed25519_key";
    sandbox
        .process("/usr/bin/ssh-keygen")?
        .args(["-q", "-t", "ed25519", "-N", "", "-f", key])
        .check(cancel)?;
    let sandbox = sandbox.clone().folder("/run/sshd");
    let output = sandbox
        .process("/usr/sbin/sshd")?
        .args(["-T", "-C", "user=root,host=h,addr=127.0.0.1"])
        .run(cancel)?;
    if output.status.success() {
        return Ok(());
    }
    Err(Failure::spec("sshd refuses its configuration").details(output.tail()))
}

/// Where [`HOST_KEYS`] lies.
pub(super) const HOST_KEYS_PATH: &str = "etc/systemd/system/ssh.service.d/10-host-keys.conf";

/// Has sshd make its keys when it starts first. No RSA: those keys take a small machine many
/// seconds, and clients have not needed one for ten years.
pub(super) const HOST_KEYS: &str = "# An image has no host keys: each machine makes its own.\n[Service]\nExecStartPre=\n\
     ExecStartPre=/bin/sh -c 'for t in ed25519 ecdsa; do f=/etc/ssh/ssh_host_$${t}_key; \
     test -s $$f || ssh-keygen -q -t $$t -N \"\" -f $$f || exit; done'\n\
     ExecStartPre=/usr/sbin/sshd -t\n";

/// The files that the settings become, sorted by path.
pub fn files(configuration: &Configuration, has_sshd: bool) -> Vec<Entry> {
    let host = &configuration.hostname;
    let mut files = vec![
        Entry::file("etc/hostname", 0o644, format!("{host}\n")),
        Entry::file(
            "etc/hosts",
            0o644,
            format!("127.0.0.1\tlocalhost\n127.0.1.1\t{host}\n::1\tlocalhost ip6-localhost ip6-loopback\n"),
        ),
        Entry::file("etc/default/locale", 0o644, format!("LANG={}\n", configuration.locale)),
        Entry::file("etc/locale.gen", 0o644, locale_gen(&configuration.locale)),
        Entry::file("etc/timezone", 0o644, format!("{}\n", configuration.timezone)),
        Entry::symlink("etc/localtime", &format!("/usr/share/zoneinfo/{}", configuration.timezone)),
        Entry::file("etc/machine-id", 0o444, ""),
        Entry::file(
            "etc/systemd/network/80-dhcp.network",
            0o644,
            "[Match]\nName=en* eth*\n\n[Network]\nDHCP=yes\n",
        ),
    ];
    if let Some(firewall) = &configuration.firewall {
        files.push(Entry::file("etc/nftables.conf", 0o755, nftables(firewall)));
    }
    if let Some(ssh) = &configuration.ssh {
        files.push(Entry::file("etc/ssh/sshd_config.d/10-bootwright.conf", 0o644, sshd(ssh)));
    }
    if has_sshd {
        files.push(Entry::file(HOST_KEYS_PATH, 0o644, HOST_KEYS));
    }
    let modules = &configuration.modules;
    if !modules.enable.is_empty() {
        files.push(Entry::file(
            "etc/modules-load.d/bootwright.conf",
            0o644,
            modules.enable.join("\n") + "\n",
        ));
    }
    if !modules.disable.is_empty() {
        let text: String =
            modules.disable.iter().map(|m| format!("blacklist {m}\ninstall {m} /bin/false\n")).collect();
        files.push(Entry::file("etc/modprobe.d/bootwright.conf", 0o644, text));
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// `locale.gen` (man locale-gen): the locale and its character set.
fn locale_gen(locale: &str) -> String {
    if locale == "C.UTF-8" || locale == "C" || locale == "POSIX" {
        return "# The built-in locale needs no files.\n".to_owned();
    }
    let charset = locale.split_once('.').map_or("ISO-8859-1", |(_, c)| c.split('@').next().unwrap_or(c));
    format!("{locale} {charset}\n")
}

/// An nftables rule set for incoming traffic (man nft). ICMP and ICMPv6 go by number: a small
/// root has no `/etc/protocols`.
pub(super) fn nftables(firewall: &Firewall) -> String {
    let verdict = |action| match action {
        FirewallAction::Allow => "accept",
        FirewallAction::Deny => "drop",
    };
    let rules: String = firewall
        .rules
        .iter()
        .map(|rule| {
            let source = match &rule.source {
                Some(net) if net.contains(':') => format!("ip6 saddr {net} "),
                Some(net) => format!("ip saddr {net} "),
                None => String::new(),
            };
            format!("\t\t{source}{} dport {} {}\n", rule.protocol.as_str(), rule.port, verdict(rule.action))
        })
        .collect();
    format!(
        "#!/usr/sbin/nft -f\nflush ruleset\n\ntable inet filter {{\n\tchain input {{\n\
         \t\ttype filter hook input priority filter; policy {};\n\
         \t\tct state established,related accept\n\t\tct state invalid drop\n\t\tiif lo accept\n\
         \t\tmeta l4proto {{ 1, 58 }} accept\n{rules}\t}}\n}}\n",
        verdict(firewall.policy)
    )
}

/// A drop-in for sshd (man sshd_config); the first value of a setting wins, and drop-ins
/// are read first.
pub(super) fn sshd(ssh: &Ssh) -> String {
    let yes = |b: bool| if b { "yes" } else { "no" };
    let mut text = format!(
        "Port {}\nPermitRootLogin {}\nPasswordAuthentication {}\nKbdInteractiveAuthentication no\n",
        ssh.port,
        yes(ssh.permit_root_login),
        yes(ssh.password_authentication)
    );
    if let Some(tries) = ssh.max_retries {
        text.push_str(&format!("MaxAuthTries {tries}\n"));
    }
    if !ssh.allow_users.is_empty() {
        let users: Vec<&str> = ssh.allow_users.iter().map(|u| u.as_str()).collect();
        text.push_str(&format!("AllowUsers {}\n", users.join(" ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of<'a>(files: &'a [Entry], path: &str) -> &'a str {
        let entry = files.iter().find(|e| e.path == path).unwrap_or_else(|| panic!("no {path}"));
        match &entry.content {
            root_files::Content::File { bytes, .. } => std::str::from_utf8(bytes).unwrap(),
            root_files::Content::Symlink { target } => target,
        }
    }

    fn configuration(json: &str) -> Configuration {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn settings_become_files() {
        let files = files(
            &configuration(
                r#"{"hostname":"box","locale":"de_DE.UTF-8","timezone":"Europe/Berlin","users":[],
                "enable":[],"disable":[],"modules":{"disable":["pcspkr"]},
                "firewall":{"policy":"deny","rules":[{"action":"allow","port":22,"protocol":"tcp","source":"10.0.0.0/8"}]},
                "ssh":{"port":2222,"maxRetries":3,"allowUsers":["admin"]}}"#,
            ),
            true,
        );
        assert_eq!(text_of(&files, "etc/hostname"), "box\n");
        assert_eq!(text_of(&files, "etc/locale.gen"), "de_DE.UTF-8 UTF-8\n");
        assert_eq!(text_of(&files, "etc/localtime"), "/usr/share/zoneinfo/Europe/Berlin");
        assert!(text_of(&files, "etc/nftables.conf").contains("ip saddr 10.0.0.0/8 tcp dport 22 accept"));
        assert!(text_of(&files, "etc/nftables.conf").contains("policy drop"));
        let sshd = text_of(&files, "etc/ssh/sshd_config.d/10-bootwright.conf");
        assert!(sshd.contains("Port 2222\nPermitRootLogin no\nPasswordAuthentication no\n"));
        assert!(sshd.contains("MaxAuthTries 3\nAllowUsers admin\n"));
        assert!(text_of(&files, "etc/modprobe.d/bootwright.conf").contains("install pcspkr /bin/false"));
    }
}
