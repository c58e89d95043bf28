//! The options of the server.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cli::hook::HookArg;
use aioinspect_service::sockets::Address;

/// What is counted besides the calls of io_setup and io_destroy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Collect {
    /// Calls of io_submit, by owner, and in `watch` failures of io_submit, io_getevents and
    /// io_pgetevents, and why. Slows each of these calls a little.
    Submit,
}

/// How a server is reached and what it shows. `serve` and `watch --metrics` share these options.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct SiteArgs {
    /// Read TLS settings and users from this file, in the web config format of Prometheus exporters
    /// (exporter-toolkit).
    #[arg(long, value_name = "FILE")]
    pub web_config: Option<PathBuf>,
    /// Allow other hosts to connect without TLS and without a password.
    #[arg(long)]
    pub insecure: bool,
    /// Also accept this host name in requests (Host header).
    #[arg(long, value_name = "NAME")]
    pub host: Vec<String>,
    /// Count these calls too. Each counted call gets slower.
    #[arg(long, value_enum, value_name = "WHAT", value_delimiter = ',')]
    pub collect: Vec<Collect>,
    /// Report every process separately (label pid). Gives many series on a busy host.
    #[arg(long)]
    pub per_process: bool,
    /// How many owners get series of their own: those with the most slots reserved. The rest is summed
    /// as comm="other".
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub max_owners: u16,
    /// Root directory of the host, where the bundles of containers are found.
    #[arg(long, hide = true, value_name = "DIR", default_value = "/")]
    pub host_root: PathBuf,
}

impl Default for SiteArgs {
    fn default() -> Self {
        Self {
            web_config: None,
            insecure: false,
            host: Vec::new(),
            collect: Vec::new(),
            per_process: false,
            max_owners: 100,
            host_root: PathBuf::from("/"),
        }
    }
}

/// Options of `serve`.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// Listen here: ADDRESS:PORT, :PORT for every interface, or unix:/PATH. May be given several times.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9827")]
    pub listen: Vec<Address>,
    /// Where in the kernel the calls are observed.
    #[arg(long, value_enum, default_value = "auto")]
    pub hook: HookArg,
    /// Say that an owner grows when its slots rose for this long; after that it is said seldom.
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = super::interval)]
    pub growth_after: Duration,
    /// Options shared with `watch --metrics`.
    #[command(flatten)]
    pub site: SiteArgs,
}
