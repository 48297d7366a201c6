//! BorgOS: dashboard, files for language models, web server and SSH answer on their ports; the
//! offline model is named and not there.

use super::{Image, all_found, boots, machine};

#[test]
#[ignore = "builds and boots a whole image: make test-images"]
fn borgos_answers_on_its_ports() {
    let _machine = machine();
    let (folder, manifest) = Image::new("borgos", "").publish();
    let boots = boots(&manifest);
    assert!(!boots.is_empty());
    for findings in &boots {
        assert!(all_found(findings) >= 17, "{findings:#?}");
        for port in [22, 80, 443, 6969, 7300] {
            assert!(findings.contains(&format!("port {port}/tcp: open")), "{findings:#?}");
        }
        let told = |field: &str| findings.iter().any(|f| f.starts_with(field) && f.ends_with("so it is"));
        for field in ["spec.services.ai[0].model", "spec.backup.schedule", "spec.services.databases[0].port"]
        {
            assert!(told(field), "{field}: {findings:#?}");
        }
    }
    let size = std::fs::metadata(super::file(&folder, ".iso")).unwrap().len();
    assert!(size < 2 << 30, "{size}");
}
