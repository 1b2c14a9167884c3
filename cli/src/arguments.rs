//! The command line, as types. What a flag overrides in the configuration is in [`Overrides`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Multi-tenant AI workflows: a YAML file becomes a typed, durable, metered REST endpoint.
#[derive(Debug, Parser)]
#[command(name = "weir", version, about, disable_help_subcommand = true, propagate_version = true)]
#[command(
    after_help = "Examples:\n  weir demo                          a server with a demo tenant, in ./weir-demo\n  weir check flows/invoice           check a flow\n  weir run flows/invoice --file document=scan.pdf\n  weir serve                         a server on ./data"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Answer with one JSON object on stdout.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
}

/// Flags that stand above environment and `weir.toml`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Overrides {
    /// Where to listen [WEIR_ADDR, default 127.0.0.1:8080].
    #[arg(long, global = true, value_name = "ADDRESS:PORT", help_heading = "Configuration")]
    addr: Option<String>,
    /// The data folder [WEIR_DATA, default ./data].
    #[arg(long, global = true, value_name = "FOLDER", help_heading = "Configuration")]
    data: Option<String>,
    /// The configuration file [default ./weir.toml if it is there].
    #[arg(long, global = true, value_name = "FILE", help_heading = "Configuration")]
    pub(crate) config: Option<PathBuf>,
    /// Filter of the log on stderr [WEIR_LOG, default info].
    #[arg(long, global = true, value_name = "FILTER", help_heading = "Configuration")]
    log: Option<String>,
}

impl Overrides {
    /// The given flags by their key in `weir.toml`.
    pub(crate) fn by_key(&self) -> BTreeMap<&'static str, String> {
        let given = [("addr", &self.addr), ("data", &self.data), ("log", &self.log)];
        given.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))).collect()
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve with an embedded store of its own and a seeded demo tenant.
    Demo {
        /// Throw the demo's data away and seed it anew.
        #[arg(long)]
        reset: bool,
    },
    /// API, console and workers in one process.
    Serve {
        /// Leave the running of flows to `weir work` elsewhere.
        #[arg(long)]
        no_workers: bool,
    },
    /// Workers alone, for a store that several processes share.
    Work,
    /// Bring the store's schema up to date.
    Migrate {
        /// Only say whether there is anything to do; exits with 1 if so.
        #[arg(long)]
        check: bool,
    },
    /// Tenants, straight on the store.
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// Members, straight on the store.
    #[command(subcommand)]
    Member(MemberCommand),
    /// API keys, straight on the store.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Flows, straight on the store.
    #[command(subcommand)]
    Flow(FlowCommand),
    /// Connections, straight on the store.
    #[command(subcommand)]
    Connection(ConnectionCommand),
    /// What the configuration comes to.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Check a flow, or a folder of flows, without a server.
    Check(CheckArguments),
    /// Run a flow without a server.
    Run(RunArguments),
    /// Say which steps of a flow would run for given inputs. Nothing is executed.
    Plan(PlanArguments),
    /// Run the tests that lie beside a flow, or beside each flow in a folder.
    Test(TestArguments),
    /// Print a shell's completion script.
    Completions { shell: clap_complete::Shell },
    /// A child for untrusted work; started by the program itself.
    #[command(hide = true)]
    Sandbox,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TenantCommand {
    /// Make a tenant and a link that makes its owner.
    Create {
        name: String,
        /// The owner's e-mail address.
        #[arg(long, value_name = "EMAIL")]
        owner: String,
    },
    /// Set what the tenant uses unless a flow says otherwise.
    Set {
        name: String,
        /// `connection/model`; empty to clear.
        #[arg(long, value_name = "CONNECTION/MODEL")]
        default_model: Option<String>,
        /// Runs taken from the queue for each one of a tenant with weight 1: from 1 to 1000.
        #[arg(long, value_name = "N")]
        queue_weight: Option<u32>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum MemberCommand {
    /// Make somebody a member of a tenant, and a link by which they sign in for the first time.
    Add {
        email: String,
        #[arg(long)]
        tenant: String,
        /// `owner`, `admin`, `developer`, `operator` or `viewer`.
        #[arg(long, default_value = "viewer", value_parser = role)]
        role: domain::Role,
    },
}

fn role(text: &str) -> Result<domain::Role, String> {
    domain::Role::parse(text).ok_or_else(|| {
        let known: Vec<&str> = domain::Role::ALL.iter().map(|role| role.as_str()).collect();
        format!("the roles are {}", known.join(", "))
    })
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key on behalf of the tenant's owner. It is shown once.
    Create {
        #[arg(long)]
        tenant: String,
        #[arg(long)]
        name: String,
        /// `area:verb[:flow]`, again for more; without one, all that the owner may.
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// A test key: its runs are marked and skip unsafe effects.
        #[arg(long)]
        test: bool,
        /// Days until it ends; 0 for never.
        #[arg(long, default_value_t = 90)]
        expires_in_days: u32,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum FlowCommand {
    /// Publish a flow's folder (or its `flow.yaml`).
    Import {
        #[arg(long)]
        tenant: String,
        path: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConnectionCommand {
    /// Set connections from a file: names to `{kind, base_url, api_key}`, and `default_model`.
    Set {
        #[arg(long)]
        tenant: String,
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Every key with its value.
    Show {
        /// Where each value comes from.
        #[arg(long)]
        origin: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// A flow's folder, its `flow.yaml`, or a folder of flows.
    pub(crate) path: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// A flow's folder, or its `flow.yaml`.
    pub(crate) path: PathBuf,
    #[command(flatten)]
    pub(crate) given: InputArguments,
    /// Model connections: names to `{kind, base_url, api_key}`, and `default_model`; YAML or JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) connections: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct TestArguments {
    /// A flow's folder, or a folder of flows.
    pub(crate) path: PathBuf,
    /// Also write the results as JUnit XML.
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArguments {
    /// A flow's folder, or its `flow.yaml`.
    pub(crate) path: PathBuf,
    #[command(flatten)]
    pub(crate) given: InputArguments,
}

#[derive(Debug, Args)]
pub(crate) struct InputArguments {
    /// An input, again for more. A value that is JSON is taken as such.
    #[arg(long = "input", value_name = "NAME=VALUE")]
    pub(crate) inputs: Vec<String>,
    /// Inputs as a JSON object in a file.
    #[arg(long, value_name = "FILE")]
    pub(crate) input_file: Option<PathBuf>,
    /// A file input, again for more.
    #[arg(long = "file", value_name = "NAME=PATH")]
    pub(crate) files: Vec<String>,
}
