//! From the configuration to an opened product: store, master key, blobs, executors.
//!
//! Invariant: opens what a server and the operator's commands share, and starts nothing that runs by itself.

use std::sync::Arc;

use engine::ports::SystemClock;
use entities::{Store, StoreOptions};
use service::blobs::BlobStore;
use service::{Parts, ServiceError, Settings, Vault, Weir, vault};

use crate::config::{Config, ConfigError};

/// Why the program cannot start. One line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What was configured cannot be used.
    #[error("{0}")]
    Configuration(String),
    #[error("the data folder {path} cannot be used: {source}")]
    Data { path: String, source: std::io::Error },
    #[error(transparent)]
    MasterKey(#[from] vault::MasterKeyError),
    #[error("the database cannot be used: {0}")]
    Database(String),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: std::net::SocketAddr, source: std::io::Error },
    #[error("{0}")]
    Service(ServiceError),
    #[error("the server failed: {0}")]
    Server(std::io::Error),
}

impl StartError {
    /// Whether the operator has to change the configuration, rather than wait or repair.
    #[must_use]
    pub const fn is_configuration(&self) -> bool {
        matches!(self, Self::Config(_) | Self::Configuration(_) | Self::MasterKey(_))
    }
}

impl From<ServiceError> for StartError {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Internal(source) => Self::Database(source.to_string()),
            other => Self::Service(other),
        }
    }
}

/// Makes the process's cryptography known to rustls. Twice does no harm.
pub fn install_cryptography() {
    // An error says that it was installed before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// What this program can do in a sandbox child.
#[must_use]
pub fn sandbox_handlers() -> sandbox::Handlers {
    executors::sandbox_handlers(engine::template::handlers(sandbox::Handlers::new()))
}

/// What executors act with, under the operator's rules for what may leave.
///
/// # Errors
/// [`StartError::Configuration`] for rules that are none.
pub fn tools(config: &Config) -> Result<executors::Tools, StartError> {
    let allow = config.egress_allow.join(",");
    let policy = egress::Policy::parse(&allow, config.egress_proxy.as_deref())
        .map_err(|error| StartError::Configuration(format!("WEIR_EGRESS_ALLOW / WEIR_EGRESS_PROXY: {error}")))?;
    let egress = egress::Client::new(policy)
        .map_err(|error| StartError::Configuration(format!("the egress client cannot be built: {error}")))?;
    let sandbox = sandbox::Pool::of_this_program()
        .map_err(|error| StartError::Configuration(format!("the program's own file cannot be found: {error}")))?;
    Ok(executors::Tools { egress, sandbox: Arc::new(sandbox) })
}

/// Opens the store (migrating it where that is needed) and everything that services work with.
///
/// # Errors
/// [`StartError`].
pub async fn open(config: &Config) -> Result<Weir, StartError> {
    std::fs::create_dir_all(&config.data)
        .map_err(|source| StartError::Data { path: config.data.display().to_string(), source })?;
    close_to_others(config)?;
    let master = vault::master_key(config.master_key.clone(), &config.data)?;
    if !pending_migrations(config).await?.is_empty() {
        migrate(config).await?;
    }
    let store = Store::connect(&with_mode(&config.database_url), &StoreOptions::default())
        .await
        .map_err(|error| StartError::Database(error.to_string()))?;
    let blobs = BlobStore::folder(&config.blob_folder)
        .map_err(|error| StartError::Configuration(format!("{}: {error}", config.blob_folder.display())))?;
    let tools = tools(config)?;
    let weir = Weir::new(Parts {
        store,
        registry: executors::registry(&tools),
        vault: Vault::new(master),
        blobs,
        clock: Arc::new(SystemClock),
        settings: Settings {
            data: config.data.clone(),
            database: database_name(&config.database_url),
            public_url: config.base_url(),
            paused: config.paused,
            version: env!("CARGO_PKG_VERSION"),
        },
        sandbox: Some(tools.sandbox),
        caller: Some(Arc::new(crate::trial::Caller(tools.egress))),
    });
    Ok(weir.await?)
}

/// Files of the embedded store that were made when others could read them. What is made from now on is closed by the
/// program's mask.
fn close_to_others(config: &Config) -> Result<(), StartError> {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(database) = config.database_url.strip_prefix("sqlite://") else { return Ok(()) };
    let database = database.split('?').next().unwrap_or(database);
    for path in ["", "-wal", "-shm"].map(|end| format!("{database}{end}")) {
        let fault = |source| StartError::Data { path: path.clone(), source };
        match std::fs::metadata(&path) {
            Ok(found) if found.permissions().mode() & 0o077 != 0 => {
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(fault)?;
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(fault(error)),
        }
    }
    Ok(())
}

/// The migrations that have not run yet, oldest first.
///
/// # Errors
/// [`StartError::Database`], also when a newer program migrated it.
pub async fn pending_migrations(config: &Config) -> Result<Vec<String>, StartError> {
    let database = |error: &dyn std::fmt::Display| StartError::Database(error.to_string());
    let standing = migration::standing(&with_mode(&config.migrate_url)).await.map_err(|error| database(&error))?;
    match standing {
        migration::Standing::Current => Ok(Vec::new()),
        migration::Standing::Behind(names) => Ok(names),
        migration::Standing::Ahead(names) => Err(StartError::Configuration(format!(
            "the database was migrated by a newer program (it knows {}); use that version or restore an older backup",
            names.join(", ")
        ))),
    }
}

/// Brings the schema up to date.
///
/// # Errors
/// [`StartError::Database`].
pub async fn migrate(config: &Config) -> Result<(), StartError> {
    let login = url::Url::parse(&config.database_url)
        .ok()
        .filter(|url| url.scheme().starts_with("postgres"))
        .map(|url| url.username().to_owned())
        .filter(|name| !name.is_empty());
    migration::migrate(&with_mode(&config.migrate_url), login.as_deref())
        .await
        .map_err(|error| StartError::Database(error.to_string()))
}

/// SQLite makes the file where it is missing.
fn with_mode(url: &str) -> String {
    if url.starts_with("sqlite") && !url.contains('?') { format!("{url}?mode=rwc") } else { url.to_owned() }
}

/// The database for people: never with credentials.
fn database_name(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(url) if url.scheme().starts_with("postgres") => {
            format!("PostgreSQL at {}{}", url.host_str().unwrap_or("localhost"), url.path())
        }
        _ => format!("SQLite, {}", url.trim_start_matches("sqlite://")),
    }
}

/// The next address from this one on that nobody listens on.
///
/// # Errors
/// When none of the next hundred ports is free.
pub fn free_address(wanted: std::net::SocketAddr) -> Result<std::net::SocketAddr, StartError> {
    let mut address = wanted;
    let mut last = None;
    for _ in 0..100 {
        match std::net::TcpListener::bind(address) {
            Ok(_) => return Ok(address),
            Err(error) => last = Some(error),
        }
        match address.port().checked_add(1) {
            Some(port) if address.port() != 0 => address.set_port(port),
            _ => break,
        }
    }
    let source = last.unwrap_or_else(|| std::io::Error::from(std::io::ErrorKind::AddrInUse));
    Err(StartError::Listen { address: wanted, source })
}
