//! The configuration: flags over environment over `weir.toml`, every key with its default in one table.
//!
//! Invariant: a key or value that is not understood stops the start with one clear line; nothing missing ever opens a door.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use url::Url;

/// One key: its name in `weir.toml`, its variable, its default and what it means.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    pub name: &'static str,
    pub variable: &'static str,
    pub default: &'static str,
    pub meaning: &'static str,
    /// Never shown.
    pub secret: bool,
}

const fn key(name: &'static str, variable: &'static str, default: &'static str, meaning: &'static str) -> Key {
    Key { name, variable, default, meaning, secret: false }
}

/// Every key there is. The docs' table is made from this.
pub const KEYS: &[Key] = &[
    key("addr", "WEIR_ADDR", "127.0.0.1:8080", "Where to listen. Port 0 takes a free one."),
    key("data", "WEIR_DATA", "./data", "The data folder: database, blobs and master key of the embedded store."),
    Key {
        secret: true,
        ..key(
            "database_url",
            "DATABASE_URL",
            "",
            "`sqlite://...` or `postgres://...`; SQLite in the data folder unless given.",
        )
    },
    Key {
        secret: true,
        ..key(
            "migrate_url",
            "WEIR_MIGRATE_URL",
            "",
            "The same database as the owner of its tables; `database_url` unless given.",
        )
    },
    Key {
        secret: true,
        ..key("redis_url", "REDIS_URL", "", "Nothing uses it yet: nodes hear of each other through PostgreSQL.")
    },
    key("blob_url", "BLOB_URL", "", "`file:///...`; a folder in the data folder unless given."),
    Key {
        secret: true,
        ..key("master_key", "WEIR_MASTER_KEY", "", "64 hexadecimal digits; made on first start unless given.")
    },
    key("master_key_file", "WEIR_MASTER_KEY_FILE", "", "A file with the master key, mode 0600."),
    key(
        "public_url",
        "WEIR_PUBLIC_URL",
        "",
        "How the outside reaches this server. `https://...` says that a proxy in front does TLS.",
    ),
    key(
        "trusted_proxies",
        "WEIR_TRUSTED_PROXIES",
        "",
        "Addresses of proxies whose `X-Forwarded-For` is believed, by comma.",
    ),
    key("egress_allow", "WEIR_EGRESS_ALLOW", "", "CIDRs in otherwise forbidden ranges that flows may reach, by comma."),
    key("egress_proxy", "WEIR_EGRESS_PROXY", "", "An HTTP proxy for everything that leaves."),
    key("paused", "WEIR_PAUSED", "false", "Starts without running anything, for incidents."),
    key(
        "requests_per_minute",
        "WEIR_REQUESTS_PER_MINUTE",
        "120000",
        "Requests of one key or session per minute; 0 for no limit.",
    ),
    key("log", "WEIR_LOG", "info", "Filter of the log: `info`, `debug`, `server=debug,info` ..."),
    key("log_format", "WEIR_LOG_FORMAT", "auto", "`json`, `pretty`, or `auto`: pretty on a terminal."),
];

/// Where a value came from, for `weir config show --origin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Flag,
    Environment,
    File(PathBuf),
    Default,
}

/// Why the configuration cannot be used. One line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{path}: {message}")]
    File { path: PathBuf, message: String },
    #[error("{path}: unknown key `{key}`{hint}")]
    UnknownKey { path: PathBuf, key: String, hint: String },
    #[error("{variable} ({origin}): {message}")]
    Value { variable: &'static str, origin: String, message: String },
}

/// The configuration, understood.
#[derive(Debug, Clone)]
pub struct Config {
    pub addr: SocketAddr,
    pub data: PathBuf,
    pub database_url: String,
    pub migrate_url: String,
    pub redis_url: Option<String>,
    pub blob_folder: PathBuf,
    pub master_key: service::vault::MasterKeySource,
    pub public_url: Option<Url>,
    pub trusted_proxies: Vec<IpAddr>,
    pub egress_allow: Vec<String>,
    pub egress_proxy: Option<String>,
    pub paused: bool,
    pub requests_per_minute: u32,
    pub log: String,
    pub log_format: LogFormat,
    /// Whether this process runs flows itself.
    pub workers: bool,
    /// Every key with its value and origin, secrets masked.
    pub origins: Vec<(Key, String, Origin)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Json,
    Pretty,
    Auto,
}

impl Config {
    /// Reads flags, then the environment, then `weir.toml` (in the working folder, or where `file` says).
    ///
    /// # Errors
    /// [`ConfigError`] for the first thing that is not understood.
    pub fn load(
        flags: &BTreeMap<&'static str, String>,
        environment: impl Fn(&str) -> Option<String>,
        file: Option<&Path>,
    ) -> Result<Self, ConfigError> {
        for variable in ["WEIR_TLS_CERT", "WEIR_TLS_KEY"] {
            if environment(variable).is_some_and(|value| !value.is_empty()) {
                let message =
                    "this version does no TLS itself; put a proxy in front and set WEIR_PUBLIC_URL=https://...";
                return Err(ConfigError::Value {
                    variable,
                    origin: "from the environment".to_owned(),
                    message: message.to_owned(),
                });
            }
        }
        let (path, written) = read_file(file)?;
        let mut values = Values::default();
        for key in KEYS {
            let (value, origin) = if let Some(flag) = flags.get(key.name) {
                (flag.clone(), Origin::Flag)
            } else if let Some(variable) = environment(key.variable).filter(|value| !value.is_empty()) {
                (variable, Origin::Environment)
            } else if let Some(line) = written.get(key.name) {
                (line.clone(), Origin::File(path.clone()))
            } else {
                (key.default.to_owned(), Origin::Default)
            };
            values.0.insert(key.name, (*key, value, origin));
        }
        values.understood()
    }
}

impl Config {
    /// The base of links, where it is known before the server listens.
    #[must_use]
    pub fn known_url(&self) -> Option<String> {
        (self.public_url.is_some() || self.addr.port() != 0).then(|| self.base_url())
    }

    /// The base of links, without a slash at its end.
    #[must_use]
    pub fn base_url(&self) -> String {
        match &self.public_url {
            Some(url) => url.as_str().trim_end_matches('/').to_owned(),
            None => format!("http://{}", self.addr),
        }
    }
}

#[derive(Default)]
struct Values(BTreeMap<&'static str, (Key, String, Origin)>);

impl Values {
    fn understood(self) -> Result<Config, ConfigError> {
        let data = PathBuf::from(self.text("data"));
        let database_url = self.given("database_url").unwrap_or_else(|| sqlite_in(&data));
        let master_key = match (self.given("master_key"), self.given("master_key_file")) {
            (Some(text), _) => service::vault::MasterKeySource::Text(text),
            (None, Some(file)) => service::vault::MasterKeySource::File(file.into()),
            (None, None) => service::vault::MasterKeySource::DataFolder,
        };
        let blob_folder = match self.given("blob_url") {
            None => data.join("blobs"),
            Some(url) => match url.strip_prefix("file://") {
                Some(folder) => PathBuf::from(folder),
                None => return Err(self.fault("blob_url", "only `file:///...` is understood so far")),
            },
        };
        let log_format = match self.text("log_format") {
            "json" => LogFormat::Json,
            "pretty" => LogFormat::Pretty,
            "auto" => LogFormat::Auto,
            _ => return Err(self.fault("log_format", "expected `json`, `pretty` or `auto`")),
        };
        Ok(Config {
            addr: self.parsed("addr", "expected ADDRESS:PORT, such as 127.0.0.1:8080")?,
            migrate_url: self.given("migrate_url").unwrap_or_else(|| database_url.clone()),
            redis_url: self.given("redis_url"),
            public_url: match self.given("public_url") {
                None => None,
                Some(_) => Some(self.parsed::<Url>("public_url", "expected https://HOST or http://HOST")?),
            },
            trusted_proxies: self.list("trusted_proxies", |text| text.parse().ok())?,
            egress_allow: self.list("egress_allow", |text| Some(text.to_owned()))?,
            egress_proxy: self.given("egress_proxy"),
            paused: self.flag("paused")?,
            requests_per_minute: self.parsed("requests_per_minute", "expected a number")?,
            log: self.text("log").to_owned(),
            workers: true,
            data,
            database_url,
            blob_folder,
            master_key,
            log_format,
            origins: self.0.into_values().map(|(key, value, origin)| (key, shown(key, value), origin)).collect(),
        })
    }

    fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", |(_, value, _)| value.as_str())
    }

    fn given(&self, name: &str) -> Option<String> {
        Some(self.text(name).to_owned()).filter(|text| !text.is_empty())
    }

    fn parsed<T: std::str::FromStr>(&self, name: &str, expected: &str) -> Result<T, ConfigError> {
        self.text(name).parse().map_err(|_| self.fault(name, expected))
    }

    fn flag(&self, name: &str) -> Result<bool, ConfigError> {
        match self.text(name) {
            "true" | "1" | "yes" => Ok(true),
            "false" | "0" | "no" | "" => Ok(false),
            _ => Err(self.fault(name, "expected true or false")),
        }
    }

    fn list<T>(&self, name: &str, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, ConfigError> {
        let parts = self.text(name).split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(|part| read(part).ok_or_else(|| self.fault(name, &format!("`{part}` is not understood")))).collect()
    }

    fn fault(&self, name: &str, message: &str) -> ConfigError {
        let (variable, origin) = self.0.get(name).map_or(("", "default".to_owned()), |(key, _, origin)| {
            let origin = match origin {
                Origin::Flag => "from the command line".to_owned(),
                Origin::Environment => "from the environment".to_owned(),
                Origin::File(path) => format!("from {}", path.display()),
                Origin::Default => "default".to_owned(),
            };
            (key.variable, origin)
        });
        ConfigError::Value { variable, origin, message: message.to_owned() }
    }
}

/// The embedded store's database in a data folder.
#[must_use]
pub fn sqlite_in(data: &Path) -> String {
    format!("sqlite://{}", data.join("weir.db").display())
}

fn shown(key: Key, value: String) -> String {
    if key.secret && !value.is_empty() { "(set, not shown)".to_owned() } else { value }
}

fn read_file(file: Option<&Path>) -> Result<(PathBuf, BTreeMap<String, String>), ConfigError> {
    let path = file.map_or_else(|| PathBuf::from("weir.toml"), Path::to_path_buf);
    if file.is_none() && !path.exists() {
        return Ok((path, BTreeMap::new()));
    }
    let fault = |message: String| ConfigError::File { path: path.clone(), message };
    let text = std::fs::read_to_string(&path).map_err(|error| fault(error.to_string()))?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| fault(error.message().to_owned()))?;
    let mut values = BTreeMap::new();
    for (name, value) in table {
        if !KEYS.iter().any(|key| key.name == name) {
            let nearest = crate::nearest::nearest(&name, KEYS.iter().map(|key| key.name));
            let hint = nearest.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return Err(ConfigError::UnknownKey { path, key: name, hint });
        }
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Array(items) => items.iter().filter_map(toml::Value::as_str).collect::<Vec<_>>().join(","),
            other => other.to_string(),
        };
        values.insert(name, text);
    }
    Ok((path, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(flags: &[(&'static str, &str)], environment: &[(&str, &str)], file: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weir.toml");
        std::fs::write(&path, file).unwrap();
        let flags = flags.iter().map(|&(name, value)| (name, value.to_owned())).collect();
        let environment: BTreeMap<_, _> = environment.iter().copied().collect();
        Config::load(&flags, |name| environment.get(name).map(|value| (*value).to_owned()), Some(&path))
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        let file = "addr = \"127.0.0.1:1\"\ndata = \"/from/file\"\nlog = \"debug\"";
        let environment = [("WEIR_ADDR", "127.0.0.1:2"), ("WEIR_DATA", "/from/environment")];
        let config = load(&[("addr", "127.0.0.1:3")], &environment, file).unwrap();
        assert_eq!(config.addr.port(), 3);
        assert_eq!(config.data, PathBuf::from("/from/environment"));
        assert_eq!(config.log, "debug");
        assert_eq!(config.database_url, "sqlite:///from/environment/weir.db");
    }

    #[test]
    fn an_unknown_key_or_a_broken_value_stops_with_one_line() {
        let unknown = load(&[], &[], "adr = \"127.0.0.1:1\"").unwrap_err().to_string();
        assert!(unknown.contains("unknown key `adr`; did you mean `addr`?"), "{unknown}");
        let broken = load(&[], &[("WEIR_ADDR", "localhost")], "").unwrap_err().to_string();
        assert!(broken.starts_with("WEIR_ADDR (from the environment): expected ADDRESS:PORT"), "{broken}");
    }

    #[test]
    fn secrets_are_never_shown() {
        let config = load(&[], &[("WEIR_MASTER_KEY", &"ab".repeat(32))], "").unwrap();
        assert!(config.origins.iter().all(|(_, value, _)| !value.contains("abab")));
    }
}
