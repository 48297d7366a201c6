//! Language models and what goes with them.
//!
//! A model is named here and fetched by the running system: it is larger than the image, and
//! its licence is between its maker and the machine's owner.

use super::own::{OwnService, Run};
use super::{Account, Needs, Plan, System};
use crate::model::check::Expect;
use crate::model::spec::{Ai, AiService, Base, Init, Listen, OsSpec, Protocol};
use crate::tables;

pub(super) fn needs(spec: &OsSpec, needs: &mut Needs) {
    for (index, service) in spec.services.ai.iter().enumerate() {
        // One that is not started may be brought by the owner where there is no package of it.
        if service.enabled || packaged(spec.base, service.name) {
            needs.package(&format!("spec.services.ai[{index}]"), "ai_ml", service.name.as_str());
        }
    }
}

fn packaged(base: Base, name: Ai) -> bool {
    tables::row(name.as_str()).and_then(|row| row.on(base)).is_some_and(|entry| entry.offer().is_some())
}

pub(super) fn plan(system: &System<'_>, plan: &mut Plan) {
    for (index, service) in system.configuration.ai.iter().enumerate() {
        let field = format!("spec.services.ai[{index}]");
        match service.name {
            Ai::Ollama => ollama(&field, service, system, plan),
            Ai::Jupyter => jupyter(&field, service, system, plan),
            // No distribution has them: `needs` has said so.
            Ai::OpenWebui | Ai::Chromadb | Ai::N8n => {}
        }
    }
}

fn address(service: &AiService) -> (&'static str, u16) {
    let host = if service.listen == Listen::Local { "127.0.0.1" } else { "0.0.0.0" };
    (host, service.port.map_or(service.name.port(), std::num::NonZeroU16::get))
}

fn listens(field: &str, service: &AiService, plan: &mut Plan) {
    let outside = Some(service.listen == Listen::All);
    let port = address(service).1;
    plan.check(&format!("{field}.port"), Expect::Listen { protocol: Protocol::Tcp, port, outside });
}

fn ollama(field: &str, service: &AiService, system: &System<'_>, plan: &mut Plan) {
    let (host, port) = address(service);
    let there = packaged(system.base, Ai::Ollama);
    let unit = system.service("ollama");
    if system.init() == Init::Systemd {
        // Counts as well for the unit that the project's own installer brings.
        let text = format!("[Service]\nEnvironment=OLLAMA_HOST={host}:{port}\n");
        plan.file("etc/systemd/system/ollama.service.d/10-bootwright.conf", 0o644, text);
        if let Some(unit) = unit.filter(|_| there) {
            let list = if service.enabled { &mut plan.on } else { &mut plan.off };
            list.insert(unit.clone());
            plan.check(field, Expect::Service { name: unit, running: service.enabled });
            if service.enabled {
                listens(field, service, plan);
            }
        }
    } else if service.enabled {
        let own = OwnService {
            name: "bootwright-ollama",
            what: "Server of language models",
            command: "/usr/bin/ollama serve".to_owned(),
            user: Some("ollama"),
            environment: vec![
                ("OLLAMA_HOST", format!("{host}:{port}")),
                ("HOME", "/var/lib/ollama".to_owned()),
            ],
            only_if: None,
            run: Run::Always,
        };
        own.add(field, system, plan);
        listens(field, service, plan);
    }
    if let Some(model) = &service.model {
        let settings = format!("MODEL={model}");
        let text =
            format!("# The model that this machine fetches.\n{settings}\nOLLAMA_HOST=127.0.0.1:{port}\n");
        plan.file("etc/bootwright/ollama.conf", 0o644, text);
        plan.file("usr/lib/bootwright/ollama-model", 0o755, include_str!("scripts/ollama-model.sh"));
        let path = "/etc/bootwright/ollama.conf".to_owned();
        plan.check(&format!("{field}.model"), Expect::Line { path, line: settings });
        let fetch = OwnService {
            name: "bootwright-ollama-model",
            what: "Fetching the language model",
            command: "/usr/lib/bootwright/ollama-model".to_owned(),
            user: None,
            environment: Vec::new(),
            only_if: None,
            run: Run::UntilDone,
        };
        fetch.add(field, system, plan);
    }
}

/// Notebooks run what is typed into them: as an account of their own, and whoever connects has
/// to know the token that the server makes at each start (`jupyter notebook list` shows it).
fn jupyter(field: &str, service: &AiService, system: &System<'_>, plan: &mut Plan) {
    let (host, port) = address(service);
    let Ok(name) = "jupyter".parse() else { return };
    plan.accounts.push(Account {
        name,
        shell: "/usr/sbin/nologin".to_owned(),
        groups: Vec::new(),
        password_hash: None,
    });
    if !service.enabled {
        return;
    }
    let own = OwnService {
        name: "bootwright-jupyter",
        what: "Jupyter notebooks",
        command: format!(
            "/usr/bin/jupyter-notebook --no-browser --ip={host} --port={port} --port-retries=0 \
             --notebook-dir=/home/jupyter"
        ),
        user: Some("jupyter"),
        environment: vec![("HOME", "/home/jupyter".to_owned())],
        only_if: None,
        run: Run::Always,
    };
    own.add(field, system, plan);
    listens(field, service, plan);
}
