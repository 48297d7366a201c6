//! Redis (and Valkey, which took its place), Memcached, MongoDB, InfluxDB.

use super::{Server, account, by_unit};
use crate::configure::{Plan, System};
use crate::model::spec::{Base, Family};

/// How Redis is called where it is that, and where Valkey is.
struct Redis {
    name: &'static str,
    program: &'static str,
    settings: &'static str,
}

fn redis_of(base: Base) -> Redis {
    match base.family() {
        Family::Arch | Family::Fedora => {
            Redis { name: "valkey", program: "/usr/bin/valkey-server", settings: "/etc/valkey/valkey.conf" }
        }
        Family::Alpine => {
            Redis { name: "redis", program: "/usr/bin/redis-server", settings: "/etc/redis.conf" }
        }
        Family::Gentoo => {
            Redis { name: "redis", program: "/usr/sbin/redis-server", settings: "/etc/redis/redis.conf" }
        }
        _ => Redis { name: "redis", program: "/usr/bin/redis-server", settings: "/etc/redis/redis.conf" },
    }
}

pub(super) fn redis(server: &Server<'_>, system: &System<'_>, plan: &mut Plan) {
    const PASSWORD: &str = "/usr/lib/bootwright/password";
    let redis = redis_of(system.base);
    let usual = format!("/var/lib/{}", redis.name);
    let data = server.data(&usual);
    server.data_folder(redis.name, plan);
    let secret = format!("{data}/password.conf");
    let bind = if server.local() { "127.0.0.1 -::1" } else { "* -::*" };
    // The later of two settings counts, and the package's own come first.
    let mut settings =
        format!("include {}\nbind {bind}\nport {}\ndir {data}\n", redis.settings, server.port());
    if !server.local() {
        plan.file(&PASSWORD[1..], 0o755, include_str!("../scripts/password.sh"));
        settings.push_str(&format!("include {secret}\n"));
    }
    plan.file("etc/bootwright/redis.conf", 0o644, settings);
    let run = format!("{} /etc/bootwright/redis.conf --daemonize no", redis.program);
    let make_password = format!("{PASSWORD} {secret} {} requirepass", redis.name);
    if !by_unit(system) {
        if !server.local() {
            let before = super::OwnService {
                name: "bootwright-redis-password",
                what: "Password of this machine's Redis",
                command: make_password,
                user: None,
                environment: Vec::new(),
                only_if: None,
                run: super::Run::Boot,
            };
            before.add(&server.field, system, plan);
        }
        return server.own(run, Some(redis.name), system, plan);
    }
    let Some(unit) = system.service("redis") else { return };
    let mut text = String::new();
    if !server.local() {
        text.push_str(&format!("ExecStartPre=+{make_password}\n"));
    }
    text.push_str(&format!("ExecStart=\nExecStart={run} --supervised systemd\n"));
    if server.service.data.is_some() {
        text.push_str(&format!("ReadWritePaths=-{data}\n"));
    }
    server.drop_in(&unit, &text, plan);
    server.switch(&unit, &unit, plan);
}

pub(super) fn memcached(server: &Server<'_>, system: &System<'_>, plan: &mut Plan) {
    let user = account(system.base, "memcache", "memcached");
    let run = format!("/usr/bin/memcached -u {user} -m 64 -p {} -l {}", server.port(), server.address());
    if !by_unit(system) {
        return server.own(run, None, system, plan);
    }
    let Some(unit) = system.service("memcached") else { return };
    server.drop_in(&unit, &format!("ExecStart=\nExecStart={run}\n"), plan);
    server.switch(&unit, &unit, plan);
}

pub(super) fn mongodb(server: &Server<'_>, system: &System<'_>, plan: &mut Plan) {
    let user = "mongodb";
    let usual = if system.base.family() == Family::Gentoo { "/var/lib/mongodb" } else { "/var/lib/mongo" };
    let usual = if system.is_debian() { "/var/lib/mongodb" } else { usual };
    let data = server.data(usual);
    server.data_folder(user, plan);
    let run =
        format!("/usr/bin/mongod --dbpath {data} --port {} --bind_ip {}", server.port(), server.address());
    if !by_unit(system) {
        return server.own(run, Some(user), system, plan);
    }
    let Some(unit) = system.service("mongodb") else { return };
    server.drop_in(&unit, &format!("ExecStart=\nExecStart={run}\n"), plan);
    server.switch(&unit, &unit, plan);
}

/// Variables win over files, in version 1 (`INFLUXDB_`) as in version 2 (`INFLUXD_`).
pub(super) fn influxdb(server: &Server<'_>, system: &System<'_>, plan: &mut Plan) {
    let data = server.data("/var/lib/influxdb");
    server.data_folder("influxdb", plan);
    let address = format!("{}:{}", server.address(), server.port());
    let variables = [
        format!("INFLUXDB_HTTP_BIND_ADDRESS={address}"),
        "INFLUXDB_BIND_ADDRESS=127.0.0.1:8088".to_owned(),
        format!("INFLUXDB_META_DIR={data}/meta"),
        format!("INFLUXDB_DATA_DIR={data}/data"),
        format!("INFLUXDB_DATA_WAL_DIR={data}/wal"),
        format!("INFLUXD_HTTP_BIND_ADDRESS={address}"),
        format!("INFLUXD_BOLT_PATH={data}/influxd.bolt"),
        format!("INFLUXD_ENGINE_PATH={data}/engine"),
    ];
    if !by_unit(system) {
        let command = format!("/usr/bin/env {} /usr/bin/influxd", variables.join(" "));
        return server.own(command, Some("influxdb"), system, plan);
    }
    let Some(unit) = system.service("influxdb") else { return };
    let text: String = variables.iter().map(|variable| format!("Environment={variable}\n")).collect();
    server.drop_in(&unit, &text, plan);
    server.switch(&unit, &unit, plan);
}
