//! Units switched on and off, and services that are set up.

use super::text::{ModelName, SystemPath};
use crate::model::name::UnitName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU16;

/// Units switched on and off, whatever their package's preset says, and services that are set up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Services {
    /// Started at boot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub enable: Vec<UnitName>,
    /// Not started at boot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disable: Vec<UnitName>,
    /// Database servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<DatabaseService>,
    /// What watches the system.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub monitoring: Vec<MonitoringService>,
    /// Language models and what goes with them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ai: Vec<AiService>,
}

fn on() -> bool {
    true
}

/// Who may reach a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Listen {
    /// Only the machine itself.
    #[default]
    Local,
    /// Everyone whom the firewall lets in.
    All,
}

/// A database server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DatabaseService {
    /// Which one.
    pub name: Database,
    /// Whether it is started at boot.
    #[serde(default = "on")]
    pub enabled: bool,
    /// The TCP port; the program's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<NonZeroU16>,
    /// Who may reach it.
    #[serde(default)]
    pub listen: Listen,
    /// Where it keeps its data; the package's folder when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<SystemPath>,
}

/// Database servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Database {
    /// PostgreSQL, port 5432.
    Postgresql,
    /// MySQL, port 3306.
    Mysql,
    /// MariaDB, port 3306.
    Mariadb,
    /// Redis, port 6379.
    Redis,
    /// MongoDB, port 27017.
    Mongodb,
    /// Memcached, port 11211.
    Memcached,
    /// InfluxDB, port 8086.
    Influxdb,
}

impl Database {
    /// The name as it stands in a spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Postgresql => "postgresql",
            Self::Mysql => "mysql",
            Self::Mariadb => "mariadb",
            Self::Redis => "redis",
            Self::Mongodb => "mongodb",
            Self::Memcached => "memcached",
            Self::Influxdb => "influxdb",
        }
    }

    /// The port that the program takes by itself.
    pub fn port(self) -> u16 {
        match self {
            Self::Postgresql => 5432,
            Self::Mysql | Self::Mariadb => 3306,
            Self::Redis => 6379,
            Self::Mongodb => 27017,
            Self::Memcached => 11211,
            Self::Influxdb => 8086,
        }
    }
}

/// Something that watches the system.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MonitoringService {
    /// Which one.
    pub name: Monitoring,
    /// Whether it is started at boot.
    #[serde(default = "on")]
    pub enabled: bool,
    /// The TCP port; the program's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<NonZeroU16>,
    /// Who may reach it.
    #[serde(default)]
    pub listen: Listen,
}

/// Programs that watch a system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Monitoring {
    /// Prometheus, port 9090.
    Prometheus,
    /// The node exporter of Prometheus, port 9100.
    NodeExporter,
    /// The alert manager of Prometheus, port 9093.
    Alertmanager,
    /// Grafana, port 3000.
    Grafana,
    /// Netdata, port 19999.
    Netdata,
    /// Zabbix' agent, port 10050.
    ZabbixAgent,
    /// Telegraf, port 8125.
    Telegraf,
}

impl Monitoring {
    /// The name as it stands in a spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prometheus => "prometheus",
            Self::NodeExporter => "node-exporter",
            Self::Alertmanager => "alertmanager",
            Self::Grafana => "grafana",
            Self::Netdata => "netdata",
            Self::ZabbixAgent => "zabbix-agent",
            Self::Telegraf => "telegraf",
        }
    }

    /// The port that the program takes by itself.
    pub fn port(self) -> u16 {
        match self {
            Self::Prometheus => 9090,
            Self::NodeExporter => 9100,
            Self::Alertmanager => 9093,
            Self::Grafana => 3000,
            Self::Netdata => 19999,
            Self::ZabbixAgent => 10050,
            Self::Telegraf => 8125,
        }
    }
}

/// A language model server, or what goes with one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AiService {
    /// Which one.
    pub name: Ai,
    /// Whether it is started at boot.
    #[serde(default = "on")]
    pub enabled: bool,
    /// The TCP port; the program's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<NonZeroU16>,
    /// Who may reach it.
    #[serde(default)]
    pub listen: Listen,
    /// The model that is there without a network, such as `phi3:instruct`; only for `ollama`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelName>,
}

/// Language model servers and what goes with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ai {
    /// Ollama, which runs models, port 11434.
    Ollama,
    /// Jupyter notebooks, port 8888.
    Jupyter,
    /// Open WebUI, a page to talk to models, port 8080.
    OpenWebui,
    /// ChromaDB, a database for vectors, port 8000.
    Chromadb,
    /// n8n, workflows, port 5678.
    N8n,
}

impl Ai {
    /// The name as it stands in a spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ollama => "ollama",
            Self::Jupyter => "jupyter",
            Self::OpenWebui => "open-webui",
            Self::Chromadb => "chromadb",
            Self::N8n => "n8n",
        }
    }

    /// The port that the program takes by itself.
    pub fn port(self) -> u16 {
        match self {
            Self::Ollama => 11434,
            Self::Jupyter => 8888,
            Self::OpenWebui => 8080,
            Self::Chromadb => 8000,
            Self::N8n => 5678,
        }
    }
}
