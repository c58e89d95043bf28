//! The options of the server.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::HookArg;
use aioinspect_service::sockets::Address;

/// What is counted beside the calls of io_setup and io_destroy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Collect {
    /// Calls of io_submit, by owner: a program runs at each of them.
    Submit,
}

/// How a server is reached and what it shows: what `serve` and `watch --metrics` share.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct SiteArgs {
    /// TLS and users, in the format of Prometheus' exporters (exporter-toolkit's web config).
    #[arg(long, value_name = "FILE")]
    pub web_config: Option<PathBuf>,
    /// Let other hosts connect without TLS and password.
    #[arg(long)]
    pub insecure: bool,
    /// A further name by which the server may be asked for (Host header).
    #[arg(long, value_name = "NAME")]
    pub host: Vec<String>,
    /// Count more; what is counted costs those who call it.
    #[arg(long, value_enum, value_name = "WHAT", value_delimiter = ',')]
    pub collect: Vec<Collect>,
    /// Tell every process apart (label pid): many series on a busy host.
    #[arg(long)]
    pub per_process: bool,
    /// Owners that have series of their own; those with the most slots, the rest is summed as comm="other".
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub max_owners: u16,
    /// Root of the host below which bundles of containers are looked for.
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
    /// Where to listen: ADDRESS:PORT, :PORT for every interface, or unix:/PATH. May be given several times.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9827")]
    pub listen: Vec<Address>,
    /// Where in the kernel the calls are seen.
    #[arg(long, value_enum, default_value = "auto")]
    pub hook: HookArg,
    /// The rest.
    #[command(flatten)]
    pub site: SiteArgs,
}
