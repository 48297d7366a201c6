//! The self-signed certificate of Debian's package `ssl-cert`: each machine makes its own.

use super::own::{OwnService, Run};
use super::{Plan, System};
use crate::model::spec::Init;

pub(super) fn plan(system: &System<'_>, plan: &mut Plan) {
    if !(system.is_debian() && system.has("ssl-cert")) {
        return;
    }
    let service = OwnService {
        name: "bootwright-certificate",
        what: "Self-signed certificate of this machine",
        // It leaves a certificate that is there alone (man make-ssl-cert).
        command: "/usr/sbin/make-ssl-cert generate-default-snakeoil".to_owned(),
        user: None,
        environment: Vec::new(),
        only_if: None,
        run: Run::Boot,
    };
    service.add("spec.packages", system, plan);
    if system.init() == Init::Systemd {
        // Who shows the certificate waits until it is there.
        plan.file(
            "etc/systemd/system/bootwright-certificate.service.d/10-order.conf",
            0o644,
            "[Unit]\nBefore=nginx.service apache2.service postgresql.service postfix.service\n",
        );
    }
}
