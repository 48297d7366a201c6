//! The hardened server: everything declared is found inside, and what can be reached from
//! outside is what its firewall says.

use super::{Image, all_found, boots, command, file, machine};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Let in, and with something that answers.
const OPEN: [u16; 2] = [22, 80];
/// Not let in: nobody listens on the first three, systemd-resolved does on the last.
const SHUT: [u16; 4] = [23, 443, 8080, 5355];
/// A dropped packet is not answered; a port without a filter is, at once.
const SILENCE: Duration = Duration::from_secs(4);
const START_LIMIT: Duration = Duration::from_mins(8);

pub(super) struct Machine {
    qemu: Child,
    /// Ports of the image and of this host that lead there.
    ports: Vec<(u16, u16)>,
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

impl Machine {
    pub(super) fn start(iso: &Path) -> Self {
        let free = |port| {
            let here = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
            (port, here)
        };
        let ports: Vec<(u16, u16)> = OPEN.into_iter().chain(SHUT).map(free).collect();
        let forwards: String =
            ports.iter().map(|(there, here)| format!(",hostfwd=tcp:127.0.0.1:{here}-:{there}")).collect();
        let qemu = command("qemu-system-x86_64")
            .args(["-machine", "q35", "-accel", "tcg", "-m", "1024", "-smp", "2", "-display", "none"])
            .args(["-serial", "null", "-monitor", "none", "-cdrom"])
            .arg(iso)
            .args(["-nic", &format!("user,model=virtio-net-pci{forwards}")])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { qemu, ports }
    }

    /// The first bytes that come; `None` if the other end stays silent, empty if it hangs up or
    /// QEMU does not forward yet.
    fn first_words(&self, port: u16, say: &[u8]) -> Option<Vec<u8>> {
        let here = self.ports.iter().find(|(there, _)| *there == port).unwrap().1;
        let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, here)) else { return Some(Vec::new()) };
        stream.set_read_timeout(Some(SILENCE)).unwrap();
        let mut buffer = [0; 64];
        match stream.write_all(say).and_then(|()| stream.read(&mut buffer)) {
            Ok(n) => Some(buffer[..n].to_vec()),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
            Err(_) => Some(Vec::new()),
        }
    }

    fn wait_for(&self, port: u16, say: &[u8], words: &[u8]) {
        let began = Instant::now();
        while !self.first_words(port, say).is_some_and(|found| found.starts_with(words)) {
            assert!(began.elapsed() < START_LIMIT, "port {port} does not answer");
            std::thread::sleep(Duration::from_secs(1));
        }
        println!("port {port} answers after {:?}", began.elapsed());
    }

    /// What its rules let in answers; packets to other ports are dropped.
    pub(super) fn answers_where_it_should(&self) {
        self.wait_for(22, b"", b"SSH-2.0-");
        self.wait_for(80, b"HEAD / HTTP/1.0\r\n\r\n", b"HTTP/1.");
        for port in SHUT {
            let words = self.first_words(port, b"x");
            assert_eq!(words, None, "port {port} answers or refuses: its packets are not dropped");
        }
    }
}

#[test]
fn it_shows_what_it_declares_and_its_ports_agree_with_its_rules() {
    let _one = machine();
    let (release, manifest) = Image::new("hardened-server", "").publish();
    let boots = boots(&manifest);
    assert_eq!(boots.len(), 2, "BIOS and UEFI");
    for findings in &boots {
        let found = all_found(findings);
        println!("declared and found: {found}");
        assert!(found >= 50, "{findings:#?}");
        for field in [
            "spec.securityFeatures.firewall.policy: ",
            "spec.securityFeatures.firewall.rules[1]: ",
            "spec.securityFeatures.ssh.fail2ban: ",
            "spec.securityFeatures.ssh.banTime: ",
            "spec.securityFeatures.mac[0]: ",
            "spec.securityFeatures.kernelHardening[13]: ",
            "spec.postInstall.systemTuning.openFiles: ",
            "spec.kernel.modules.disable[0]: ",
            "spec.defaults.users[0]: ",
        ] {
            assert!(findings.iter().any(|f| f.starts_with(field)), "{field}: {findings:#?}");
        }
    }
    let page = std::fs::read_to_string(release.join("index.html")).unwrap();
    assert!(page.contains("declared and found: "), "the release's page");

    Machine::start(&file(&release, ".iso")).answers_where_it_should();
}

#[test]
fn a_setting_that_does_not_hold_is_refused_by_its_field() {
    let _one = machine();
    let image = Image::new("hardened-server", "-broken");
    image.edit("specs/hardened-server.yaml", "boot: [bios, uefi]", "boot: [bios]");
    // Read after ours: magic keys are allowed again.
    image.overlay("etc/sysctl.d/99-zzz.conf", "kernel.sysrq = 1\n");
    let words = image.refused();
    let named = "spec.securityFeatures.kernelHardening[9]: expected kernel.sysrq = 0, found 1";
    assert!(words.contains(named) && !words.contains("kernelHardening[8]"), "{words}");
}
