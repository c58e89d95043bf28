//! Opening a server: its configuration read and its sockets bound while there still are privileges; then everything given up.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::cli::{Collect, SiteArgs};
use crate::commands::exit::UsageError;
use crate::commands::publisher::{Publisher, PublisherOptions};
use crate::commands::watch::feed::Feed;
use aioinspect_kernel::confine::confinement::{Confined, Confinement, confine};
use aioinspect_kernel::host::own_usage::raise_descriptor_limit;
use aioinspect_kernel::trace::hook::Hook;
use aioinspect_kernel::trace::submits::{Sizes, Submits};
use aioinspect_model::container_names::BUNDLE_ROOTS;
use aioinspect_render::escape::escape;
use aioinspect_service::http::{Access, Limits, Server, Site};
use aioinspect_service::sockets::activation::from_systemd;
use aioinspect_service::sockets::{Address, Listener};
use aioinspect_service::tls::Tls;
use aioinspect_service::users::Users;
use aioinspect_service::web_config::WebConfig;

/// Descriptors that are not for connections.
const OWN_DESCRIPTORS: u64 = 256;

/// The verb that serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// `serve`, whose sockets may be systemd's.
    Serve,
    /// `watch` that writes lines.
    WatchLines,
    /// `watch` that draws a screen.
    WatchScreen,
}

/// A server that is bound and not yet served.
pub(crate) struct Bound {
    listeners: Vec<Listener>,
    access: Access,
    tls: Option<Tls>,
    limits: Limits,
    submits: Option<Submits>,
    options: PublisherOptions,
    confinement: Confinement,
}

impl Bound {
    /// Reads, checks and binds. To be called inside the runtime, before privileges are dropped. Sockets of systemd take the place of
    /// `addresses` where it is `serve` that serves.
    pub(crate) fn open(
        args: &SiteArgs,
        addresses: &[Address],
        verb: Verb,
        hook: Option<Hook>,
        log_level: u8,
        tried: &mut Vec<String>,
    ) -> anyhow::Result<Self> {
        let config = args.web_config.as_deref().map(read_config).transpose()?.unwrap_or_default();
        let in_config = || args.web_config.as_deref().map_or_else(String::new, config_name);
        let given = if verb == Verb::Serve { from_systemd().context("socket activation")? } else { None };
        let listeners = if let Some(given) = given {
            given
        } else {
            permit(addresses, &config, args.insecure)?;
            let bind = |address| Listener::bind(address).context("cannot listen");
            addresses.iter().map(bind).collect::<anyhow::Result<_>>()?
        };
        let bound: Vec<Address> = listeners.iter().map(Listener::address).collect::<Result<_, _>>()?;
        permit(&bound, &config, args.insecure)?;
        let reachable = bound.iter().any(|address| !address.is_loopback());
        let mut access = Access::new(&args.host, reachable);
        access.set_headers(&config.headers);
        if config.has_users() {
            access.set_users(Users::new(config.users.clone()).with_context(in_config)?);
        }
        let tls = config.tls.clone().map(Tls::new).transpose().with_context(in_config)?;
        let mut read_files: Vec<PathBuf> = tls.iter().flat_map(Tls::directories).collect();
        read_files.sort();
        let directory = |listener: &Listener| match listener {
            Listener::Unix(_, Some(file)) => file.directory().map(Path::to_path_buf),
            Listener::Unix(_, None) | Listener::Tcp(_) => None,
        };
        let confinement = Confinement {
            read_files,
            oci_roots: BUNDLE_ROOTS.iter().map(|root| args.host_root.join(root)).collect(),
            unix_socket_dirs: listeners.iter().filter_map(directory).collect(),
            recording: None,
            terminal: verb == Verb::WatchScreen,
        };
        let room = raise_descriptor_limit()?.saturating_sub(OWN_DESCRIPTORS).max(16);
        let mut limits = Limits::default();
        limits.connections = limits.connections.min(usize::try_from(room).unwrap_or(usize::MAX));
        let submits = if args.collect.contains(&Collect::Submit) {
            // A watch tells of each failure; metrics have those of io_submit alone.
            let reaping = verb != Verb::Serve;
            Some(Submits::start(Sizes::default(), hook, reaping, log_level, tried)?)
        } else {
            None
        };
        let options = PublisherOptions {
            max_owners: usize::from(args.max_owners),
            per_process: args.per_process,
            host_root: args.host_root.clone(),
        };
        Ok(Self { listeners, access, tls, limits, submits, options, confinement })
    }

    /// Leaves it possible to record into a directory.
    pub(crate) fn records_in(&mut self, directory: Option<(PathBuf, std::os::fd::RawFd)>) {
        self.confinement.recording = directory;
    }

    /// Where it listens, as people write it.
    pub(crate) fn addresses(&self) -> anyhow::Result<Vec<String>> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let written = |listener: &Listener| {
            Ok(match listener.address()? {
                Address::Tcp(address) => format!("{scheme}://{address}"),
                address @ Address::Unix(_) => escape(address.to_string().as_bytes()),
            })
        };
        self.listeners.iter().map(written).collect()
    }

    /// Gives up everything that serving does not need, and begins to serve what the feed sees.
    pub(crate) fn serve(self, feed: &mut Feed) -> anyhow::Result<Confined> {
        let (site, questions) = Site::new();
        feed.publish(Publisher::new(self.options, std::sync::Arc::clone(&site), questions, self.submits));
        let server = Server::new(site, self.access, self.tls, self.limits);
        let confined = confine(&self.confinement)?;
        for listener in self.listeners {
            server.serve(listener);
        }
        Ok(confined)
    }
}

/// Other hosts may connect only with a password and over TLS, or if it is said that they may without.
fn permit(addresses: &[Address], config: &WebConfig, insecure: bool) -> anyhow::Result<()> {
    if insecure || (config.has_tls() && config.has_users()) {
        return Ok(());
    }
    match addresses.iter().find(|address| !address.is_loopback()) {
        None => Ok(()),
        Some(address) => bail!(UsageError(format!(
            "other hosts can reach {address}: set up TLS and users with --web-config FILE, or allow it with --insecure"
        ))),
    }
}

fn config_name(path: &Path) -> String {
    format!("web config {}", escape(path.as_os_str().as_encoded_bytes()))
}

fn read_config(path: &Path) -> anyhow::Result<WebConfig> {
    let named = || config_name(path);
    let text = std::fs::read_to_string(path).with_context(named)?;
    let directory = path.parent().unwrap_or(Path::new("."));
    WebConfig::parse(&text, directory).with_context(named)
}
